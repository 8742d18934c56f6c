"""From a protocol to its runs: every model or variant, every fold, as train.run.Run with a folder of its own.

    fair       all models: the house plan, the same patients, folds, budget and input size
    second     all models: on from the networks of `fair`, each from its own fold's, by the second course of the plan
    third      on from those of `second` in the same way, with finer pictures
    recipe     all models: each as its paper trained it, shortened to a classroom machine's reach unless `full`
    ablations  train/ablations.py

A run's folder is called by a fingerprint of all that decides its weights, so two tables that need the same network
train it once, and a changed plan never meets the weights of the old one.
"""

import hashlib
import importlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from livdemo.errors import InputError
from livdemo.models import ModelSpec, Preset, get_model, list_models
from livdemo.pieces import NECK_MM, SPECK_ML
from livdemo.predictor import FAT_HU, Inference
from livdemo.rescoring import Rule
from train.ablations import STUDIES, Data, Study, Variant
from train.cache import Slices, cached_slices
from train.fold_scores import voxels_in_ml
from train.liver_free import liver_free_scans
from train.plan import HOUSE, SECOND_COURSE, THIRD_COURSE, Plan
from train.polyps import polyp_variant
from train.pseudo_labels import SURE
from train.run import Run, learned, without_versions
from train.scans import EIGHT_BIT, Scan
from train.sources import find_scans, phantom_scans
from train.sources.phantom import PHANTOM_SHAPE
from train.split import Split, check_split, folds, hold_out, split_by_patient, split_by_slice

Protocol = Literal["fair", "second", "third", "recipe", "ablations"]
PROTOCOLS: tuple[Protocol, ...] = ("fair", "second", "third", "recipe", "ablations")
BEGINS_WITH: dict[Protocol, Protocol] = {"second": "fair", "third": "second"}

FOLDS = {3: ("A,E", "B,F", "C,D"), 6: tuple("ABCDEF")}  # the patients of ct_liver_tumour
EVERYBODY = "all"  # the fold in which nobody is held out: what ships
UNION_EVERY = 6  # one in so many of the liver-only volumes is held out too
LIVER_FREE_SEEDS = range(6)  # of phantoms whose chest and pelvis are added where that is asked for
PHANTOM_SEEDS = range(10)  # for a network of contrast phases, which no data set has
SHARE = 0.2  # held out where there are no folds
# What learned by the house plan is asked with larger pictures: edges are finer, and organs no larger than the zoomed
# views had them. Study "larger input". Not of contrast phases, for which nobody tried it.
LARGER = 1.25
FINER = 1.5  # side of the third course's input, in sides of the first's


@dataclass(frozen=True)
class Settings:
    """What is the same for all runs of a call."""

    protocol: Protocol
    data: Path
    cache: Path
    out: Path
    models: tuple[str, ...] = ()  # none named: all
    studies: tuple[str, ...] = ()  # likewise
    folds: tuple[str, ...] = FOLDS[3]
    size: int = 128  # side of the network's input in pixels; the third course's is finer
    seed: int = 0
    preset: Preset = "classroom"
    house: Plan = HOUSE
    second_course: Plan = SECOND_COURSE
    third_course: Plan = THIRD_COURSE
    full: bool = False  # the recipes unshortened
    bf16: bool = False
    liver_free: bool = False  # phantom slices of chest and pelvis in training

    @property
    def series(self) -> str:
        """Runs of one series may stand in one table."""
        whole = " unshortened" if self.full and self.protocol == "recipe" else ""
        return f"{self.protocol}{whole}, {self.preset}, {self.learned_size} pixels"

    @property
    def learned_size(self) -> int:
        """Side of the input that the protocol's networks learn with, in pixels."""
        return round(self.size * FINER) if self.protocol == "third" else self.size

    def command(self, study: str) -> str:
        """What prints the figures of a table, whichever models are in it."""
        words = ["python -m train.reproduce --data DIR", f"--protocol {self.protocol}"]
        words += [f'--studies "{study}"'] if study else []
        words += [f"--folds {' '.join(self.folds)}", f"--size {self.size}"]
        words += [f"--preset {self.preset}"] if self.preset != "classroom" else []
        words += ["--full"] if self.full else []
        words += ["--bf16"] if self.bf16 else []
        words += ["--liver-free"] if self.liver_free else []
        return " ".join(words)


