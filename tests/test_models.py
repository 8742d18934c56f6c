"""Every model of the list: counts, shapes, gradients, TorchScript, explanations. A new model needs no new test."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from livdemo.errors import InputError
from livdemo.models import ModelSpec, get_model, list_models
from livdemo.models.dalunet import DALUNet
from livdemo.models.dtan import DTAN
from livdemo.models.ltnet_full import LTNetFull
from livdemo.models.ltnet_unet import LTNetUNet
from livdemo.models.registry import register
from livdemo.models.sfan import SFAN
from livdemo.models.transunet import TransUNet
from livdemo.models.unet import UNet
from livdemo.models.unetpp import DeepUNetPlusPlus, UNetASPP, UNetPlusPlus

# PAPERS.md section 1: name -> (paper width, classroom preset in millions).
PAPERS = {
    "dtan": (47_434_949, 2.374),
    "dpcnet": (8_872_585, 1.349),
    "clstm4d": (2_200_355, 0.403),
    "unetpp": (38_844_163, 2.433),
    "unet_aspp": (41_113_795, 2.575),
    "transunet": (62_748_979, 1.936),
    "transunet_sca": (62_760_251, 1.938),
    "ltnet_unet": (339_070_292, 2.903),
    "ltnet_full": (39_934_182, 2.647),
    "sfan": (20_631_043, 1.375),
    "unet_liver": (31_030_658, 1.944),
    "unet64": (31_030_723, 1.944),
    "deeplabv3": (58_626_115, 2.168),
    "unet_valid": (31_030_723, 1.941),
    "aunet": (31_565_703, 1.977),
    "aunet_ds": (31_568_400, 1.977),
    "dalunet": (35_633_936, 2.232),
}

every_model = pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.name)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lively(spec: ModelSpec) -> nn.Module:
    """A classroom model with random batch statistics and with every scale that starts at 0 switched on."""
    torch.manual_seed(spec.number)
    model = spec.build("classroom")
    for parameter in model.parameters():
        if parameter.numel() == 1 and parameter.item() == 0:
            nn.init.constant_(parameter, 0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def side(spec: ModelSpec) -> int:
    """Pixels of the slices in these tests: few, and a multiple of every model's size rule."""
    return 64 if spec.input_kind == "slice" else 32


def stack(spec: ModelSpec, batch: int = 2, size: tuple[int, int] | None = None, steps: int | None = None) -> Tensor:
    """A random input of that many pixels and, for sequences and phases, steps."""
    shape = list(spec.input_shape("classroom", batch, side(spec)))
    if size is not None:
        shape[-2:] = [pixels + 2 * spec.margin for pixels in size]
    if steps is not None:
        shape[1] = steps
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def logits_shape(spec: ModelSpec, x: Tensor) -> tuple[int, ...]:
    """What forward returns: the input's shape with the labels for channels (S: margin cut off, 4 pixels stay)."""
    shape, labels = list(x.shape), len(spec.labels)
    if spec.margin:
        shape[-2:] = [side - 184 for side in shape[-2:]]
    if spec.input_kind == "slice sequence":
        shape[2] = labels
    else:
        if spec.input_kind == "phases":
            del shape[1]
        shape[1] = labels
    return tuple(shape)


_MODELS: dict[str, tuple[nn.Module, torch.jit.ScriptModule]] = {}


def eager_and_loaded(spec: ModelSpec) -> tuple[nn.Module, torch.jit.ScriptModule]:
    """The model, and the same after script, save and load; made once for all tests."""
    if spec.name not in _MODELS:
        model, file = lively(spec), io.BytesIO()
        torch.jit.save(torch.jit.script(model), file)
        file.seek(0)
        _MODELS[spec.name] = (model, torch.jit.load(file))
    return _MODELS[spec.name]


def test_the_seventeen_models_come_first_and_in_order():
    assert [spec.name for spec in list_models()][:17] == list(PAPERS)
    assert [spec.number for spec in list_models()][:17] == list(range(1, 18))


