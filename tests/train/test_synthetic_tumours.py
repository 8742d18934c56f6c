"""Painted tumours: inside the liver, visible, with the scan's noise, and the same for the same seed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from livdemo.phantom import make_phantom
from train.synthetic_tumours import Painting, known, paint_tumours
from train.tumour_draws import KINDS, LIVER, TUMOUR, Kind, draw_tumours, find_liver

LIVER_HU, FAT_HU, NOISE_HU = 100.0, -100.0, 8.0


def _body(batch: int = 4, depth: int = 1, side: int = 96, noise: float = NOISE_HU) -> tuple[Tensor, Tensor]:
    """Fat with a round liver of a third of the side, the same in every slice."""
    axis = torch.arange(side) - side / 2
    mask = ((axis[:, None] ** 2 + axis**2) < (side / 3) ** 2).to(torch.uint8)
    image = torch.where(mask > 0, LIVER_HU, FAT_HU).expand(batch, depth, side, side)
    grain = torch.randn(image.shape, generator=torch.Generator().manual_seed(9))
    return image + noise * grain, mask.expand(batch, depth, side, side).clone()


def _only(kind: Kind, **ranges: object) -> Painting:
    """One tumour of that kind to each item, of middling size, that leaves its surroundings alone."""
    how = Painting(
        number=(0, 1), kinds=tuple(float(name == kind) for name in KINDS), radius=(0.3, 0.3), push_share=0, rim_share=0
    )
    return replace(how, **ranges)  # type: ignore[arg-type]  # ranges of any field


def _seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_tumours_lie_in_the_liver_and_the_rest_stays_as_it_was() -> None:
    image, mask = _body()
    painted = paint_tumours(image, mask, _only("dark"), _seed())
    assert painted.painted.all()
    assert set(painted.mask.unique().tolist()) == {0, LIVER, TUMOUR}
    assert torch.equal(painted.mask > 0, mask > 0)  # no mass effect asked for
    far = torch.nn.functional.max_pool2d((painted.mask == TUMOUR).float(), 21, 1, 10) == 0
    torch.testing.assert_close(painted.image[far & (mask == 0)], image[far & (mask == 0)], rtol=0, atol=1e-3)
    assert (painted.image - image)[far].abs().max() < 3


def test_arguments_are_not_changed() -> None:
    image, mask = _body()
    before = image.clone(), mask.clone()
    paint_tumours(image, mask, Painting(number=(0, 1), push_share=1), _seed())
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_the_same_seed_paints_the_same_and_another_does_not() -> None:
    first, again, other = (paint_tumours(*_body(depth=2), Painting(), _seed(n)) for n in (5, 5, 6))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.mask, again.mask)
    assert not torch.equal(first.mask, other.mask)


def test_items_without_liver_and_a_number_of_none_change_nothing() -> None:
    image, mask = _body()
    mask[0] = 0
    painted = paint_tumours(image, mask, _only("dark"), _seed())
    assert torch.equal(painted.image[0], image[0])
    assert painted.painted[:, 0].tolist() == [False, True, True, True]
    none = paint_tumours(image, mask, Painting(number=(1, 0)), _seed())
    assert torch.equal(none.image, image)
    assert not none.painted.any()


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("dark", -80, -10), ("fluid", -105, -70), ("bright", 8, 65), ("rimmed", -15, 15), ("calcified", -80, 400)],
)
def test_every_kind_has_its_contrast(kind: Kind, low: float, high: float) -> None:
    image, mask = _body(batch=12, noise=2.0)
    painted = paint_tumours(image, mask, _only(kind, core_share=0), _seed())
    for one, labels in zip(painted.image, painted.mask, strict=True):
        contrast = one[labels == TUMOUR].median() - LIVER_HU
        assert low < contrast < high


def test_calcifications_are_as_dense_as_bone_and_the_others_are_not() -> None:
    image, mask = _body(noise=0.0)
    assert (paint_tumours(image, mask, _only("calcified"), _seed()).image.amax((1, 2, 3)) > 250).all()
    assert paint_tumours(image, mask, _only("dark"), _seed()).image.max() < LIVER_HU + 5


def test_a_rim_is_brighter_than_what_it_encloses() -> None:
    image, mask = _body(batch=8, noise=0.0)
    how = _only("dark", rim_share=1, rim_hu=(40, 40), core_share=0, mottle_hu=(0, 0), edge_mm=(0.5, 0.5))
    painted = paint_tumours(image, mask, how, _seed(1))
    tumour = painted.mask == TUMOUR
    inner = -torch.nn.functional.max_pool2d(-tumour.float(), 5, 1, 2) == 1
    rims = [one[t & ~i].median() - one[i].median() for one, t, i in zip(painted.image, tumour, inner, strict=True)]
    assert sum(rim > 5 for rim in rims) >= 4  # two in three are bright rims
    assert any(rim < 0 for rim in rims)


def test_the_noise_inside_is_that_of_the_scan() -> None:
    image, mask = _body(batch=8)
    painted = paint_tumours(image, mask, _only("dark", mottle_hu=(0, 0), noise=(1, 1), core_share=0), _seed())
    for before, after, labels in zip(image, painted.image, painted.mask, strict=True):
        inside = -torch.nn.functional.max_pool2d(-(labels == TUMOUR).float(), 7, 1, 3) == 1
        assert after[inside].std() == pytest.approx(NOISE_HU, rel=0.25)
        assert torch.corrcoef(torch.stack([before[inside], after[inside]]))[0, 1] > 0.8


def test_small_tumours_stand_out_of_the_noise() -> None:
    image, mask = _body(batch=32, noise=15.0)
    how = _only("dark", radius=(0.05, 0.08), dark_hu=(-1, -1))
    painted = paint_tumours(image, mask, how, _seed())
    change = painted.image - image
    means = [one[labels == TUMOUR].mean() for one, labels in zip(change, painted.mask, strict=True)]
    assert torch.stack(means).median() < -15  # although one HU was asked for


def test_drawn_tumours_are_never_painted_over() -> None:
    image, mask = _body(batch=8)
    mask[:, :, 40:56, 40:56], image[:, :, 40:56, 40:56] = TUMOUR, 40.0
    painted = paint_tumours(image, mask, _only("bright", radius=(0.5, 0.5)), _seed())
    core = (..., slice(43, 53), slice(43, 53))
    torch.testing.assert_close(painted.image[core], image[core], rtol=0, atol=1e-3)
    assert (painted.mask[mask == TUMOUR] == TUMOUR).all()
    assert painted.painted.all()


def test_mass_effect_moves_image_and_mask_together() -> None:
    image, mask = _body(batch=16, noise=0.0)
    how = _only("dark", push_share=1, push=(0.3, 0.3), push_mm=30.0, radius=(0.45, 0.45))
    painted = paint_tumours(image, mask, how, _seed(2))
    assert not torch.equal(painted.mask > 0, mask > 0)  # some tumour bulges
    assert ((painted.image > 70) & (painted.mask == 0)).float().mean() < 0.004
    assert ((painted.image < -70) & (painted.mask == LIVER)).float().mean() < 0.004


def test_a_slab_shows_sections_of_one_body() -> None:
    image, mask = _body(batch=6, depth=7)
    how = _only("dark", slice_gap_mm=(3, 3), stretch=(1, 1), wobble=(0, 0))
    painted = paint_tumours(image, mask, how, _seed())
    area = (painted.mask == TUMOUR).flatten(2).sum(2)
    assert torch.equal(painted.painted, area > 0)
    for sections in area.tolist():
        middle = sections.index(max(sections))
        assert sections[: middle + 1] == sorted(sections[: middle + 1])
        assert sections[middle:] == sorted(sections[middle:], reverse=True)
    assert (area[:, 0] != area[:, -1]).any()


def test_numbers_follow_their_shares() -> None:
    image, mask = _body(batch=60, side=32)
    painted = paint_tumours(image, mask, Painting(number=(0.5, 0.5)), _seed())
    assert 15 < painted.painted.sum() < 45


def test_sizes_run_from_a_few_pixels_to_half_of_the_liver() -> None:
    image, mask = _body(batch=1)
    liver = find_liver(image[0], mask[0])
    assert liver is not None
    assert liver.radius == pytest.approx(32, rel=0.02)
    assert liver.hu == pytest.approx(LIVER_HU, abs=1)
    assert liver.noise == pytest.approx(NOISE_HU, rel=0.1)
    radii = [tumour.radius for tumour in draw_tumours(liver, 300, 3.75, Painting(), _seed())]
    assert min(radii) < 2
    assert 14 < max(radii) <= 16
    assert sorted(radii)[150] < 6


def test_a_phantom_in_other_phases_stays_plausible() -> None:
    """Livers of 58 and of 110 HU: no tissue thinner than water, none but calcified ones like bone."""
    for phase in ("native", "portal"):
        phantom = make_phantom(1, (16, 96, 96), phase=phase)
        liver = phantom.label_map == LIVER
        image = torch.from_numpy(phantom.hu[8:10]).float()[:, None]
        mask = torch.from_numpy(liver[8:10].astype("uint8"))[:, None]
        how = Painting(number=(0, 1), kinds=(1, 1, 0, 0, 0), push_share=0)
        painted = paint_tumours(image, mask, how, _seed(3))
        assert painted.painted.all()
        assert painted.image[painted.mask == TUMOUR].median() > -10
        assert torch.isfinite(painted.image).all()


def test_slivers_of_liver_at_the_border_do_no_harm() -> None:
    image = torch.full((5, 3, 20, 33), FAT_HU)
    mask = torch.zeros(image.shape, dtype=torch.uint8)
    mask[0, 1, 0, 0] = mask[1, 2, 19, 32] = mask[2, :, :, 0] = LIVER
    mask[3], mask[4, 0, 5:8, 5:8] = LIVER, TUMOUR
    image[mask > 0] = LIVER_HU
    for seed in range(20):
        how = Painting(number=(0, 1, 1, 1, 1, 1, 1), radius=(0.04, 1.0), push_share=1)
        painted = paint_tumours(image, mask, how, _seed(seed))
        assert torch.isfinite(painted.image).all()
        assert torch.equal((painted.mask == TUMOUR).flatten(2).any(2)[:4], painted.painted[:4])
        assert not painted.painted[4].any()


def test_known_leaves_out_the_liver_of_union_slices() -> None:
    target = torch.tensor([[[0, 1, 2]], [[0, 1, 2]]], dtype=torch.uint8)
    assert known(target, torch.tensor([True, False])).tolist() == [[[True, True, True]], [[True, False, True]]]


def test_wrong_shapes_and_shares_are_refused() -> None:
    image, mask = _body()
    with pytest.raises(ValueError, match="should both be"):
        paint_tumours(image[:, 0], mask[:, 0], Painting(), _seed())
    with pytest.raises(ValueError, match="should both be"):
        paint_tumours(image, mask[:1], Painting(), _seed())
    with pytest.raises(ValueError, match="shares of 0 to at most"):
        Painting(number=(0.0, 0.0))
    with pytest.raises(ValueError, match="for each of dark"):
        Painting(kinds=(1.0,))