@dataclass(frozen=True, eq=False)
class Material:
    """Data of one kind: the scans for scoring on their own grid, the slices for training."""

    scans: tuple[Scan, ...]
    slices: Slices


@dataclass(frozen=True, eq=False)
class Planned:
    """One run of a protocol and how its network is asked afterwards."""

    series: str
    command: str  # that makes the table it stands in
    study: str
    variant: Variant
    fold: str
    run: Run
    scans: tuple[Scan, ...]
    first_stage: "Planned | None" = None  # of a cascade: the coarse liver of the same fold
    begins_with: "Planned | None" = None  # of a later course: the one before, of the same fold
    teachers: "tuple[Planned, ...]" = ()  # of pseudo-labels: the networks that make them, of the same fold

    @property
    def inference(self) -> Inference:
        return Inference(scales=self.variant.scales, suits=self.variant.suits)

    @property
    def rule(self) -> Rule | None:
        """How its probabilities become labels, where that is not as the predictor decides."""
        variant = self.variant
        if variant.tumour_threshold == Rule.tumour_threshold and not variant.speck_voxels:
            return None
        return Rule(
            tumour_threshold=variant.tumour_threshold,
            largest_component=variant.largest_component,
            smallest_lesion_ml=voxels_in_ml(variant.speck_voxels),
        )

    @property
    def asked_size(self) -> int:
        """Side of the network's input when it is asked, in pixels; it may be larger than what it learned from."""
        spec = self.run.spec
        multiples = spec.preprocessing[self.run.preset].size * self.variant.larger / spec.size_multiple
        return math.ceil(multiples) * spec.size_multiple

    @property
    def how_asked(self) -> dict[str, float | None]:
        """How the network is asked, as its row has it: another way makes another row, without a training."""
        variant = self.variant
        return {
            "asked_size": self.asked_size,
            "neck_mm": variant.neck_mm,
            "speck_ml": variant.speck_ml,
            "fat_hu": variant.fat_hu,
        }

    @property
    def who(self) -> tuple[str, ...]:
        """As train.run_log.who."""
        return self.series, self.study, self.variant.name, self.run.spec.name, self.fold

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.study, self.run.spec.name, self.variant.name, f"fold {self.fold}")))

    @cached_property
    def described(self) -> dict[str, Any]:
        """run.json without the versions: what an adopted folder has to be equal to."""
        first = self.begins_with
        return {**without_versions(self._told), "start": None if first is None else first.described}

    @property
    def learned(self) -> dict[str, Any]:
        """As train.run.learned."""
        return learned(self._told)

    @cached_property
    def _told(self) -> dict[str, Any]:
        """run.json, but for what it began with."""
        return replace(self.run, start=None).describe()

    @cached_property
    def key(self) -> str:
        """Fingerprint of everything that decides the weights."""
        told = [self.described, self.run.spec.preprocessing[self.run.preset].to_dict(), self.run.spec.labels]
        network = self.variant.name if self.variant.network else ""
        return hashlib.sha256(json.dumps([*told, network], sort_keys=True).encode()).hexdigest()[:12]

    @property
    def slices_an_epoch(self) -> int:
        """Network slices: those of sequences, blocks and phases counted one by one."""
        spec = self.run.spec
        return self.run.plan.slices_per_epoch or self.learned["slices"] * spec.slices_an_item(self.run.preset)

    @property
    def is_plain(self) -> bool:
        """Whether run.json says all: neither preprocessing nor network is other than the model's own."""
        own = get_model(self.run.spec.name).preprocessing[self.run.preset]
        mine = self.run.spec.preprocessing[self.run.preset]
        return mine == replace(own, size=mine.size) and self.variant.network is None and not self.teachers

    def in_folder(self, folder: Path) -> "Planned":
        """The same run in another folder."""
        start = None if self.begins_with is None else self.begins_with.run.out
        return replace(self, run=replace(self.run, out=folder, start=start))

    def placed(self, folders: Mapping[str, str]) -> "Planned":
        """With the folders of runs that were made elsewhere, by key."""
        liver, first = (None if one is None else one.placed(folders) for one in (self.first_stage, self.begins_with))
        teachers = tuple(one.placed(folders) for one in self.teachers)
        here = replace(self, first_stage=liver, begins_with=first, teachers=teachers)
        return here.in_folder(Path(folders.get(self.key, self.run.out)))


