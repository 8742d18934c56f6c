"""The same networks in other libraries: by copied weights where one installs, by a published count elsewhere.

MONAI installs beside torch's CPU build. torchvision's wheel is a CUDA build that does not import there, so its
tests are skipped then; they run wherever it does import.
"""

import importlib
from types import ModuleType

import pytest
import torch
from torch import nn

from livdemo.models.aunet import AttentionGate
from livdemo.models.blocks import ResNet
from livdemo.models.deeplabv3 import DeepLabV3
from livdemo.models.ltnet_unet import LTNetUNet
from livdemo.models.transunet import TransUNet
from livdemo.models.unet import UNet
from livdemo.models.unetpp import UNetPlusPlus

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def library(name: str) -> ModuleType:
    """The library, or a skip where it is absent or does not fit this torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name} does not import here: {error}")


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_resnet_50_computes_what_monai_computes():
    theirs = library("monai.networks.nets").resnet50(
        spatial_dims=2, n_input_channels=3, conv1_t_stride=2, feed_forward=False, bias_downsample=False
    )
    ours = ResNet(3, 64, (3, 4, 6, 3))
    torch.manual_seed(0)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours.load_state_dict(theirs.state_dict())  # the same key names: torchvision's
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        deep = ours.eval()(x)[4]
        expected = theirs.eval()(x)  # pooled over the slice
        torch.testing.assert_close(deep.mean(dim=[2, 3]), expected.flatten(1), rtol=1e-4, atol=1e-4)


def test_attention_gate_computes_what_monai_computes():
    theirs = library("monai.networks.nets.attentionunet").AttentionBlock(spatial_dims=2, f_int=4, f_g=16, f_l=8)
    ours = AttentionGate(8, 16)
    with torch.no_grad():
        for mine, other in (
            (ours.w_g, theirs.W_g[0].conv),
            (ours.w_x, theirs.W_x[0].conv),
            (ours.psi, theirs.psi[0].conv),
        ):
            other.weight.copy_(mine.weight)
            other.bias.copy_(torch.zeros_like(other.bias) if mine.bias is None else mine.bias)
    x, g = torch.randn(1, 8, 8, 8), torch.randn(1, 16, 4, 4)
    larger = nn.functional.interpolate(g, scale_factor=2.0, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        # MONAI enlarges the coarse map before the gate, we enlarge what a 1×1 convolution made of it: the same.
        torch.testing.assert_close(ours(x, g) * x, theirs.eval()(larger, x), rtol=1e-3, atol=1e-4)


def test_unet_has_the_parameters_of_monais_basic_unet():
    with torch.device("meta"):
        theirs = library("monai.networks.nets").BasicUNet(
            spatial_dims=2, in_channels=1, out_channels=3, features=(64, 128, 256, 512, 1024, 64), norm=None
        )
        ours = UNet()
    # MONAI's last up-convolution keeps its 128 maps, so that the convolution behind it takes 64 more.
    wider_up = (128 * 128 * 4 + 128) - (128 * 64 * 4 + 64)
    wider_conv = 64 * 64 * 9
    assert count(theirs) - wider_up - wider_conv == count(ours)


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_resnet_computes_what_torchvision_computes(output_stride: int):
    resnet = library("torchvision.models.resnet")
    dilate = [False, output_stride == 8, output_stride in (8, 16)]
    theirs = resnet.ResNet(resnet.Bottleneck, [1, 2, 2, 2], replace_stride_with_dilation=dilate).eval()
    ours = ResNet(3, 64, (1, 2, 2, 2), output_stride).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    x = torch.randn(1, 3, 65, 96)
    with torch.inference_mode():
        expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            expected = stage(expected)
        torch.testing.assert_close(ours(x)[4], expected)


def test_deeplabv3_has_the_parameters_that_torchvision_documents():
    # num_params of DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1, which has 21 labels,
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21  # an auxiliary head on C4,
    pooled = 2 * 256 - 256  # and batch normalisation instead of a bias in the mean branch.
    with torch.device("meta"):
        assert count(DeepLabV3(classes=21)) + auxiliary + pooled == 60_996_202


@pytest.mark.parametrize(
    ("build", "published"),
    [
        # U-Net of 2015 with same padding, one label: printed by several model summaries
        (lambda: UNet(classes=1), 31_030_593),
        # NestedUNet of 4uiiurz1/pytorch-nested-unet, colour in, one label
        (lambda: UNetPlusPlus(3, 1, (32, 64, 128, 256, 512), residual=False), 9_163_329),
        # TransUNet R50-ViT-B/16 with two labels: table 3 of DA-TransUNet (Frontiers 2024)
        (lambda: TransUNet(classes=2, layers=12), 105_276_066),
        # fastai 2.8.12's DynamicUnet(resnet50, 3), counted and, with copied weights, found equal to 0.0 by hand
        (lambda: LTNetUNet(), 339_070_292),
        # and with blur=True, self_attention=True
        (lambda: LTNetUNet(blur=True, self_attention=True), 342_019_413),
    ],
    ids=["unet", "unet++", "transunet", "dynamic unet", "dynamic unet with options"],
)
def test_published_counts(build, published: int):
    with torch.device("meta"):
        assert count(build()) == published
