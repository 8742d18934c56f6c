"""What stands on the wall: models, their consensus, and maps of where they agree; from a visitor's results to panes.

standing = arrange(session, chosen, extras, adjustment, before)    # scores what is new, keeps what is not
panes = panes_of(session, chosen, standing)
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from livdemo.cases import Case
from livdemo.checkpoints import Checkpoint
from livdemo.comparison import Result, Scores, rescore, score_maps
from livdemo.consensus import Consensus, Label, Voter, count_votes, entropy_bits, majority, staple, vote_entropy_bits
from livdemo.predictor import Prediction, neck_of, speck_of
from livdemo.report import format_metric
from livdemo.rescoring import Rule
from livdemo.ui.viewer import Level, Pane, PaneDice, PaneWitness

Extra = Literal["majority", "staple", "agree tumour", "agree liver", "disagreement", "unsure"]
EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "majority": "Majority",
        "staple": "STAPLE",
        "agree tumour": "Who says tumour",
        "agree liver": "Who says liver",
        "disagreement": "Disagreement",
        "unsure": "Unsure",
    }
)
NEEDS_TWO = frozenset(EXTRAS) - {"unsure"}
FIRST_EXTRAS = ("majority", "agree tumour")

# From few to many, dark to bright, readable without colour vision (cividis, Nunez et al. 2018).
RAMP = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")
BITS_PER_LEVEL = 0.1
MOST_BITS = math.log2(3)


@dataclass(frozen=True)
class Adjustment:
    """The sliders: a rule for all models. None where each model keeps its own."""

    liver_threshold: float = 0.5
    tumour_threshold: float = 0.5
    largest_component: bool | None = None
    liver_gate: bool = True
    fill_holes: bool = False
    smallest_lesion_ml: float | None = None

    def rule_for(self, checkpoint: Checkpoint, spacing_known: bool) -> Rule:
        """The rule for a model that by itself keeps the largest component, or does not."""
        kept = checkpoint.largest_component if self.largest_component is None else self.largest_component
        own, asked = speck_of(checkpoint, spacing_known), self.smallest_lesion_ml
        dropped = own if asked is None or not spacing_known else asked  # millilitres mean nothing without a spacing
        return Rule(
            liver_threshold=self.liver_threshold,
            tumour_threshold=self.tumour_threshold,
            largest_component=kept,
            neck_mm=neck_of(checkpoint, spacing_known),
            liver_gate=self.liver_gate,
            fill_holes=self.fill_holes,
            smallest_lesion_ml=dropped,
        )


OWN_RULES = Adjustment()  # each model by the rule that its manifest row has


@dataclass(frozen=True, eq=False)
class Entry:
    """One row of the tables and one pane: a model, or what several say together."""

    key: str
    title: str
    kind: Literal["model", "consensus"]
    label_map: np.ndarray  # uint8 (Z, Y, X)
    scores: Scores | None
    knows_tumour: bool
    provenance: str  # for hovering
    note: str = ""  # beside the title: untrained, re-scored, consensus
    warning: str = ""
    prediction: Prediction | None = None  # None for a consensus


@dataclass(frozen=True, eq=False)
class LevelMap:
    """A map that is no label map: numbers of levels, uint8 (Z, Y, X), level 0 unpainted."""

    key: str
    title: str
    label_map: np.ndarray
    levels: tuple[Level, ...]
    provenance: str


@dataclass(frozen=True, eq=False)
class Standing:
    """What stands on the wall, and what it was made from, so that the next call works out only what is new."""

    models: Mapping[str, Entry]  # with results, in the order of the list
    extras: Mapping[str, Entry | LevelMap]
    adjustment: Adjustment
    made_from: tuple[Result, ...]

    @property
    def entries(self) -> list[Entry]:
        """Everything that is scored: the models, then what they say together."""
        return [*self.models.values(), *(extra for extra in self.extras.values() if isinstance(extra, Entry))]

    def is_of(self, results: Mapping[str, Result]) -> bool:
        """Whether all of it was made from these: between the opening of a case and the next picture it is not."""
        return {id(one) for one in self.made_from} <= {id(one) for one in results.values()}


def arrange(
    case: Case,
    results: Mapping[str, Result],
    chosen: Sequence[str],
    extras: Sequence[str],
    adjustment: Adjustment = OWN_RULES,
    before: Standing | None = None,
) -> Standing:
    """The chosen models that have a result, under the visitor's rule, and the extras that they are enough for."""
    standing = {name: results[name] for name in chosen if name in results}
    made_from = tuple(standing.values())
    models = {}
    for name, result in standing.items():
        old = before.models.get(name) if before and before.adjustment == adjustment else None
        same = old is not None and before is not None and any(result is one for one in before.made_from)
        models[name] = old if old is not None and same else _entry(case, name, result, adjustment)
    unchanged = before is not None and before.adjustment == adjustment and _same(before.made_from, made_from)
    there = before.extras if before is not None and unchanged else {}
    made: dict[str, Entry | LevelMap] = {}
    if models:
        for extra in EXTRAS:
            if extra in extras and (extra not in NEEDS_TWO or len(models) > 1):
                made[extra] = there.get(extra) or _extra(case, extra, models)
    return Standing(MappingProxyType(models), MappingProxyType(made), adjustment, made_from)


