"""What the papers' equations say about the parts, checked by hand-made cases (PAPERS.md section 7)."""

import pytest
import torch
from torch import nn

from livdemo.models import get_model
from livdemo.models.aunet import AttentionGate
from livdemo.models.blocks import ConvLSTM
from livdemo.models.dalunet import DALUNet
from livdemo.models.dpcnet import SemCor, SpaCor
from livdemo.models.dtan import DTAN, ChannelAttention, PositionAttention, output_size
from livdemo.models.ltnet_full import NoiseAdaptiveFilter, gaussian
from livdemo.models.ltnet_unet import PixelShuffleUp
from livdemo.models.sfan import SFAN
from livdemo.models.transunet import CBAM, SelfAttention, StdConv2d, TransUNet
from livdemo.models.unet import UNet
from livdemo.models.unetpp import UNetPlusPlus


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


# (b) sizes of the U-Net without padding


@pytest.mark.parametrize(("size", "expected"), [(188, 4), (252, 68), (316, 132), (444, 260), (572, 388)])
def test_valid_padding_takes_184_pixels_off(size: int, expected: int):
    with torch.inference_mode():
        logits = UNet(widths=(1, 2, 4, 8, 16), padding=0)(torch.zeros(1, 1, size, size))
    assert logits.shape == (1, 3, expected, expected)


@pytest.mark.parametrize("size", [172, 256, 512])
def test_valid_padding_refuses_other_sizes(size: int):
    with pytest.raises(ValueError, match="mirror the border first"):
        UNet(widths=(1, 2, 4, 8, 16), padding=0)(torch.zeros(1, 1, size, size))


@pytest.mark.parametrize("size", [16, 128, 256, 512])
def test_the_margin_of_unet_valid_fits_every_multiple_of_16(size: int):
    spec = get_model("unet_valid")
    given = size + 2 * spec.margin
    assert given % 16 == 12
    assert given - 184 >= size


# (e) scales that start at 0 make the attention an identity


def test_at_the_start_pam_and_cam_change_nothing():
    feature = torch.randn(2, 16, 5, 7)
    for attention in (PositionAttention(16), ChannelAttention()):
        after, weights = attention(feature)
        assert torch.equal(after, feature)
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(weights.shape[:2]))


def test_at_the_start_spacor_and_semcor_change_nothing():
    low, high = torch.randn(2, 8, 4, 16, 16), torch.randn(2, 8, 2, 8, 8)
    after, weights = SpaCor(8)(low, high)
    assert torch.equal(after, low)
    assert weights.shape == (2, 4 * 16 * 16, 4 * 8 * 8)
    after, weights = SemCor(8)(high, low)
    assert torch.equal(after, high)
    assert weights.shape == (2, 8, 8)


def test_position_attention_is_the_sum_of_equation_5():
    pam, feature = PositionAttention(8), torch.randn(1, 8, 2, 3)
    nn.init.constant_(pam.alpha, 0.7)
    after, p = pam(feature)
    m, k, d = (conv(feature)[0].flatten(1) for conv in (pam.m, pam.k, pam.d))  # (C, N)
    for i in range(6):
        scores = torch.stack([torch.exp(m[:, i] @ k[:, j]) for j in range(6)])
        expected = sum(scores[j] / scores.sum() * d[:, j] for j in range(6))
        torch.testing.assert_close(p[0, i], scores / scores.sum())
        torch.testing.assert_close(after[0].flatten(1)[:, i], 0.7 * expected + feature[0].flatten(1)[:, i])


def test_channel_attention_is_the_sum_of_equation_7():
    cam, feature = ChannelAttention(), torch.randn(1, 4, 2, 3) / 2
    nn.init.constant_(cam.beta, 0.7)
    after, x = cam(feature)
    maps = feature[0].flatten(1)
    for j in range(4):
        weights = torch.softmax(-maps @ maps[j], dim=0)  # max − E: the maximum of a row cancels in a softmax
        torch.testing.assert_close(x[0, j], weights)
        torch.testing.assert_close(after[0, j].flatten(), 0.7 * (weights[:, None] * maps).sum(0) + maps[j])


# (f) gates lie between 0 and 1


