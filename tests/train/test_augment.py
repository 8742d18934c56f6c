"""Random views: one geometry for image and mask, reproducible, within the stated ranges."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from livdemo.intensity import HU_AIR
from train.augment import AUGMENTATIONS, HOUSE, NONE, S1_KVASIR, Augmentation, augment

SIDE = 64
BY_NAME = pytest.mark.parametrize("how", AUGMENTATIONS.values(), ids=AUGMENTATIONS.keys())


def _geometry(how: Augmentation) -> Augmentation:
    """Only what moves."""
    kept = ("zoom", "rotation_degrees", "shear_degrees", "shift", "left_right_share", "up_down_share", "outside")
    return Augmentation(**{name: getattr(how, name) for name in kept})


def _seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _discs(n: int = 6, channels: int = 1) -> tuple[Tensor, Tensor]:
    """A disc of 100 HU on −100 HU, labelled 1, with a core of 60 HU labelled 2, off the middle of the slice."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    squared = (row - 28) ** 2 + (column - 24) ** 2
    mask = (squared < 18**2).to(torch.uint8) + (squared < 9**2).to(torch.uint8)
    image = torch.tensor([-100.0, 100.0, 60.0])[mask.long()]
    return image.expand(n, channels, -1, -1).clone(), mask.expand(n, 1, -1, -1).clone()


def _ramps(n: int) -> Tensor:
    """(n, 2, SIDE, SIDE): every pixel holds its column and its row, counted from the middle of the slice."""
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    return torch.stack([line.expand(SIDE, SIDE), line[:, None].expand(SIDE, SIDE)]).expand(n, -1, -1, -1).clone()