def _same(one: tuple[Result, ...], other: tuple[Result, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _entry(case: Case, name: str, result: Result, adjustment: Adjustment) -> Entry:
    checkpoint = result.prediction.checkpoint
    known = case.volume.spacing_known
    rule = adjustment.rule_for(checkpoint, known)
    changed = rule != OWN_RULES.rule_for(checkpoint, known)
    if changed and result.prediction.quantised is not None:
        result = rescore(case, result, rule)
    notes = [*(["untrained"] if not checkpoint.sha256 else []), *(["re-scored"] if changed else [])]
    return Entry(
        key=name,
        title=checkpoint.title.removesuffix(" (untrained)"),
        kind="model",
        label_map=result.prediction.label_map,
        scores=result.scores,
        knows_tumour="tumour" in checkpoint.labels,
        provenance=provenance_of(result.prediction),
        note=", ".join(notes),
        warning=checkpoint.weak_on(case.name),
        prediction=result.prediction,
    )


def provenance_of(prediction: Prediction) -> str:
    """A few lines for hovering: weights, training, input, rule, time."""
    checkpoint = prediction.checkpoint
    weights = f"{checkpoint.file}, sha256 {checkpoint.sha256[:12]}…" if checkpoint.sha256 else "random weights"
    millions = checkpoint.parameters / 1e6
    memory = "of the whole process" if prediction.device == "cpu" else "of the GPU"
    return "\n".join(
        (
            f"{checkpoint.title}, {checkpoint.preset} preset, {millions:.2f} M parameters; {weights}.",
            checkpoint.trained_on,
            f"Fed with {prediction.preprocessing.describe()}.{_cut_close(prediction)}",
            f"{prediction.rule[:1].upper()}{prediction.rule[1:]}.",
            f"{prediction.seconds:.1f} s on {prediction.device.upper()}, {prediction.peak_memory_mb:.0f} MB {memory}.",
            *([checkpoint.weak] if checkpoint.weak else []),
        )
    )


def _cut_close(prediction: Prediction) -> str:
    whole, fed = prediction.checkpoint.preprocessing.size, prediction.preprocessing.size
    return f" This scan was cut close: of whole bodies it gets {whole}×{whole}." if fed < whole else ""


def _extra(case: Case, extra: str, models: Mapping[str, Entry]) -> Entry | LevelMap:
    voters = [Voter(entry.title, entry.label_map, entry.knows_tumour) for entry in models.values()]
    if extra == "majority":
        return _consensus(case, extra, majority(voters))
    if extra == "staple":
        return _consensus(case, extra, staple(voters))
    if extra == "agree tumour":
        return _agreement(extra, voters, "tumour")
    if extra == "agree liver":
        return _agreement(extra, voters, "liver")
    if extra == "disagreement":
        bits = np.stack([_rounded(vote_entropy_bits(voters, z)) for z in range(len(voters[0].label_map))])
        why = "Entropy of the models' labels, in bits: 0 where all say the same. Models that share a mistake agree."
        return LevelMap(extra, EXTRAS[extra], bits, _bit_levels(), why)
    bits = _unsure(list(models.values()))
    who = " and ".join(entry.title for entry in models.values())
    why = f"Entropy in bits of the mean probability of {who}: 0 is certain, 1.6 no idea. Sure is not the same as right."
    return LevelMap(extra, EXTRAS[extra], bits, _bit_levels(), why)


def _consensus(case: Case, key: str, made: Consensus) -> Entry:
    scores = None
    if case.reference is not None:
        labels = 2 if made.knows_tumour else 1
        scores = score_maps(made.label_map, case.reference, case.volume.spacing_mm, case.volume.hu, labels)
    reliable = "".join(
        f"\n{one.name}, {one.label}: sensitivity {one.sensitivity:.2f}, specificity {one.specificity:.3f} in its eyes"
        for one in made.reliability
    )
    return Entry(
        key, made.title, "consensus", made.label_map, scores, made.knows_tumour, made.note + reliable, "consensus"
    )


def _agreement(key: str, voters: Sequence[Voter], label: Label) -> LevelMap:
    votes = count_votes(voters, label)
    asked = max(votes.asked, 1)
    levels = tuple(Level(f"{k} of {votes.asked}", _ramp(k / asked)) for k in range(votes.asked + 1))
    why = f"How many of the models call a voxel {label}. Models that share a mistake agree too."
    return LevelMap(key, EXTRAS[key], votes.count, levels, why)


def _unsure(entries: Sequence[Entry]) -> np.ndarray:
    """Levels of the entropy of the models' mean probabilities; models that know no tumour have no say on it."""
    asked = [entry for entry in entries if entry.knows_tumour] or list(entries)
    codes = [entry.prediction.quantised for entry in asked if entry.prediction and entry.prediction.quantised]
    depth = len(entries[0].label_map)
    levels = np.zeros(entries[0].label_map.shape, np.uint8)
    starts = [code.box[0].start for code in codes if code.inside.size]
    stops = [code.box[0].stop for code in codes if code.inside.size]
    for z in range(min(starts, default=depth), max(stops, default=0)):
        levels[z] = _rounded(entropy_bits(np.mean([code.probabilities(z) for code in codes], axis=0)))
    return levels


def _rounded(bits: np.ndarray) -> np.ndarray:
    return np.rint(bits / BITS_PER_LEVEL).astype(np.uint8)


def _bit_levels() -> tuple[Level, ...]:
    count = round(MOST_BITS / BITS_PER_LEVEL) + 1
    return tuple(Level(f"{k * BITS_PER_LEVEL:.1f} bits", _ramp(k / (count - 1))) for k in range(count))


def _ramp(share: float) -> str:
    return RAMP[round(share * (len(RAMP) - 1))]


# ------------------------------------------------------------------------------------------------- panes


def panes_of(case: Case, titles: Mapping[str, str], standing: Standing, failed: Mapping[str, str]) -> list[Pane]:
    """The reference, the chosen models (`titles` by name; empty where none has run yet), then the extras.

    failed: why a model could not run, by name.
    """
    panes, known = [reference_pane(case)], case.volume.spacing_known
    for name, title in titles.items():
        if name in standing.models:
            panes.append(entry_pane(standing.models[name], known))
        else:
            why = failed.get(name, "has not run on this case yet")
            panes.append(Pane(name, title, empty_text=why, hint=why))
    for key, extra in standing.extras.items():
        if isinstance(extra, Entry):
            panes.append(entry_pane(extra, known))
        else:
            panes.append(
                Pane(
                    key, extra.title, label_map=extra.label_map, levels=extra.levels, hint=extra.provenance, kind="map"
                )
            )
    return panes


def reference_pane(case: Case) -> Pane:
    """The pane that the others are compared with."""
    hint = f"{case.source}. Licence: {case.licence}."
    return Pane(
        "reference",
        "Reference",
        label_map=case.reference,
        empty_text="no reference for this case",
        hint=hint,
        kind="reference",
    )


def entry_pane(entry: Entry, spacing_known: bool) -> Pane:
    """One model's or consensus's pane, with its Dice of every slice and the witnesses of its Hausdorff distances."""
    dice: tuple[PaneDice, ...] = ()
    if entry.scores is not None:
        pairs = zip(entry.scores.metrics, entry.scores.slices, strict=True)
        dice = tuple(PaneDice(metrics.label, slices.dice, metrics.dice) for metrics, slices in pairs)
    hint = f"{entry.title}\n{entry.provenance}"
    return Pane(
        entry.key,
        entry.title,
        entry.note,
        entry.label_map,
        hint=hint,
        kind=entry.kind,
        dice=dice,
        witnesses=tuple(witnesses_of(entry, spacing_known)),
    )


def witnesses_of(entry: Entry, spacing_known: bool) -> Iterator[PaneWitness]:
    """Liver's and tumour's, as far as there are two outlines that differ: a miss has nothing to measure between."""
    if entry.scores is None:
        return
    for metrics, witness in zip(entry.scores.metrics, entry.scores.witnesses, strict=True):
        if witness is not None and witness.distance_mm > 0:
            z, y, x = witness.voxel
            far_z, far_y, far_x = witness.nearest_voxel
            words = format_metric(metrics, "hd_mm", spacing_known)
            yield PaneWitness(metrics.label, ((z, y, x), (far_z, far_y, far_x)), witness.from_mask, words)


def running_pane(title: str, note: str, label_map: np.ndarray, finished: np.ndarray, name: str) -> Pane:
    """A model at work: its finished slices, unscored."""
    return Pane(name, title, note, label_map=label_map, finished=finished, hint=f"{title} is running; not scored yet.")


def with_pane(value: dict[str, Any], pane: dict[str, Any]) -> dict[str, Any]:
    """A viewer's value with one pane exchanged: nothing else of it is packed or hashed again."""
    return {**value, "panes": [pane if one["id"] == pane["id"] else one for one in value["panes"]]}
