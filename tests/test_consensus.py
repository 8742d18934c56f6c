"""Several models as one: votes counted by hand, STAPLE against its own equations and against known voters."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from livdemo.consensus import (
    Consensus,
    Voter,
    count_votes,
    entropy_bits,
    majority,
    staple,
    vote_entropy_bits,
)
from livdemo.errors import InputError


def voter(name: str, labels: list[int], knows_tumour: bool = True) -> Voter:
    return Voter(name, np.array(labels, np.uint8)[None, None], knows_tumour)


THREE = (voter("a", [0, 1, 2, 2, 2]), voter("b", [0, 0, 2, 1, 2]), voter("c", [0, 0, 0, 1, 2]))


def test_votes_by_hand() -> None:
    assert count_votes(THREE, "liver").count[0, 0].tolist() == [0, 1, 2, 3, 3]
    tumour = count_votes(THREE, "tumour")
    assert tumour.count[0, 0].tolist() == [0, 0, 2, 1, 3]
    assert tumour.asked == 3


def test_who_knows_no_tumour_has_no_vote_on_it() -> None:
    voters = (*THREE, voter("liver only", [0, 1, 1, 1, 1], knows_tumour=False))
    assert count_votes(voters, "tumour").asked == 3
    assert count_votes(voters, "liver").asked == 4
    assert majority(voters).label_map[0, 0].tolist() == [0, 0, 2, 1, 2]


def test_majority_by_hand() -> None:
    consensus = majority(THREE)
    assert consensus.label_map[0, 0].tolist() == [0, 0, 2, 1, 2]
    assert consensus.title == "Majority of 3"
    assert "a, b and c" in consensus.note
    assert consensus.knows_tumour


def test_a_tie_is_a_no() -> None:
    assert majority((voter("a", [1, 2, 2]), voter("b", [0, 1, 2]))).label_map[0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("make", [majority, staple])
def test_a_tumour_needs_a_liver_around_it(make) -> None:
    livers = [voter(name, [1, 1, 1, 0, 0, 0], knows_tumour=False) for name in "ab"]
    assert make([*livers, voter("c", [1, 2, 1, 2, 0, 0])]).label_map[0, 0].tolist() == [1, 2, 1, 0, 0, 0]


@pytest.mark.parametrize("make", [majority, staple])
def test_livers_alone_make_a_liver(make) -> None:
    consensus = make([voter(name, [1, 1, 0], knows_tumour=False) for name in "abc"])
    assert consensus.label_map[0, 0].tolist() == [1, 1, 0]
    assert not consensus.knows_tumour


@pytest.mark.parametrize("make", [majority, staple])
def test_one_model_is_no_consensus(make) -> None:
    with pytest.raises(InputError, match="at least two models"):
        make(THREE[:1])


def test_label_maps_of_two_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(1, 1, 5\).*\(1, 1, 2\)"):
        majority((THREE[0], voter("short", [0, 1])))


def test_entropy_by_hand() -> None:
    shares = np.array([[1, 0.5, 1 / 3, 0.25], [0, 0.5, 1 / 3, 0.75], [0, 0, 1 / 3, 0]])
    quarter = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    assert entropy_bits(shares) == pytest.approx([0, 1, math.log2(3), quarter])
    assert vote_entropy_bits(THREE, 0)[0] == pytest.approx(
        [0, math.log2(3) - 2 / 3, math.log2(3) - 2 / 3, math.log2(3) - 2 / 3, 0], abs=1e-6
    )


def test_entropy_of_votes_leaves_out_who_knows_no_tumour() -> None:
    voters = (voter("a", [2, 1]), voter("b", [2, 2]), voter("liver only", [1, 1], knows_tumour=False))
    assert vote_entropy_bits(voters, 0)[0] == pytest.approx([0, 1])
    assert vote_entropy_bits(voters[2:], 0)[0].tolist() == [0, 0]


def made_up_voters(seed: int = 0, flips: tuple[float, ...] = (0.02, 0.05, 0.25)) -> tuple[np.ndarray, list[Voter]]:
    """A truth (Z, Y, X), and voters who are wrong at random in so many of its voxels."""
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.standard_normal((6, 40, 40)), 2) > 0
    maps = [(truth ^ (rng.random(truth.shape) < flip)).astype(np.uint8) for flip in flips]
    return truth, [Voter(f"{flip}", one, knows_tumour=False) for flip, one in zip(flips, maps, strict=True)]


def test_staple_finds_out_who_is_reliable() -> None:
    truth, voters = made_up_voters()
    consensus = staple(voters)
    for judged in consensus.reliability:
        assert judged.sensitivity == pytest.approx(1 - float(judged.name), abs=0.02)
        assert judged.specificity == pytest.approx(1 - float(judged.name), abs=0.02)
    right = ((consensus.label_map > 0) == truth).mean()
    assert right >= ((majority(voters).label_map > 0) == truth).mean()
    assert right > 0.975


def warfield(masks: np.ndarray, rounds: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The E and M steps of the paper for masks (voters, N): posterior, sensitivities, specificities."""
    prior = masks.mean()
    p = q = np.full(len(masks), 0.99999)
    for _ in range(rounds):
        a = prior * np.prod(np.where(masks, p[:, None], 1 - p[:, None]), axis=0)
        b = (1 - prior) * np.prod(np.where(masks, 1 - q[:, None], q[:, None]), axis=0)
        w = a / (a + b)
        p, q = masks @ w / w.sum(), ~masks @ (1 - w) / (1 - w).sum()
    return w, p, q