@dataclass(frozen=True, eq=False)
class Library:
    """The data, each kind read once."""

    settings: Settings
    _there: dict[tuple[Data, tuple[str, ...], int], Material] = field(default_factory=dict)

    def of(self, variant: Variant, spec: ModelSpec) -> Material:
        """With slices of the network's size. InputError where the folder has no such data."""
        kind, phases = _kind(variant, spec), spec.phases
        size = spec.preprocessing[self.settings.preset].size
        key = (kind, phases, size)
        if key not in self._there:
            scans = self._scans(kind, phases)
            self._there[key] = Material(tuple(scans), cached_slices(scans, self.settings.cache, size))
        return self._there[key]

    def _scans(self, kind: Data, phases: tuple[str, ...]) -> list[Scan]:
        if kind == "phases":
            return phantom_scans(PHANTOM_SEEDS, PHANTOM_SHAPE, phases)
        modality = {"mr": "MR", "kvasir": "RGB"}.get(kind, "CT")
        scans = [scan for scan in find_scans(self.settings.data) if scan.modality == modality]
        if not scans:
            raise InputError(f"{self.settings.data} holds no {modality} pictures; add the data set or leave it out.")
        added = kind == "ct with liver-free" or (kind == "ct" and self.settings.liver_free)
        return scans + (liver_free_scans(LIVER_FREE_SEEDS) if added else [])


def series_before(series: str) -> str | None:
    """The series whose networks those of a later course began with; None where they began with nothing."""
    protocol, preset, pixels = series.split(", ")
    before = BEGINS_WITH.get(cast(Protocol, protocol))
    size = int(pixels.removesuffix(" pixels"))
    return before and f"{before}, {preset}, {round(size / FINER) if protocol == 'third' else size} pixels"


def _kind(variant: Variant, spec: ModelSpec) -> Data:
    return "phases" if spec.phases else variant.data


def plan_runs(settings: Settings) -> tuple[list[Planned], list[str]]:
    """All runs of the protocol, and a sentence for each variant whose data are not there.

    InputError for unknown models or studies, a size that a model does not take, or patients that are not there.
    """
    library = Library(settings)
    planned: list[Planned] = []
    impossible: list[str] = []
    for study, variant in _variants(settings):
        spec = _spec(variant, settings)
        try:
            material = library.of(variant, spec)
        except InputError as error:
            if _kind(variant, spec).startswith("ct"):
                raise
            impossible.append(f"{study} {variant.model} {variant.name}: {error}")
            continue
        for fold, split in _sides(variant, spec, material.slices, settings):
            check_split(split, material.slices)
            planned.append(_planned(study, variant, fold, split, library, settings))
    return planned, impossible


def _planned(study: str, variant: Variant, fold: str, split: Split, library: Library, settings: Settings) -> Planned:
    """split: of patients by name, so it is the same for the slices of a cascade's other network or an earlier course,
    which may be of another size; a split by slice has neither."""
    spec = _spec(variant, settings)
    plan = _plan(variant, spec, settings)
    material = library.of(variant, spec)
    teachers = tuple(_planned(study, Variant(name), fold, split, library, settings) for name in variant.teachers)
    pseudo = {"networks": [teacher.key for teacher in teachers], "sure": SURE} if teachers else None
    run = Run(spec, settings.preset, plan, material.slices, split, settings.seed, settings.out, pseudo=pseudo)
    liver = _planned(study, Variant("unet_liver"), fold, split, library, settings) if variant.cascade else None
    first = None
    if before := BEGINS_WITH.get(settings.protocol):
        first = _planned(study, variant, fold, split, library, replace(settings, protocol=before))
    command, scans = settings.command(study), material.scans
    one = Planned(settings.series, command, study, variant, fold, run, scans, liver, first, teachers)
    return one.in_folder(settings.out / f"{spec.name}-{one.key}")


