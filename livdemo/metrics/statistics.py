"""Statistics over cases: means that keep their misses, intervals, paired tests, and how firm a ranking is.

A list of scores has one number per case, in the same order for every model. NaN is n/a (both masks empty):
left out of a mean and counted. A miss stands in the list at its worst value (overlap 0, image diagonal) and
stays in. Nothing is ranked, and no test is made, at fewer than MIN_CASES cases.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .mask_pair import FloatArray
from .scoring import DEFINITIONS, LabelMetrics

MIN_CASES = 5
# Below this a bootstrap interval of a mean is narrower than it claims (PEERS.md C9, OpenReview WNwyvxo4zI).
TRUSTED_CASES = 50
RESAMPLES = 9999

Method = Literal["BCa", "percentile"]


@dataclass(frozen=True)
class Interval:
    """Bootstrap interval of a mean over cases. low and high are NaN where there is none; reason says why."""

    mean: float
    low: float
    high: float
    n: int  # cases in the mean
    level: float
    method: str
    reason: str  # a caution or why there is no interval; "" when there is nothing to say


@dataclass(frozen=True)
class Summary:
    """One figure of one label over cases, misses kept in. n + n_empty is the number of cases."""

    metric: str
    label: str
    interval: Interval
    n: int
    n_empty: int  # both masks empty: nothing to find, nothing claimed; not in the mean
    n_missed: int  # prediction empty: in the mean at the worst value
    n_false_alarm: int  # reference empty: in the mean at the worst value
    sd: float  # sample standard deviation; NaN below two cases
    median: float
    worst: float


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same cases: Wilcoxon signed-rank test, with Holm's correction over all pairs.

    mean_difference is model minus other, with its bootstrap interval. p and p_holm are NaN where no test was
    made, and reason says why.
    """

    model: str
    other: str
    n: int  # cases in the test
    n_left_out: int  # both models n/a
    n_filled: int  # one model n/a, the other a false alarm: the silent one counts at the metric's best value
    mean_difference: float
    interval: Interval
    p: float
    p_holm: float
    reason: str


@dataclass(frozen=True)
class Ranking:
    """Models in order of mean score, and how often each keeps its place when the cases are drawn again.

    share[model][k] is the share of resamples in which the model takes place k+1; equal means share the better
    place. ranked is False below MIN_CASES cases: order and share are then empty and reason says why.
    """

    ranked: bool
    reason: str
    order: tuple[str, ...]
    mean: dict[str, float]
    share: dict[str, tuple[float, ...]]
    n: int


def bootstrap_mean(
    scores: Sequence[float] | FloatArray,
    level: float = 0.95,
    method: Method = "BCa",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of the scores and its bootstrap interval over cases (Efron 1987 for BCa; scipy.stats.bootstrap).

    NaN scores are left out. One case has no interval; equal scores have one of width 0. Same seed, same
    interval. ValueError on a level outside (0, 1), an unknown method or infinite scores.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level must lie in (0, 1), not {level}")
    if method not in ("BCa", "percentile"):
        raise ValueError(f"method must be 'BCa' or 'percentile', not {method!r}")
    values = _defined(scores)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        reason = "no case has this figure" if n == 0 else "one case has no spread, so there is no interval"
        return Interval(mean, math.nan, math.nan, n, level, method, reason)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean, n, level, method, f"all {n} cases score the same")
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=resamples, method=method,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = (float(bound) for bound in result.confidence_interval)
    caution = f"{n} cases: intervals of a mean are trusted from about {TRUSTED_CASES}"
    return Interval(mean, low, high, n, level, method, caution if n < TRUSTED_CASES else "")


def summarise(
    rows: Sequence[LabelMetrics], metric: str, level: float = 0.95, method: Method = "BCa", seed: int = 0
) -> Summary:
    """Summarise one figure over the rows of one label, one row per case (see `score_case`).

    ValueError when there are no rows, the rows are of several labels, or the metric is not a field with a
    direction (DEFINITIONS).
    """
    labels = {row.label for row in rows}
    if len(labels) != 1:
        raise ValueError(f"rows of one label are needed, these are of {sorted(labels) or 'none'}")
    scores = np.array([getattr(row, _known(metric)) for row in rows], dtype=float)
    states = [row.state for row in rows]
    values = _defined(scores)
    lowest_is_best = DEFINITIONS[metric].better == "lower"
    return Summary(
        metric=metric,
        label=labels.pop(),
        interval=bootstrap_mean(values, level, method, seed),
        n=len(values),
        n_empty=states.count("both empty"),
        n_missed=states.count("prediction empty"),
        n_false_alarm=states.count("reference empty"),
        sd=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        median=float(np.median(values)) if len(values) else math.nan,
        worst=float(values.max() if lowest_is_best else values.min()) if len(values) else math.nan,
    )


def pooled_dice(rows: Sequence[LabelMetrics]) -> float:
    """Dice of all cases' voxels thrown together, each weighted by its volume in mL ("global Dice").

    Large lesions decide it, where the mean of the cases' Dice (SFAN's "Dice per case") counts each case once.
    NaN when every case is empty. From 2 |A∩B| = Dice (|A|+|B|) of each case.
    """
    volumes = np.array([row.volume_ml + row.reference_volume_ml for row in rows])
    shared = np.array([0.0 if math.isnan(row.dice) else row.dice for row in rows]) * volumes
    total = float(volumes.sum())
    return float(shared.sum()) / total if total else math.nan