def test_staple_is_the_papers() -> None:
    _, voters = made_up_voters(4, (0.05, 0.1, 0.15, 0.3))
    posterior, p, q = warfield(np.stack([v.label_map.ravel() > 0 for v in voters]))
    consensus = staple(voters)
    assert np.array_equal(consensus.label_map.ravel() > 0, posterior > 0.5)
    assert [r.sensitivity for r in consensus.reliability] == pytest.approx(list(p), abs=1e-4)
    assert [r.specificity for r in consensus.reliability] == pytest.approx(list(q), abs=1e-4)


def test_staple_follows_a_good_voter_where_a_majority_of_poor_ones_is_wrong() -> None:
    truth, voters = made_up_voters(1, (0.01, 0.3, 0.3, 0.3, 0.3))
    wrong = [((make(voters).label_map > 0) != truth).mean() for make in (staple, majority)]
    assert wrong[0] < 0.03 < wrong[1]


def test_the_air_around_changes_nothing() -> None:
    _, voters = made_up_voters(2)
    roomy = [Voter(v.name, np.pad(v.label_map, 9), False) for v in voters]
    assert np.array_equal(staple(roomy).label_map[9:-9, 9:-9, 9:-9], staple(voters).label_map)


def both(voters: list[Voter]) -> tuple[Consensus, Consensus]:
    return majority(voters), staple(voters)


def test_voters_of_one_mind_are_the_consensus() -> None:
    label_map = np.random.default_rng(0).integers(0, 3, (3, 5, 5)).astype(np.uint8)
    for consensus in both([Voter(name, label_map) for name in "abc"]):
        assert np.array_equal(consensus.label_map, label_map)


def test_empty_label_maps_give_an_empty_consensus() -> None:
    for consensus in both([voter(name, [0, 0, 0]) for name in "abc"]):
        assert not consensus.label_map.any()
    livers = both([voter(name, [0, 1, 1]) for name in "abc"])
    assert [consensus.label_map[0, 0].tolist() for consensus in livers] == [[0, 1, 1]] * 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), number=st.integers(2, 5))
def test_a_consensus_says_nothing_that_nobody_said(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, 3, (2, 4, 4)).astype(np.uint8) for _ in range(number)]
    voters = [Voter(str(k), one) for k, one in enumerate(maps)]
    for consensus in both(voters):
        for label in (1, 2):
            said = np.stack(maps) >= label
            assert not ((consensus.label_map >= label) & ~said.any(axis=0)).any()
    for consensus in both(voters):
        assert (consensus.label_map >= np.stack(maps).min(axis=0)).all()