def test_a_name_or_number_cannot_be_taken_twice():
    with pytest.raises(ValueError, match="'dtan'"):
        register(get_model("dtan"))


def test_an_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(InputError, match=r"no model called 'unet'.*dtan, dpcnet.*dalunet"):
        get_model("unet")


@every_model
def test_parameters_are_those_of_the_papers(spec: ModelSpec):
    if spec.name not in PAPERS:
        pytest.skip("not a model of PAPERS.md")
    paper, classroom = PAPERS[spec.name]
    assert spec.parameters("paper") == paper
    assert round(spec.parameters("classroom") / 1e6, 3) == classroom


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: UNetASPP(rates=(2, 4, 6)), 41_195_971),
        (lambda: UNetPlusPlus(widths=(32, 64, 128, 256, 512), residual=False), 9_162_819),
        (lambda: DeepUNetPlusPlus(), 9_163_116),
        (lambda: TransUNet(layers=12), 105_276_211),
        (lambda: TransUNet(layers=12, attention=True), 105_287_483),
        (lambda: SFAN(classes=2), 20_630_978),
        (lambda: UNet(norm=True), 31_042_499),
        (lambda: UNet(classes=2, padding=0), 31_030_658),
        (lambda: LTNetUNet(in_channels=1, width=8, layers=(2, 2, 2, 2)), 5_157_358),
        (lambda: SFAN(widths=(24, 48, 96, 192, 384), aligned=32, norm=True), 2_958_843),
    ],
)
def test_parameters_of_the_variants_in_the_papers(build: Callable[[], nn.Module], count: int):
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == count


@every_model
def test_the_specification_is_whole(spec: ModelSpec):
    assert len(spec.labels) >= 2
    assert spec.labels[0] == "background"
    for text in (spec.title, spec.source, spec.idea, spec.recipe.loss, spec.recipe.optimiser, spec.recipe.data):
        assert text.strip() == text != ""
    assert spec.idea.endswith(".")
    assert spec.deviations
    assert all(one.unit and one.data and one.value for one in spec.reported)
    assert not any("Only the abstract" in one for one in spec.deviations) or spec.our_reading
    for preset in ("paper", "classroom"):
        assert spec.preprocessing[preset].size % spec.size_multiple == 0
        assert spec.depth[preset] % spec.depth_multiple == 0
    assert (spec.input_kind == "phases") == bool(spec.phases)
    assert (spec.input_kind == "slice sequence") == (spec.sequence > 1)
    if spec.input_kind in ("slice", "slice sequence"):
        assert spec.preprocessing["classroom"].size == 256


@every_model
def test_forward_returns_logits_of_the_size_of_the_input(spec: ModelSpec):
    model, _ = eager_and_loaded(spec)
    x = stack(spec)
    with torch.inference_mode():
        logits = model(x)
    assert tuple(logits.shape) == logits_shape(spec, x)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert (logits < 0).any(), "logits must not end in ReLU or softmax"
    assert logits.flatten(2).std(dim=2).min() > 0, "the logits do not depend on the place"


@every_model
def test_every_trainable_parameter_is_reached_by_the_loss(spec: ModelSpec):
    torch.manual_seed(0)
    model = spec.build("classroom").train()
    logits = model.forward_aux(stack(spec)) if spec.aux_weights else [model(stack(spec))]
    sum(one.square().mean() for one in logits).backward()
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unreached == []


@every_model
def test_script_equals_eager_after_save_and_load(spec: ModelSpec):
    model, loaded = eager_and_loaded(spec)
    x = stack(spec)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=1e-5)
        for method in ("forward_aux", "explain"):
            assert hasattr(loaded, method) == hasattr(model, method)
            if hasattr(model, method):
                torch.testing.assert_close(getattr(loaded, method)(x), getattr(model, method)(x), rtol=0, atol=1e-5)