def test_gates_lie_between_0_and_1():
    model = SFAN(widths=(8, 8, 8, 8, 8), aligned=4).eval()
    shown = model.explain(100 * torch.randn(2, 1, 32, 32))
    for key in ("sat_0", "sat_1", "sat_2", "sat_3", "gca", "gca_levels"):
        assert shown[key].min() >= 0
        assert shown[key].max() <= 1
    mild = model.explain(torch.randn(2, 1, 32, 32))
    assert mild["gca"].min() > 0
    assert mild["gca"].max() < 1
    alpha = AttentionGate(8, 16)(torch.randn(2, 8, 6, 6), torch.randn(2, 16, 3, 3))
    assert alpha.shape == (2, 1, 6, 6)
    assert 0 < alpha.min() < alpha.max() < 1


def test_a_closed_gate_of_sfan_silences_its_level():
    model = SFAN(widths=(8, 8, 8, 8, 8), aligned=4).eval()
    nn.init.constant_(model.sat[0].w2.bias, -1000)
    nn.init.zeros_(model.align[0].bias)
    assert model.explain(torch.randn(1, 1, 32, 32))["levels"][0, 0].abs().max() == 0


# (i) equation 3 of S0, repaired


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize(("kernel", "padding", "stride"), [(7, 3, 2), (3, 0, 1), (3, 1, 2), (5, 4, 3), (1, 0, 2)])
def test_output_size_is_that_of_a_convolution(kernel: int, padding: int, stride: int, dilation: int):
    for size in (30, 31, 64, 224):
        conv = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
        assert output_size(size, kernel, padding, stride, dilation) == conv(torch.zeros(1, 1, size, size)).shape[2]


def test_the_printed_equation_3_gives_a_negative_size():
    assert output_size(224, 7, 3, 2) == 112
    printed = ((7 - 224) + 2 * 3) / (2 + 1)
    assert printed == pytest.approx(-70.33, abs=0.01)


# DTAN: what is frozen stays frozen


