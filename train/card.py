"""The model card, and the two sentences about a checkpoint that the app repeats everywhere."""

from typing import Any

from livdemo.checkpoints import Checkpoint
from livdemo.models import ModelSpec
from livdemo.predictor import decision_rule
from livdemo.results import plan_in_words
from livdemo.words import counted
from train.evidence import NOT_YET, learned_from_phantoms, marked
from train.run import learned

Described = dict[str, Any]  # run.json
History = list[dict[str, float]]

LICENCES = {  # of what the weights were learned from; those of the pictures themselves do not allow selling
    "ct_liver_tumour": "LiTS17 (CC BY-NC-ND 4.0)",
    "lits17": "LiTS17 (CC BY-NC-ND 4.0)",
    "ct_liver_only": "MSD Task03 (CC BY-SA 4.0) and 420 slices of unstated licence",
    "msd": "MSD Task03 (CC BY-SA 4.0)",
    "3dircadb": "3D-IRCADb-01 (CC BY-NC-ND)",
    "chaos_ct": "CHAOS (CC BY-NC-SA 4.0)",
    "chaos_mr": "CHAOS (CC BY-NC-SA 4.0)",
    "mr_t1_liver": "CHAOS (CC BY-NC-SA 4.0)",
    "kvasir": "Kvasir-SEG (research and education)",
    "phantom": "rendered phantoms (MIT)",
}
LEAKY = "LEAKY split by slice: neighbours of the validation slices were trained on, so its figures mean nothing."


def licence_of(sources: list[str]) -> str:
    """The sentence about what may be done with the weights; an unknown source is named as such."""
    if sources == ["phantom"]:
        return "MIT: learned from rendered phantoms alone."
    learned = ", ".join(dict.fromkeys(LICENCES.get(source, f"{source} (licence not known)") for source in sources))
    return f"Teaching and research, not commercial: learned from {learned}."


def trained_on(described: Described) -> str:
    """One sentence: how many slices of whom, and who was held out."""
    told, held_out = learned(described), described["slices"]["validation"]
    kind = "rendered phantom" if described["sources"] == ["phantom"] else "CT"
    sides = {side: _whom(described, side) for side in ("train", "validation")}
    verb = "was" if len(described["split"]["validation"]) == 1 else "were"
    held = f"{sides['validation']} {verb} held out" if held_out else "nobody was held out"
    tumours = f" ({told['tumour_slices']} show tumour)" if told["drawn_patients"] else ""
    return f"Trained on {told['slices']} {kind} slices{tumours} of {sides['train']}; {held}."


def _whom(described: Described, side: str) -> str:
    if described["split"]["kind"] == "slice":
        return f"{described['slices'][side]} slices drawn at random"
    told = learned(described)
    patients = told["patients"] if side == "train" else described["split"][side]
    drawn = len(told["drawn_patients"] if side == "train" else described["drawn_patients"][side])
    others = len(patients) - drawn
    phantoms = described["sources"] == ["phantom"]
    parts = [
        f"{counted(drawn, 'phantom' if phantoms else 'patient')} with drawn tumours" if drawn else "",
        f"{counted(others, 'volume')} with liver masks alone" if others else "",
    ]
    return " and ".join(part for part in parts if part)


def weakness(spec: ModelSpec, described: Described, validation: dict[str, float]) -> str:
    """What these weights cannot do, in one sentence."""
    if described["split"]["kind"] == "slice":
        return LEAKY
    drawn = described["drawn_patients"]
    if described["sources"] == ["phantom"]:
        return _weakness_of_phantoms(drawn["train"], drawn["validation"], validation)
    liver = validation.get("liver_dice")
    if len(spec.labels) == 2:
        known = "nobody was held out" if liver is None else f"Dice on held-out patients {liver:.2f}"
        return f"Knows the liver alone, no tumours; {known}."
    tumour = validation.get("tumour_dice")
    start = f"Learned tumours from {counted(len(drawn['train']), 'patient')} only"
    if tumour is None:
        return f"{start}, with nobody held out: expect missed tumours."
    held_out = counted(len(drawn["validation"]), "held-out patient")
    return f"{start}; tumour Dice on the {held_out} was {tumour:.2f}, so expect missed tumours."


def _weakness_of_phantoms(train: list[str], held_out: list[str], validation: dict[str, float]) -> str:
    """As weakness(); whoever learned from the app's own phantom is flattered there."""
    start = f"{learned_from_phantoms('phantom 0' in train)}: its answers on one mean nothing."
    tumour = validation.get("tumour_dice")
    if tumour is None:
        return start
    return f"{start} Tumour Dice on {counted(len(held_out), 'held-out phantom')} was {tumour:.2f}."


def card(spec: ModelSpec, checkpoint: Checkpoint, described: Described, history: History) -> str:
    """The model card in Markdown, with the Hub's front matter."""
    sections = (
        _front(spec, checkpoint),
        _training(spec, checkpoint, described, history),
        _validation(checkpoint, described),
        _reported(spec, checkpoint),
        ["## Deviations", "", *(f"- {deviation}" for deviation in spec.deviations), ""],
    )
    return "\n".join(line for section in sections for line in section)