def compare_models(
    scores: Mapping[str, Sequence[float]], metric: str, level: float = 0.95, seed: int = 0
) -> list[PairedComparison]:
    """Compare every pair of models on the same cases (Wilcoxon 1945 with Pratt's zeros; Holm 1979).

    scores holds one list of the metric per model, one number per case in the same order. A case in which both
    models are n/a is left out. Where only one is n/a (it rightly predicted nothing, the other raised a false
    alarm) it counts at the metric's best value (Dice 1, distance 0): otherwise the false alarm would vanish from
    the comparison. No test below MIN_CASES cases. ValueError when the lists differ in length or the metric has
    no best value.
    """
    _check_lengths(scores)
    best = best_value(metric)
    pairs = list(itertools.combinations(scores, 2))
    drafts = [_compare(a, b, scores[a], scores[b], best, level, seed) for a, b in pairs]
    corrected = holm([draft.p for draft in drafts])
    return [replace(draft, p_holm=p) for draft, p in zip(drafts, corrected, strict=True)]


def _compare(
    model: str, other: str, a: Sequence[float], b: Sequence[float], best: float, level: float, seed: int
) -> PairedComparison:
    first, second, left_out, filled = _paired(np.asarray(a, float), np.asarray(b, float), best)
    difference = first - second
    n, p, reason = len(difference), math.nan, ""
    if n < MIN_CASES:
        reason = f"{n} cases: no test is made below {MIN_CASES}"
    elif not difference.any():
        p, reason = 1.0, "the two models score the same in every case"
    else:
        p = float(stats.wilcoxon(first, second, zero_method="pratt", method="auto").pvalue)
    return PairedComparison(
        model, other, n, left_out, filled,
        mean_difference=float(difference.mean()) if n else math.nan,
        interval=bootstrap_mean(difference, level, seed=seed), p=p, p_holm=math.nan, reason=reason,
    )  # fmt: skip


def _paired(a: FloatArray, b: FloatArray, best: float) -> tuple[FloatArray, FloatArray, int, int]:
    neither = np.isnan(a) & np.isnan(b)
    one = np.isnan(a) ^ np.isnan(b)
    kept_a, kept_b = (np.where(np.isnan(side), best, side)[~neither] for side in (a, b))
    return kept_a, kept_b, int(neither.sum()), int(one.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979). NaN (no test made) stays NaN and does not count as a test."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p), math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


def rank_models(scores: Mapping[str, Sequence[float]], metric: str, seed: int = 0, resamples: int = 2000) -> Ranking:
    """Rank models by mean score and see how firm the order is, by drawing the cases again with replacement.

    A case that is n/a for every model is left out; where it is n/a for some only, those count at the metric's
    best value, as in `compare_models`. Below MIN_CASES cases nothing is ranked and the reason is given.
    ValueError when the lists differ in length or the metric has no best value.
    """
    best, lowest_is_best = best_value(metric), DEFINITIONS[metric].better == "lower"
    _check_lengths(scores)
    models = list(scores)
    table = np.array([scores[model] for model in models], dtype=float)  # (models, cases)
    table = np.where(np.isnan(table), best, table)[:, ~np.isnan(table).all(axis=0)]
    n = table.shape[1]
    mean = {model: float(row.mean()) if n else math.nan for model, row in zip(models, table, strict=True)}
    if n < MIN_CASES:
        cases = "1 case" if n == 1 else f"{n} cases"
        return Ranking(False, f"{cases}: nothing is ranked below {MIN_CASES}", (), mean, {}, n)
    draws = np.random.default_rng(seed).integers(0, n, (resamples, n))
    means = table[:, draws].mean(axis=2)  # (models, resamples)
    places = _places(means, lowest_is_best)
    share = {
        model: tuple(float((row == place).mean()) for place in range(1, len(models) + 1))
        for model, row in zip(models, places, strict=True)
    }
    order = sorted(models, key=lambda model: mean[model] if lowest_is_best else -mean[model])
    return Ranking(True, "", tuple(order), mean, share, n)


def _places(means: FloatArray, lowest_is_best: bool) -> NDArray[np.int64]:
    """Place of each model (first axis) in each resample; equal means share the better place."""
    signed = means if lowest_is_best else -means
    return 1 + (signed[None, :, :] < signed[:, None, :]).sum(axis=1)


def _check_lengths(scores: Mapping[str, Sequence[float]]) -> None:
    lengths = {model: len(values) for model, values in scores.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"models must be scored on the same cases, but the lists have lengths {lengths}")


def best_value(metric: str) -> float:
    """What a perfect mask scores: 1 for a share, 0 mm for a distance. ValueError for any other figure."""
    definition = DEFINITIONS[_known(metric)]
    if definition.unit not in ("", "mm"):
        raise ValueError(f"{metric!r} has no best value, so models are not compared by it")
    return 0.0 if definition.better == "lower" else 1.0


def _known(metric: str) -> str:
    if metric not in DEFINITIONS or DEFINITIONS[metric].better not in ("higher", "lower"):
        directed = [name for name, d in DEFINITIONS.items() if d.better in ("higher", "lower")]
        raise ValueError(f"{metric!r} is not one of {directed}")
    return metric


def _defined(scores: Sequence[float] | FloatArray) -> FloatArray:
    values = np.asarray(scores, dtype=float)
    values = values[~np.isnan(values)]
    if np.isinf(values).any():
        raise ValueError("scores must be finite or NaN; a miss stands at its worst value, not at infinity")
    return values
