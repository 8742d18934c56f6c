"""Random views: the same geometry for image and mask, reproducible, within the stated ranges."""

import torch

from train.augment import Augmentation, augment

STILL = Augmentation(
    crop=64,
    zoom=(1.0, 1.0),
    rotation_degrees=0,
    shear_degrees=0,
    gain=(1, 1),
    shift_hu=(0, 0),
    noise_hu=0,
    blur_share=0,
    narrow_share=0,
)


def _block() -> tuple[torch.Tensor, torch.Tensor]:
    """A 100 HU block on -100 HU, labelled 1, with a core of 60 HU labelled 2."""
    hu, mask = torch.full((6, 64, 64), -100.0), torch.zeros((6, 64, 64), dtype=torch.uint8)
    hu[:, 20:44, 16:48], mask[:, 20:44, 16:48] = 100.0, 1
    hu[:, 28:36, 26:38], mask[:, 28:36, 26:38] = 60.0, 2
    return hu, mask


def test_image_and_mask_move_together() -> None:
    how = Augmentation(gain=(1, 1), shift_hu=(0, 0), noise_hu=0, blur_share=0, narrow_share=0, crop=96)
    hu, mask = augment(*_block(), how, torch.Generator().manual_seed(0))
    assert hu.shape == mask.shape == (6, 96, 96)
    # Away from its interpolated edge the picture must show what the mask says.
    assert ((hu > 90) & (mask != 1)).float().mean() < 0.005
    assert ((hu < -90) & (mask != 0)).float().mean() < 0.005
    assert (mask == 2).any()


def test_views_differ_within_a_batch_but_not_between_equal_seeds() -> None:
    first, again = (augment(*_block(), Augmentation(crop=64), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1][0], first[1][1])


def test_masks_hold_whole_labels_only() -> None:
    _, mask = augment(*_block(), Augmentation(crop=64), torch.Generator().manual_seed(1))
    assert mask.dtype == torch.uint8
    assert set(mask.unique().tolist()) <= {0, 1, 2}


def test_contrast_changes_above_zero_hu_alone() -> None:
    how = Augmentation(**{**vars(STILL), "gain": (0.5, 0.5)})
    hu, _ = augment(*_block(), how, torch.Generator().manual_seed(0))
    found = {round(v) for v in hu.unique().tolist()}
    assert 50 in found  # 100 HU halved
    assert 100 not in found
    assert -100 in found  # fat stays fat


def test_outside_of_the_slice_is_air_and_background() -> None:
    how = Augmentation(**{**vars(STILL), "crop": 128})
    hu, mask = augment(*_block(), how, torch.Generator().manual_seed(0))
    assert hu.min() == -1000
    assert (mask[hu < -500] == 0).all()


def test_a_narrow_window_hides_everything_dark() -> None:
    how = Augmentation(**{**vars(STILL), "narrow_share": 1.0})
    hu, _ = augment(*_block(), how, torch.Generator().manual_seed(0))
    assert ((hu >= 0) | (hu == -160)).all()