@every_model
def test_script_runs_at_any_size_of_its_rule(spec: ModelSpec):
    model, loaded = eager_and_loaded(spec)
    step = spec.size_multiple
    x = stack(spec, 1, (-(-33 // step) * step, -(-67 // step) * step))
    with torch.inference_mode():
        logits = loaded(x)
        assert tuple(logits.shape) == logits_shape(spec, x)
        torch.testing.assert_close(logits, model(x), rtol=0, atol=1e-5)


@every_model
def test_another_size_is_refused_with_a_sentence(spec: ModelSpec):
    if spec.size_multiple == 1:
        pytest.skip("any size runs")
    model, loaded = eager_and_loaded(spec)
    x = stack(spec, 1, (side(spec) + 1, side(spec)))
    with pytest.raises(ValueError, match=r"height and width must be .* not \d+ and \d+"):
        model(x)
    with pytest.raises(torch.jit.Error, match="height and width must be"):
        loaded(x)


@every_model
def test_script_runs_with_any_number_of_steps(spec: ModelSpec):
    if spec.input_kind not in ("slice sequence", "phases"):
        pytest.skip("one slice or block at a time")
    model, loaded = eager_and_loaded(spec)
    with torch.inference_mode():
        for steps in (1, 3, 7):
            x = stack(spec, 1, (16, 16), steps)
            logits = loaded(x)
            assert tuple(logits.shape) == logits_shape(spec, x)
            torch.testing.assert_close(logits, model(x), rtol=0, atol=1e-5)


@every_model
def test_the_main_head_of_deep_supervision_is_forward(spec: ModelSpec):
    model, _ = eager_and_loaded(spec)
    assert hasattr(model, "forward_aux") == bool(spec.aux_weights)
    if not spec.aux_weights:
        return
    x = stack(spec, 1)
    with torch.inference_mode():
        logits = model.forward_aux(x)
        torch.testing.assert_close(logits[0], model(x), rtol=0, atol=0)
    assert len(logits) == len(spec.aux_weights)
    assert {tuple(one.shape) for one in logits} == {logits_shape(spec, x)}
    assert sum(spec.aux_weights) == pytest.approx(1)


@every_model
def test_explanations_can_be_drawn(spec: ModelSpec):
    model, _ = eager_and_loaded(spec)
    assert hasattr(model, "explain") == bool(spec.explains)
    if not spec.explains:
        return
    with torch.inference_mode():
        shown = model.explain(stack(spec))
    assert set(shown) == set(spec.explains)
    for key, tensor in shown.items():
        assert tensor.ndim in (2, 4), f"{key}: neither bars (B, N) nor maps (B, N, h, w)"
        assert tensor.shape[0] == 2
        assert torch.isfinite(tensor).all(), key
        assert spec.explains[key].endswith("."), key


@pytest.mark.parametrize(
    "build",
    [
        lambda: DTAN(1, width=8, layers=(1, 1, 1, 1), context_eq8_10=True),
        lambda: UNetPlusPlus(widths=(8, 8, 8, 8, 8), strict_repo=True),
        lambda: UNetASPP(widths=(8, 8, 8, 8, 8), strict_repo=True),
        lambda: DeepUNetPlusPlus(widths=(8, 8, 8, 8, 8)),
        lambda: LTNetUNet(1, width=2, layers=(1, 1, 1, 1), blur=True, self_attention=True),
        lambda: LTNetFull(width=8, layers=(1, 1, 1, 1), decoder=(32, 16, 8, 8), pam=True),
    ],
    ids=["words", "strict unet++", "strict aspp", "supervised unet++", "blur and attention", "pam"],
)
def test_the_options_of_the_papers_script_too(build: Callable[[], nn.Module]):
    torch.manual_seed(0)
    model = build().eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.script(model)(x), model(x), rtol=0, atol=1e-5)
        assert model(x).shape == (1, 3, 64, 64)


def test_the_memory_on_the_decoder_scripts_too():
    model = DALUNet(widths=(4, 8, 16, 32, 64), squeeze=4, hidden=4, lstm_at="decoder").eval()
    x = torch.randn(1, 3, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.script(model)(x), model(x), rtol=0, atol=1e-5)