def _front(spec: ModelSpec, checkpoint: Checkpoint) -> list[str]:
    return [
        "---",
        "library_name: pytorch",
        "pipeline_tag: image-segmentation",
        "tags: [medical, ct, liver, torchscript]",
        "license: other",
        "---",
        f"# {spec.title} (`{spec.name}`, {checkpoint.preset} preset)",
        "",
        f"**For teaching only, not for clinical use.** {checkpoint.weak}",
        "",
        spec.idea,
        "",
        f"- Source: {spec.source}" + (" (our reading: the paper gives no layer table)" if spec.our_reading else ""),
        f"- Parameters: {checkpoint.parameters:,}; file `{checkpoint.file}`, {checkpoint.bytes:,} bytes, "
        f"sha256 `{checkpoint.sha256}`",
        f"- Input: {checkpoint.preprocessing.describe()}; sizes in multiples of {checkpoint.size_multiple}",
        f"- From probabilities to labels: {decision_rule(checkpoint)}",
        f"- Labels: {', '.join(f'{i} {name}' for i, name in enumerate(checkpoint.labels))}",
        f"- Licence of the weights: {checkpoint.licence}",
        "",
    ]


def _training(spec: ModelSpec, checkpoint: Checkpoint, described: Described, history: History) -> list[str]:
    split = described["split"]
    minutes = sum(row["seconds"] for row in history) / 60
    recipe = spec.recipe
    return [
        "## Training",
        "",
        checkpoint.trained_on,
        f"Held out: {', '.join(split['validation']) or 'nobody'}. "
        "On neither side, since they are, or may be, people of the other side or of a test set: "
        f"{', '.join(split['left_out']) or 'none'}.",
        "",
        f"{_plan(described)}; {len(history)} epochs ran, {minutes:.0f} minutes, seed {checkpoint.seed}, "
        f"torch {described['versions']['torch']}, commit `{checkpoint.commit[:12]}`.{_start(described)}",
        *([described["plan"]["shortened"]] if described["plan"]["shortened"] else []),
        f"The paper's recipe: {recipe.loss}; {recipe.optimiser}, learning rate {recipe.learning_rate or 'not stated'}, "
        f"epochs {recipe.epochs or 'not stated'}, batch {recipe.batch_size or 'not stated'}; {recipe.data}. "
        f"{recipe.note}".strip(),
        "",
        f"![Loss and Dice of every epoch]({spec.name}.curves.png)",
        "",
    ]


def _plan(described: Described) -> str:
    """The plan that was followed, in words. A share of two kinds of masks is told where there are two."""
    plan, told = described["plan"], learned(described)
    whose = "The paper's recipe as train/ has it" if plan["recipe"] == "paper" else "The house protocol"
    if not 0 < len(told["drawn_patients"]) < len(told["patients"]):
        plan = plan | {"union_share": 0}
    kept = "the epoch of least validation loss was kept" if plan["keep"] == "best" else "the last epoch was taken"
    return f"{whose}, {described['size']} pixels a side: {plan_in_words(plan)}, {kept}"


def _start(described: Described) -> str:
    """What the run began with, if not with random weights."""
    start = described["start"]
    if start is None:
        return ""
    plan = start["plan"]
    which = "the same" if start["split"] == described["split"] else "another"
    return (
        f" It began with the weights of an earlier run on {which} "
        f"split: {plan['epochs']} epochs, up to {plan['learning_rate']:g}, seed {start['seed']}."
    )


def _validation(checkpoint: Checkpoint, described: Described) -> list[str]:
    if not checkpoint.validation:
        return [marked(["## On patients that the recipe has not seen", "", NOT_YET, ""]), ""]
    names = {
        "liver_dice": "liver Dice, all pixels pooled",
        "liver_dice_per_volume": "liver Dice, mean over volumes",
        "tumour_dice": "tumour Dice, all pixels pooled",
    }
    stamp = [f"**{LEAKY}**", ""] if described["split"]["kind"] == "slice" else []
    rows = [
        f"| {text} | {checkpoint.validation[key]:.3f} |" for key, text in names.items() if key in checkpoint.validation
    ]
    end = "Slice by slice on the network's grid, before the largest piece is kept."
    return [
        "## Validation, on the held-out patients",
        "",
        *stamp,
        "| figure | value |",
        "|---|---|",
        *rows,
        "",
        end,
        "",
    ]


def _reported(spec: ModelSpec, checkpoint: Checkpoint) -> list[str]:
    """Reported beside ours, each with its data: they are not comparable, and the card says so."""
    title = ["## Reported by the paper, and here (other data: not comparable)", ""]
    if not spec.reported:
        return [*title, "No number for this model in the text.", ""]
    ours = ", ".join(
        f"{name} {checkpoint.validation[key]:.3f}"
        for key, name in (("liver_dice", "liver Dice"), ("tumour_dice", "tumour Dice"))
        if key in checkpoint.validation
    )
    rows = [f"| the paper | {r.metric} | {r.value} | {r.unit} | {r.data} | {r.note} |" for r in spec.reported]
    here = "| here | Dice, in the tables above | | fraction | our patients | |"
    if ours:
        here = f"| here | Dice, pooled | {ours} | fraction | the held-out patients above | |"
    return [*title, "| | metric | value | unit | data | note |", "|---|---|---|---|---|---|", *rows, here, ""]