def test_the_frozen_encoder_of_dtan_does_not_move():
    model = DTAN(in_channels=1, width=8, layers=(1, 1, 1, 1)).train()
    frozen = model.frozen_parameters()
    assert frozen
    assert all(name.startswith("encoder.") for name in frozen)
    assert len(frozen) == len(list(model.encoder.parameters()))
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    head = model.head.weight.detach().clone()
    optimiser = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model(torch.randn(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name  # batch statistics too, although the model trains
    assert not torch.equal(model.head.weight, head)
    assert model.a[1].training
    assert not model.encoder.bn1.training


def test_dtan_can_be_thawed_to_pretrain_it():
    model = DTAN(in_channels=1, width=8, layers=(1, 1, 1, 1)).train()
    model.freeze(False)
    assert model.frozen_parameters() == []
    assert model.encoder.bn1.training
    model.freeze()
    assert model.frozen_parameters()
    assert not model.encoder.bn1.training


def test_paper_width_of_dtan_freezes_what_the_papers_say():
    with torch.device("meta"):
        model = get_model("dtan").build("paper")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert (frozen, trained) == (23_508_032, 23_926_917)


# Recurrence


def test_a_convolutional_lstm_on_one_pixel_is_an_lstm():
    ours, torchs = ConvLSTM(3, 4, (3, 3)), nn.LSTM(3, 4, batch_first=True)
    with torch.no_grad():
        centre = ours.gates.weight[:, :, 1, 1]  # the border is padded with zeros: only the centre counts
        i, f, o, g = centre.chunk(4)
        both = torch.cat([i, f, g, o])  # torch's order of the gates
        torchs.weight_ih_l0.copy_(both[:, :3])
        torchs.weight_hh_l0.copy_(both[:, 3:])
        i, f, o, g = ours.gates.bias.chunk(4)
        torchs.bias_ih_l0.copy_(torch.cat([i, f, g, o]))
        torchs.bias_hh_l0.zero_()
        x = torch.randn(2, 6, 3)
        torch.testing.assert_close(ours(x[..., None, None])[..., 0, 0], torchs(x)[0])


def test_dalunet_looks_at_the_neighbours_on_both_sides():
    model = DALUNet(widths=(4, 8, 16, 32, 64), squeeze=4, hidden=4).eval()
    x = torch.randn(1, 5, 1, 16, 16)
    with torch.inference_mode():
        alone = model(x)
        for changed in (0, 4):
            other = x.clone()
            other[:, changed] = torch.randn(1, 1, 16, 16)
            assert not torch.equal(model(other)[:, 2], alone[:, 2]), f"slice {changed} does not reach slice 2"


def test_dalunet_without_memory_sees_each_slice_alone():
    model = DALUNet(widths=(4, 8, 16, 32, 64), squeeze=4, hidden=4).eval()
    nn.init.zeros_(model.memory.expand.weight)
    nn.init.zeros_(model.memory.expand.bias)
    x = torch.randn(2, 3, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(x)[:, 1], model.unet(x[:, 1]))


# Transformer


def test_self_attention_is_torchs():
    ours, torchs = SelfAttention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        torchs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        torchs.out_proj.load_state_dict(ours.out.state_dict())
        tokens = torch.randn(2, 5, 12)
        expected = torchs(tokens, tokens, tokens, average_attn_weights=False)
        torch.testing.assert_close(ours(tokens), expected)


def test_positions_are_learnt_on_the_grid_and_interpolated_elsewhere():
    model = TransUNet(width=16, units=(1, 1, 1), hidden=8, heads=2, mlp=8, layers=1, grid=4, conv_more=8)
    nn.init.normal_(model.position)
    assert torch.equal(model.positions(4, 4), model.position)
    assert model.positions(6, 3).shape == (1, 18, 8)
    nn.init.constant_(model.position, 0.5)
    torch.testing.assert_close(model.positions(6, 3), torch.full((1, 18, 8), 0.5))


def test_standardised_kernels_ignore_scale_and_offset():
    conv, x = StdConv2d(3, 4, 3), torch.randn(1, 3, 8, 8)
    before = conv(x)
    with torch.no_grad():
        conv.weight.mul_(7).add_(2)
    torch.testing.assert_close(conv(x), before, rtol=1e-3, atol=1e-3)


def test_cbam_rescales_by_which_and_where():
    x = torch.randn(2, 16, 6, 6)
    after, which, where = CBAM(16)(x)
    torch.testing.assert_close(after, x * which[:, :, None, None] * where)
    assert which.shape == (2, 16)
    assert where.shape == (2, 1, 6, 6)


# LT-Net


def test_noise_filter_leaves_a_flat_slice_alone_and_mixes_a_rough_one():
    naf = NoiseAdaptiveFilter()
    assert sum(p.numel() for p in naf.parameters()) == 179
    filtered, weights, noise = naf(torch.full((1, 1, 8, 8), 0.4))
    torch.testing.assert_close(filtered, torch.full((1, 1, 8, 8), 0.4))
    torch.testing.assert_close(noise, torch.full((1, 1, 8, 8), 1e-4))  # sqrt(1e-8)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 8, 8))
    rough = torch.rand(1, 1, 32, 32)
    filtered, _, noise = naf(rough)
    assert filtered.std() < rough.std()
    assert noise.mean() > 0.1


def test_gaussian_kernels_sum_to_one():
    kernel = gaussian(3, 0.8)
    assert kernel.shape == (1, 1, 3, 3)
    assert kernel.sum().item() == pytest.approx(1)
    # exp(−1/(2·0.64)) for a neighbour against the centre
    assert (kernel[0, 0, 0, 1] / kernel[0, 0, 1, 1]).item() == pytest.approx(0.4578, abs=1e-4)


def test_pixel_shuffle_starts_without_a_checkerboard():
    up = PixelShuffleUp(8, 3, blur=False)
    x = up(torch.randn(1, 8, 4, 4))
    assert x.shape == (1, 3, 8, 8)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        assert torch.equal(x[:, :, 0::2, 0::2], x[:, :, dy::2, dx::2])


# S1's repository


def test_a_relu_on_the_logits_lets_no_label_be_ruled_out():
    x = torch.randn(1, 1, 32, 32)
    strict = UNetPlusPlus(widths=(8, 8, 8, 8, 8), strict_repo=True).eval()
    assert strict(x).min() >= 0
    assert UNetPlusPlus(widths=(8, 8, 8, 8, 8)).eval()(x).min() < 0


# A grey slice for a stem with three channels


@pytest.mark.parametrize("name", ["dtan", "transunet", "ltnet_unet", "deeplabv3"])
def test_a_grey_slice_is_repeated_for_a_colour_stem(name: str):
    small = {
        "dtan": lambda: DTAN(3, width=8, layers=(1, 1, 1, 1)),
        "transunet": lambda: TransUNet(3, width=16, units=(1, 1, 1), hidden=8, heads=2, mlp=8, layers=1, conv_more=8),
        "ltnet_unet": lambda: type(get_model(name).build("classroom"))(3, width=2, layers=(1, 1, 1, 1)),
        "deeplabv3": lambda: type(get_model(name).build("classroom"))(3, width=8, layers=(1, 1, 1, 1), maps=8),
    }
    model, x = small[name]().eval(), torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), model(x.repeat(1, 3, 1, 1)))
