"""The experiments that the papers make one curious about, as data: each variant changes one thing.

A study is a table of results. Its first variant is what the others are compared with; whatever a variant does not
name is the house protocol's (train/plan.py). Add a study by adding a line: `python -m train.reproduce --protocol
ablations --studies NAME` runs it, and `python -m train.results` prints it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import nn

from livdemo.intensity import Window
from livdemo.models import Preset
from livdemo.pieces import NECK_MM, SPECK_ML
from livdemo.predictor import FAT_HU, S3_SCALES
from train.network_variants import aspp_with, fine_tuned_dtan, sfan_without, unet_in_sequence

# ct: with or without liver-free phantom slices, as the whole protocol has it
Data = Literal["ct", "ct without liver-free", "ct with liver-free", "mr", "kvasir", "phases"]
Sides = Literal["folds", "slices", "share"]  # the protocol's folds; a fifth of the slices (leaky); of the patients


@dataclass(frozen=True)
class Variant:
    """A model, and what is other than in the house protocol."""

    model: str
    name: str = ""
    plan: dict[str, Any] = field(default_factory=dict)  # fields of Plan
    preprocessing: dict[str, Any] = field(default_factory=dict)  # fields of Preprocessing
    network: Callable[[Preset], nn.Module] | None = None  # instead of the model's own; `name` then tells runs apart
    sequence: int = 1  # slices that `network` takes together, where the model's own takes one
    data: Data = "ct"
    sides: Sides = "folds"
    scales: tuple[float, ...] = (1.0,)  # of the inference
    larger: float = 1.0  # of the inference: side of the input, in sides of the views that it learned from
    largest_component: bool = True  # of the inference
    neck_mm: float = 0.0  # of the inference: what hangs on the liver by a neck thinner than this is cut off
    speck_ml: float = 0.0  # of the inference: tumours smaller than this are dropped, where the spacing is known
    speck_voxels: int = 0  # likewise where it is not: tumours of fewer voxels of a slice of 256 pixels
    fat_hu: float | None = None  # of the inference: where a CT is darker nothing is liver
    tumour_threshold: float = 0.5  # of the inference: tumour's share of liver and tumour above which a voxel is tumour
    cut: float = 1.0  # of the held-out slices' side that is left of them, around the liver
    suits: bool = True  # of the inference: what was cut close is given as a smaller picture
    cascade: bool = False  # of the inference: the same fold's unet_liver says where to look
    teachers: tuple[str, ...] = ()  # models whose networks of the same fold pseudo-label the liver-only slices


@dataclass(frozen=True)
class Study:
    """Variants that belong into one table, the first one being the comparison."""

    name: str
    question: str
    variants: tuple[Variant, ...]
    note: str = ""


def _asked_larger(model: str, sizes: Mapping[str, float]) -> tuple[Variant, ...]:
    """One network, asked with pictures of several sizes."""
    return tuple(Variant(model, name, larger=larger) for name, larger in sizes.items())


S4_WINDOW, S3_WINDOW, LIVER_WINDOW = Window(0, 250), Window(50, 250), Window(30, 150)
ATTENTION_FAMILY = ("unet_valid", "aunet", "aunet_ds", "dalunet")
LOSSES = (
    "house",
    "cross_entropy",
    "weighted_cross_entropy",
    "dice_and_cross_entropy",
    "noise_aware",
    "generalised_cross_entropy",
)

STUDIES = (
    Study(
        "split",
        "What does a split by slice, as LT-Net's, make of the same network?",
        (Variant("ltnet_unet", "by patient"), Variant("ltnet_unet", "by slice (leaky)", sides="slices")),
        "Neighbours of the validated slices were trained on in the second row: compare the pooled slices, and believe "
        "the first. It is of other slices too: those of the folds' patients, the second of a fifth of everybody's.",
    ),
    Study(
        "window",
        "Which range of HU should the network see, and with which equalisation?",
        (
            Variant("unet64", "250/50 (S3)", preprocessing={"window": S3_WINDOW}),
            Variant("unet64", "250/0 + HE (S4)", preprocessing={"window": S4_WINDOW, "equalisation": "he"}),
            Variant("unet64", "150/30 (fastai)", preprocessing={"window": LIVER_WINDOW}),
        ),
    ),
    Study(
        "equalisation",
        "Does histogram equalisation help a network?",
        (
            Variant("unet64", "none"),
            Variant("unet64", "HE", preprocessing={"equalisation": "he"}),
            Variant("unet64", "CLAHE", preprocessing={"equalisation": "clahe"}),
        ),
    ),
    Study(
        "transunet attention",
        "What do S1's attention blocks add to TransUNet?",
        (Variant("transunet", "without"), Variant("transunet_sca", "spatial-channel attention")),
    ),
    Study(
        "u-net family",
        "S4's table, trained here: what do gates, deep supervision and ConvLSTM add?",
        tuple(Variant(model, model) for model in ATTENTION_FAMILY),
        "S4 prints another paper's table under these names (191 donors, livers in 3D). The first two differ in "
        "padding and normalisation as well.",
    ),
    Study(
        "sfan attention",
        "What do SFAN's two attentions add?",
        (
            Variant("sfan", "SAT and GCA"),
            Variant("sfan", "without SAT", network=partial(sfan_without, sat=False)),
            Variant("sfan", "without GCA", network=partial(sfan_without, gca=False)),
            Variant("sfan", "without both", network=partial(sfan_without, sat=False, gca=False)),
        ),
    ),
    Study(
        "aspp",
        "Which dilations should ASPP have, and does it help at all?",
        (
            Variant("unet_aspp", "rate 2"),
            Variant("unet_aspp", "rates 2, 4, 6 (its repository)", network=partial(aspp_with, rates=(2, 4, 6))),
            Variant("unet_aspp", "no ASPP", network=partial(aspp_with, rates=())),
        ),
    ),
    Study(
        "cascade",
        "Does it help to look for the liver first? (inference alone)",
        (Variant("unet64", "one look"), Variant("unet64", "inside the liver that unet_liver found", cascade=True)),
        "The coarse liver is the same fold's, so it has not seen the patient either.",
    ),
    Study(
        "scales",
        "Does SFAN gain from three scales? (inference alone)",
        (Variant("sfan", "one scale"), Variant("sfan", "0.5, 1.0 and 1.5 averaged", scales=S3_SCALES)),
    ),
    Study(
        "resolution",
        "Should a network see finer pictures, and learn from parts of them?",
        (
            Variant("transunet", "128 pixels"),
            Variant("transunet", "192 pixels, parts of them", plan={"view": 2 / 3}, preprocessing={"size": 192}),
            Variant("transunet", "256 pixels, parts of them", plan={"view": 1 / 2}, preprocessing={"size": 256}),
        ),
        "All learn from views of 128 pixels, so with the same work: the second and third from parts of larger slices. "
        "They are asked with whole slices.",
    ),
    Study(
        "larger input",
        "Should a network see larger pictures than those it learned from? (inference alone)",
        _asked_larger("transunet", {"as learned": 1.0, "a quarter larger": 1.25, "half as large again": 1.5}),
        "It learned from views that were zoomed by up to 1.5, so organs of such a size are nothing new to it; the "
        "TransUNet because all six patients were held out from it.",
    ),
    Study(
        "larger input without a transformer",
        "And one without a transformer, which sees less around a voxel? (inference alone)",
        _asked_larger("aunet_ds", {"as learned": 1.0, "an eighth larger": 1.125, "a quarter larger": 1.25}),
        "Asked with whole slices. What ships is asked with pictures a quarter larger, this network too.",
    ),
    Study(
        "close cut",
        "How large a picture should a network get of a scan that was cut around the liver? (inference alone)",
        (
            Variant("aunet_ds", "whole slices", larger=1.25),
            *(
                Variant("aunet_ds", f"{cut:.0%} of their side, {how}", larger=1.25, cut=cut, suits=suits)
                for cut in (0.8, 0.65, 0.5)
                for how, suits in (("as large a picture", False), ("smaller where the body is cut", True))
            ),
        ),
        "The rule stands in livdemo/framing.py; its two constants are what these patients' whole slices have. A close "
        "cut may cut a lesion off, so there are fewer of them.",
    ),
    Study(
        "operating point",
        "How sure should a network be of a tumour? (inference alone)",
        tuple(
            Variant("transunet", name, plan={"painted": 0.4}, larger=1.25, tumour_threshold=threshold)
            for name, threshold in (("0.5", 0.5), ("0.25", 0.25), ("0.75", 0.75), ("0.9", 0.9))
        ),
        "A voxel of the liver is tumour where tumour has more than this share of the probability. Networks that "
        "learned from painted tumours as well, since those ship; the app lets every visitor move this threshold.",
    ),
    Study(
        "largest component",
        "Does keeping the largest liver alone help? (inference alone)",
        (Variant("unet64", "kept"), Variant("unet64", "everything", largest_component=False)),
    ),
    Study(
        "necks",
        "Does it help to cut off what hangs on the liver by a neck? (inference alone)",
        (
            Variant("aunet_ds", "largest piece", larger=1.25),
            Variant("aunet_ds", f"cut at necks under {NECK_MM:g} mm", larger=1.25, neck_mm=NECK_MM),
        ),
        "All slices that the networks learned from show the liver, so on a whole scan they go on where it ends. Look "
        "at the unseen volumes: of the patients' slices nobody knows the spacing, so nothing is cut there. What ships "
        "is asked so, and the tables of the second and third course; the other tables are without it.",
    ),
    Study(
        "specks",
        "Does it help to drop tumours that are too small to be any? (inference alone)",
        tuple(
            Variant("aunet_ds", name, larger=1.25, speck_voxels=voxels)
            for name, voxels in (("all", 0), ("5 voxels and more", 5), ("20 and more", 20), ("80 and more", 80))
        ),
        f"What ships drops tumours below {SPECK_ML:g} mL, a ball of 5 mm. Of the patients' slices nobody knows the "
        "spacing, so here it is so many voxels: those 0.065 mL are about 29 voxels in slices of 1 mm and 6 in slices "
        "of 5 mm, if a body is as wide as usual.",
    ),
    Study(
        "fat",
        "Does it help to say that fat is no liver? (inference alone)",
        tuple(
            Variant("aunet", name, larger=1.25, fat_hu=hu)
            for name, hu in (("as it is", None), ("nothing below −50 HU", FAT_HU), ("nothing below −30 HU", -30.0))
        ),
        "Patient E has much fat under the skin, which some networks take for liver. Where the median of 3 × 3 pixels "
        "is darker than that, nothing is liver. What ships is asked with −50 HU, half-way between fat and the fattest "
        "of livers. The rule was made after looking at E, so look at the other patients.",
    ),
    Study(
        "loss",
        "Which terms of the loss matter?",
        tuple(Variant("unet64", loss, plan={"loss": loss}) for loss in LOSSES),
    ),
    Study(
        "length",
        "What do four times as many views give?",
        (Variant("transunet", "10 epochs"), Variant("transunet", "40 epochs", plan={"epochs": 40})),
        "The TransUNet because it learns fastest on a CPU.",
    ),
    Study(
        "batch size",
        "The same number of slices in twice as many steps?",
        (Variant("unet64", "8 items"), Variant("unet64", "4 items", plan={"batch_size": 4})),
    ),
    Study(
        "liver-only share",
        "How many of the slices should be of the many patients whose liver alone is drawn?",
        (Variant("unet64", "35 %"), Variant("unet64", "65 %", plan={"union_share": 0.65})),
    ),
    Study(
        "tumour share",
        "How many of the slices with tumours drawn should show one?",
        (
            Variant("unet64", "60 %"),
            Variant("unet64", "30 %", plan={"tumour_share": 0.3}),
            Variant("unet64", "90 %", plan={"tumour_share": 0.9}),
        ),
        "Of all such slices 46 % do.",
    ),
    Study(
        "context",
        "Does a network find more tumours that sees the neighbouring slices too (2.5D)?",
        (
            Variant("unet64", "five slices, each alone", network=partial(unet_in_sequence, reach=0), sequence=5),
            Variant("unet64", "each with the two beside it", network=partial(unet_in_sequence, reach=1), sequence=5),
        ),
        "Both learn from the same stacks of five slices, so from a fifth as many places as where each slice is drawn "
        "for itself, with the same work. DALU-Net's memory is the other way to look at neighbours.",
    ),
    Study(
        "encoder",
        "Does DTAN's frozen encoder know anything?",
        (
            Variant("dtan", "pretext task, frozen"),
            Variant("dtan", "random, frozen (control)", plan={"pretext_slices": 0}),
            Variant("dtan", "pretext task, fine-tuned", network=fine_tuned_dtan),
        ),
    ),
    Study(
        "painted tumours",
        "Do tumours that were painted into real livers help?",
        (
            Variant("transunet", "none", plan={"painted": 0.0}),
            Variant("transunet", "40 % of the items", plan={"painted": 0.4}),
        ),
        "The TransUNet because it learns fastest on a CPU.",
    ),
    Study(
        "pseudo-labels",
        "Do tumours help that other networks found where only the liver is drawn?",
        (
            Variant("unet64", "none", larger=1.25),
            Variant(
                "unet64", "where three networks agree", teachers=("unet64", "transunet_sca", "aunet_ds"), larger=1.25
            ),
        ),
        "The three are the same fold's, the first of them the comparison itself, and none has seen a patient on whom "
        "it is scored. Where they see no tumour a slice keeps its mask of liver and tumour together.",
    ),
    Study(
        "liver-free slices",
        "Do phantom slices of chest and pelvis, without liver, help?",
        (
            Variant("unet64", "without", data="ct without liver-free"),
            Variant("unet64", "with", data="ct with liver-free"),
        ),
    ),
    Study(
        "augmentation",
        "Whose random views help on other scanners?",
        tuple(Variant("unet64", how, plan={"augmentation": how}) for how in ("house", "s4", "s2", "flips_10", "none")),
        "Ten epochs are few: views that vary less are learned sooner. All are asked with pictures of the size that "
        "they learned from, though the house plan's views show organs enlarged by up to 1.5, so that it gains from "
        'larger ones ("larger input").',
    ),
    Study(
        "t1 mr",
        "DTAN on the kind of picture that S0 names, T1 MR (liver alone)",
        (Variant("dtan", "mr_t1_liver", data="mr", sides="slices"),),
        "Leaky: the source mixes patients and mirrored copies without saying whose they are, so no split by patient "
        "exists. It shows that the network can be trained on MR, and nothing else.",
    ),
    Study(
        "polyps",
        "S1's second experiment: the TransUNets on Kvasir-SEG",
        (
            Variant("transunet", "without", data="kvasir", sides="share"),
            Variant("transunet_sca", "spatial-channel attention", data="kvasir", sides="share"),
        ),
        "Dice of the polyp over the pixels of all held-out pictures (a fifth), under the house protocol.",
    ),
)