def _maps(how: Augmentation, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The drawn maps: matrices (n, 2, 2) of a view's middle, and which pixel is seen there, (n, 2), from the middle."""
    view, _ = augment(_ramps(n), torch.zeros(n, 1, SIDE, SIDE, dtype=torch.uint8), how, _seed(0))
    middle = view[:, :, SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1].double()
    along_x, along_y = (middle[:, :, :, 1] - middle[:, :, :, 0]).mean(2), (middle[:, :, 1] - middle[:, :, 0]).mean(2)
    return torch.stack([along_x, along_y], 2).numpy(), middle.mean((2, 3)).numpy()


@BY_NAME
@pytest.mark.parametrize("size", [None, 48, 80])
def test_image_and_mask_move_together(how: Augmentation, size: int | None) -> None:
    """The picture is the depth inside a disc in pixels, so that it tells how far the mask's edge is from its own."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    depth = (18 - torch.hypot(row - 28.0, column - 24.0)).expand(20, 1, -1, -1)
    still = replace(_geometry(how), outside=HU_AIR)
    view, mask = augment(depth, (depth > 0).to(torch.uint8), still, _seed(0), size)
    assert view.shape == mask.shape == (20, 1, size or SIDE, size or SIDE)
    apart = (view > 0) != (mask == 1)
    assert (view[apart].abs() < 0.75).all()  # the nearest pixel is half a diagonal away at most
    assert 0.1 < (mask == 1).float().mean() < 0.6


@BY_NAME
def test_equal_seeds_give_equal_batches(how: Augmentation) -> None:
    def draw(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed * 7 + torch.randint(100, ()).item())  # the global generator must not matter
        return augment(*_discs(channels=3), how, _seed(seed))

    first, again, other = draw(3), draw(3), draw(4)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(first[0], other[0]) == (how is NONE)
    assert torch.equal(first[0][0], first[0][1]) == (how is NONE)


@BY_NAME
def test_inputs_are_left_alone(how: Augmentation) -> None:
    image, mask = _discs(channels=3)
    kept = image.clone(), mask.clone()
    augment(image, mask, how, _seed(0))
    assert torch.equal(image, kept[0])
    assert torch.equal(mask, kept[1])


@BY_NAME
def test_masks_hold_old_labels_only(how: Augmentation) -> None:
    _, mask = augment(*_discs(channels=3), how, _seed(1), 50)
    assert mask.dtype == torch.uint8
    assert set(mask.unique().tolist()) <= {0, 1, 2}


def test_none_is_the_identity() -> None:
    image, mask = _discs()
    same = augment(image, mask, NONE, _seed(0))
    assert torch.equal(same[0], image)
    assert torch.equal(same[1], mask)


def test_a_smaller_view_of_nothing_changed_is_the_middle() -> None:
    image, mask = _discs()
    view, label = augment(image, mask, NONE, _seed(0), 48)
    torch.testing.assert_close(view, image[..., 8:56, 8:56], rtol=0, atol=0.05)
    assert torch.equal(label, mask[..., 8:56, 8:56])


@pytest.mark.parametrize("how", [HOUSE, AUGMENTATIONS["s1_lits"], AUGMENTATIONS["s2"]], ids=lambda how: how.name)
def test_an_item_has_one_geometry_and_one_change_of_grey(how: Augmentation) -> None:
    image, mask = _discs(channels=5)
    views, labels = augment(image, mask.expand(-1, 5, -1, -1), replace(how, noise=0.0), _seed(2))
    assert all(torch.equal(views[:, 0], views[:, i]) for i in range(1, 5))
    assert all(torch.equal(labels[:, 0], labels[:, i]) for i in range(1, 5))


def test_noise_of_two_slices_of_a_block_differs_but_is_equally_strong() -> None:
    flat = torch.zeros(8, 2, SIDE, SIDE)
    noisy, _ = augment(flat, flat[:, :1].byte(), Augmentation(noise=25), _seed(0))
    deviation = noisy.std((2, 3))
    assert not torch.equal(noisy[:, 0], noisy[:, 1])
    assert deviation[:, 0] == pytest.approx(deviation[:, 1], rel=0.1)
    assert 0 <= deviation.min() < 10 < 15 < deviation.max() < 26


@pytest.mark.parametrize("name", ["s4", "s2", "s1_lits", "flips_10"])
def test_the_papers_geometry_stays_in_its_ranges_and_fills_them(name: str) -> None:
    how = AUGMENTATIONS[name]
    matrix, centre = _maps(_geometry(how))
    determinant = np.linalg.det(matrix)
    mirrored = (determinant < 0).mean()
    shares = how.left_right_share, how.up_down_share
    assert mirrored == pytest.approx(shares[0] * (1 - shares[1]) + shares[1] * (1 - shares[0]), abs=0.08)

    # The map's first column is the direction of the view's rows: rotation and zoom, whatever the flips and the shear.
    along_x = matrix[:, :, 0]
    zoom = 1 / np.hypot(*along_x.T)
    degrees = np.degrees(np.arctan2(along_x[:, 1], along_x[:, 0]))
    degrees = (degrees + 90) % 180 - 90
    assert how.zoom[0] - 1e-3 <= zoom.min() <= zoom.max() <= how.zoom[1] + 1e-3
    assert np.ptp(zoom) >= 0.9 * (how.zoom[1] - how.zoom[0])
    assert 0.9 * how.rotation_degrees < np.abs(degrees).max() < how.rotation_degrees + 0.1
    assert np.abs(centre).max() <= how.shift * SIDE + 1e-3
    assert np.abs(centre).max() >= 0.9 * how.shift * SIDE


def test_shear_bends_right_angles_by_no_more_than_it_says() -> None:
    matrix, _ = _maps(Augmentation(shear_degrees=5))
    x, y = matrix[:, :, 0], matrix[:, :, 1]
    bent = np.degrees(np.arcsin((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)))
    assert 4.5 < np.abs(bent).max() < 5.01


def test_a_left_right_flip_mirrors_columns() -> None:
    image, mask = _discs(2)
    view, label = augment(image, mask, Augmentation(left_right_share=1.0), _seed(0))
    torch.testing.assert_close(view, image.flip(3), rtol=0, atol=0.05)
    assert torch.equal(label, mask.flip(3))


def test_an_up_down_flip_mirrors_rows() -> None:
    image, mask = _discs(2)
    _, label = augment(image, mask, Augmentation(up_down_share=1.0), _seed(0))
    assert torch.equal(label, mask.flip(2))


def test_zoom_enlarges() -> None:
    image, mask = _discs(1)
    _, label = augment(image, mask, Augmentation(zoom=(1.5, 1.5)), _seed(0))
    assert (label == 2).sum() == pytest.approx(1.5**2 * (mask == 2).sum().item(), rel=0.05)


@pytest.mark.parametrize(("outside", "size"), [(HU_AIR, 128), (0.0, 128)])
def test_outside_of_the_slice_is_what_was_asked_for(outside: float, size: int) -> None:
    image, mask = _discs()
    view, label = augment(image, mask + 1, Augmentation(outside=outside), _seed(0), size)
    assert (view[..., :31, :] == outside).all()
    assert (label[..., :31, :] == 0).all()
    assert (label[..., 33:95, 33:95] > 0).all()


def test_contrast_agent_changes_nothing_below_0_hu() -> None:
    image, mask = _discs()
    view, _ = augment(image, mask, Augmentation(gain=(0.5, 0.5)), _seed(0))
    assert set(view.unique().tolist()) == {-100.0, 30.0, 50.0}


def test_contrast_of_s2_keeps_its_black() -> None:
    # α = 0.8: −45 + 0.8 (100 + 45) = 71, −45 + 0.8 (60 + 45) = 39, −45 + 0.8 (−100 + 45) = −89
    how = replace(NONE, contrast=(0.8, 0.8), contrast_centre=AUGMENTATIONS["s2"].contrast_centre)
    view, _ = augment(*_discs(), how, _seed(0))
    assert view.unique().tolist() == pytest.approx([-89, 39, 71], abs=1e-3)


def test_a_narrow_window_hides_everything_dark() -> None:
    view, _ = augment(*_discs(), Augmentation(narrow_share=1.0), _seed(0))
    assert set(view.unique().tolist()) == {-160.0, 60.0, 100.0}


@pytest.mark.parametrize("how", [Augmentation(blur_share=1.0, blur_pixels=(1.5, 1.5)), Augmentation(coarse_share=1.0)])
def test_blur_and_coarseness_take_detail_but_no_hu(how: Augmentation) -> None:
    image, mask = _discs()
    image = image + 50 * torch.randn(image.shape, generator=_seed(1))
    view, label = augment(image, mask, how, _seed(0))
    assert view.mean() == pytest.approx(image.mean().item(), abs=1.5)
    assert view.diff(dim=3).abs().mean() < 0.6 * image.diff(dim=3).abs().mean()
    assert torch.equal(label, mask)


def test_a_share_is_that_part_of_the_items() -> None:
    image, mask = _discs(400)
    view, _ = augment(image, mask, Augmentation(narrow_share=0.25), _seed(0))
    assert (view == -160).any(3).any(2).any(1).float().mean() == pytest.approx(0.25, abs=0.06)


def test_colours_stay_within_0_and_255() -> None:
    picture = torch.randint(0, 256, (16, 3, SIDE, SIDE), generator=_seed(0)).float()
    view, _ = augment(picture, picture[:, :1].gt(127).byte(), S1_KVASIR, _seed(0))
    assert view.min() >= 0
    assert view.max() <= 255


def test_saturation_0_is_grey_and_a_turn_of_120_degrees_swaps_the_colours() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    picture[:, 0] = 255  # red
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    grey, _ = augment(picture, mask, Augmentation(saturation=(0.0, 0.0)), _seed(0))
    torch.testing.assert_close(grey, grey[:, :1].expand(-1, 3, -1, -1))
    turned, _ = augment(
        picture.expand(200, -1, -1, -1), mask.expand(200, -1, -1, -1), replace(NONE, hue_degrees=120), _seed(0)
    )
    reddest, greenest, bluest = turned[:, :, 0, 0].amax(0).tolist()
    assert (reddest, greenest, bluest) == pytest.approx((255, 255, 255), abs=6)
    assert turned.sum(1).max() <= 2 * 255 + 1  # never white: the turn keeps saturation


def test_colour_changes_need_colours() -> None:
    with pytest.raises(ValueError, match="3"):
        augment(*_discs(), S1_KVASIR, _seed(0))


@pytest.mark.parametrize(
    ("image", "mask"),
    [((2, 1, 8, 9), (2, 1, 8, 9)), ((2, 1, 8, 8), (2, 1, 9, 9)), ((2, 1, 8, 8), (1, 1, 8, 8))],
    ids=["not square", "other size", "other number"],
)
def test_shapes_that_do_not_fit(image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square slices and their masks"):
        augment(torch.zeros(image), torch.zeros(mask, dtype=torch.uint8), HOUSE, _seed(0))