def _variants(settings: Settings) -> Iterator[tuple[str, Variant]]:
    wanted = [get_model(name) for name in settings.models]
    if settings.protocol != "ablations":
        for spec in wanted or list_models():
            larger = 1.0 if spec.phases or settings.protocol == "recipe" else LARGER
            if settings.protocol in BEGINS_WITH:  # asked as the app asks what ships
                yield "", Variant(spec.name, larger=larger, neck_mm=NECK_MM, speck_ml=SPECK_ML, fat_hu=FAT_HU)
            else:
                yield "", Variant(spec.name, larger=larger)
        return
    names = {spec.name for spec in wanted}
    for study in _studies(settings):
        for variant in study.variants:
            if not names or variant.model in names:
                yield study.name, variant


def _studies(settings: Settings) -> list[Study]:
    known = {study.name: study for study in STUDIES}
    if unknown := sorted(set(settings.studies) - set(known)):
        raise InputError(f"There is no study called {', '.join(unknown)}; there are {', '.join(known)}.")
    return [known[name] for name in settings.studies] or list(STUDIES)


def _spec(variant: Variant, settings: Settings) -> ModelSpec:
    """The model at the asked size, with what the variant changes."""
    spec = get_model(variant.model)
    if variant.data == "kvasir":
        spec = polyp_variant(spec)
    spec = spec.resized(settings.preset, settings.learned_size)
    changes = dict(variant.preprocessing)
    if variant.data == "mr":
        changes["window"] = EIGHT_BIT  # MR has no Hounsfield units: its 8-bit greys as they are
    there = replace(spec.preprocessing[settings.preset], **changes)
    spec = replace(spec, preprocessing={**spec.preprocessing, settings.preset: there})
    if variant.sequence > 1:
        spec = replace(spec, input_kind="slice sequence", sequence=variant.sequence)
    return spec if variant.network is None else replace(spec, architecture=variant.network)


def _plan(variant: Variant, spec: ModelSpec, settings: Settings) -> Plan:
    courses = {"second": settings.second_course, "third": settings.third_course}
    house = courses.get(settings.protocol, settings.house)
    plan = house.in_items(spec.slices_an_item(settings.preset))
    own = importlib.import_module(f"train.{variant.model}")
    if settings.protocol == "recipe":
        recipe: Plan = own.PAPER
        plan = recipe if settings.full else recipe.fast()
    if settings.protocol == "third":
        plan = replace(plan, **getattr(own, "THIRD_COURSE", {}))
    return replace(plan, bf16=settings.bf16, **variant.plan)


def _sides(variant: Variant, spec: ModelSpec, slices: Slices, settings: Settings) -> Iterator[tuple[str, Split]]:
    """The folds by name. Phantoms are dealt into as many folds, for they are other "patients"."""
    if variant.sides == "slices":
        yield f"{SHARE:.0%} of the slices", split_by_slice(slices, SHARE, settings.seed)
    elif variant.sides == "share":
        yield f"{SHARE:.0%} of the patients", split_by_patient(slices, SHARE, settings.seed)
    elif spec.phases:
        real = [fold for fold in settings.folds if fold != EVERYBODY]
        for number, split in enumerate(folds(slices, max(len(real), 2), settings.seed)):
            yield f"{number} of the phantoms", split
        if EVERYBODY in settings.folds:
            yield EVERYBODY, hold_out(slices, (), 0, settings.seed)
    else:
        for fold in settings.folds:
            names = () if fold == EVERYBODY else tuple(fold.split(","))
            yield fold, hold_out(slices, names, UNION_EVERY if names else 0, settings.seed)


def asked_folds(asked: Sequence[str]) -> tuple[str, ...]:
    """3 and 6 are the folds of ct_liver_tumour; else each word is a fold: patients with commas, or "all".

    InputError where a patient is in two folds, which would count twice.
    """
    named = [fold for word in asked for fold in (FOLDS.get(int(word), (word,)) if word.isdigit() else (word,))]
    patients = [patient for fold in named if fold != EVERYBODY for patient in fold.split(",")]
    if double := sorted({patient for patient in patients if patients.count(patient) > 1}):
        raise InputError(f"--folds {' '.join(asked)}: {double[0]} is in two folds; every patient is held out once.")
    return tuple(named)
