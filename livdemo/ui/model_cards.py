"""A model as a card: its idea, its equations, what it is fed with, its weights, and what the paper says beside ours.

What a paper fixes comes from the registry, the weights from the manifest, our figures from results/results.json.
"""

import functools
import re

from livdemo.checkpoints import Checkpoint
from livdemo.models.drawing import diagram, source_file
from livdemo.models.registry import ModelSpec, Recipe, get_model
from livdemo.predictor import decision_rule
from livdemo.results import Figures, find_model, missed_in, on_phantoms, over_networks
from livdemo.ui.markup import escape
from livdemo.ui.results_tables import Column, Row, bare_table, meanings, spread

VALIDATION = {
    "liver_dice": "Liver Dice, all pixels pooled",
    "liver_dice_per_volume": "Liver Dice, mean over volumes",
    "tumour_dice": "Tumour Dice, all pixels pooled",
    "object_dice": "Dice of the object, all pixels pooled",
}
NOT_COMPARABLE = "Other patients, other tasks, often another metric: read both, compare neither."
VALUE = Column("Value", "As the paper prints it; ours as mean, 95 % interval over patients, and their number n.")
UNIT = Column("Unit", "Dice and IoU run from 0 to 1, or to 100 where the unit is %.")
DATA = Column("On what data", "Whose scans the figure is of, and what to know before believing it.", wide=True)


def paper_of(spec: ModelSpec) -> tuple[str, str]:
    """Short name and title of the paper that brings the model, as in ("S3", "SFAN")."""
    found = re.match(r"(S\d) \(([^)]+)\)", spec.source)
    return (found[1], found[2]) if found else ("", spec.source)


@functools.lru_cache(maxsize=64)
def sizes(name: str) -> tuple[int, int]:
    """Parameters of the classroom preset and of the paper's width; counted once, since it takes a moment."""
    spec = get_model(name)
    return spec.parameters("classroom"), spec.parameters("paper")


def model_card(spec: ModelSpec, checkpoint: Checkpoint | None, results: Figures | None) -> str:
    """One card, folded. results: None where the file of our figures cannot be read."""
    first = re.split(r"(?<=\.) ", spec.idea)[0]
    ours = "<span class='state'>our reading</span>" if spec.our_reading else ""
    trained = "trained" if checkpoint else "not trained yet"
    parts = [
        f"<p class='idea' lang='en'>{escape(spec.idea)}</p>",
        _drawing(spec),
        _facts(spec, checkpoint),
        _list("Where it departs from the paper", spec.deviations),
        _list(_maps_title(spec), tuple(spec.explains.values())),
        _figures(spec, checkpoint, results),
    ]
    return (
        f"<details class='model' id='model-{spec.name}' data-paper='{paper_of(spec)[0]}'><summary>"
        f"<span class='name' translate='no'>{escape(spec.title)}</span>{ours}"
        f"<span class='state{' trained' if checkpoint else ''}'>{trained}</span>"
        f"<span class='teaser' lang='en'>{escape(first)}</span></summary><div>{''.join(parts)}</div></details>"
    )


def _drawing(spec: ModelSpec) -> str:
    """Block diagram and equations."""
    drawn, equations = diagram(spec), "\n".join(spec.equations)
    text = ""
    if drawn:
        text += (
            f"<figure><pre tabindex='0' role='img' aria-label='Block diagram of {escape(spec.title)}'>{escape(drawn)}"
            f"</pre><figcaption>From <code>{source_file(spec)}</code>.</figcaption></figure>"
        )
    if equations:
        text += f"<pre class='equations' tabindex='0' role='group' aria-label='Equations of {escape(spec.title)}'>"
        text += f"{escape(equations)}</pre>"
    return text


def _facts(spec: ModelSpec, checkpoint: Checkpoint | None) -> str:
    classroom, paper = sizes(spec.name)
    source = spec.source + (". The paper gives no layer table: this is our reading of it." if spec.our_reading else "")
    rows = [
        ("Comes from", _english(source)),
        ("Parameters", f"{classroom:,} in the classroom preset, {paper:,} at the paper's width"),
        ("Fed with", escape(fed_with(spec, checkpoint))),
        ("Labels", escape(", ".join(spec.labels))),
        ("The paper's recipe", _english(recipe_in_words(spec.recipe))),
        *_weights(spec, checkpoint),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in rows)
    weak = f"<p class='weak'>{escape(checkpoint.weak)}</p>" if checkpoint and checkpoint.weak else ""
    return f"<dl class='about'>{items}</dl>{weak}"


def _weights(spec: ModelSpec, checkpoint: Checkpoint | None) -> list[tuple[str, str]]:
    if checkpoint is None:
        how = f"<code>python -m train {spec.name} --data DIR</code>"
        return [("Weights", f"Not trained yet: they are random. To train it: {how}")]
    file = (
        f"<code>weights/{escape(checkpoint.file)}</code>, {checkpoint.bytes / 1e6:.1f} MB, sha256 "
        f"<code>{checkpoint.sha256[:12]}…</code>; card <code>weights/{spec.name}.md</code>"
    )
    return [
        ("Trained on", escape(checkpoint.trained_on)),
        ("Decides", escape(decision_rule(checkpoint))),
        ("Weights", f"{file}. {_english(checkpoint.licence)}"),
    ]


def fed_with(spec: ModelSpec, checkpoint: Checkpoint | None) -> str:
    """What one input of the trained network is, or else of the classroom preset."""
    preprocessing = checkpoint.preprocessing if checkpoint else spec.preprocessing["classroom"]
    depth = checkpoint.depth if checkpoint else spec.depth["classroom"]
    kinds = {
        "slice": "one slice at a time",
        "slice sequence": f"{spec.sequence} neighbouring slices at a time",
        "3D": f"blocks of {depth} slices",
        "phases": f"blocks of {depth} slices in {len(spec.phases)} contrast phases ({', '.join(spec.phases)})",
    }
    margin = f", and {spec.margin} mirrored pixels on each side" if spec.margin else ""
    return f"{kinds[spec.input_kind]}: {preprocessing.describe()}{margin}"


def recipe_in_words(recipe: Recipe) -> str:
    """How the paper trained, and what it does not say."""
    parts = [f"loss {recipe.loss}", f"optimiser {recipe.optimiser}"]
    for name, value in (("rate", recipe.learning_rate), ("epochs", recipe.epochs), ("batch", recipe.batch_size)):
        parts.append(f"{name} {'not stated' if value is None else f'{value:g}'}")
    return f"{', '.join(parts)}. Data: {recipe.data}.{f' {recipe.note}' if recipe.note else ''}"


def _maps_title(spec: ModelSpec) -> str:
    where = " (in Compare, What a model looked at)" if spec.input_kind == "slice" else ""
    return f"What it can show{where}"


def _list(title: str, lines: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h4>{title}</h4><ul lang='en'>{items}</ul>" if lines else ""


def _english(text: str) -> str:
    """Words of a paper or a licence, which stay as they are in every language of the page."""
    return f"<span lang='en'>{escape(text)}</span>"


# ------------------------------------------------------------------------------------------------- figures


def _figures(spec: ModelSpec, checkpoint: Checkpoint | None, results: Figures | None) -> str:
    """The paper's numbers beside ours."""
    theirs = "<p class='note'>No number for this model in the text of the paper.</p>"
    if spec.reported:
        rows = []
        for one in spec.reported:
            data = _english(one.data) + (f"<br><small lang='en'>{escape(one.note)}</small>" if one.note else "")
            rows.append(Row(_english(one.metric), [f"<b>{escape(one.value)}</b>", _english(one.unit), data]))
        theirs = bare_table([VALUE, UNIT, DATA], rows, first="Figure")
    found = [] if results is None else our_figures(spec.name, results)
    found += _held_out(checkpoint)
    ours = "<p class='note'>Not scored here yet.</p>"
    if found:
        ours = bare_table([VALUE, UNIT, DATA], found, first="Figure")
        if results is not None:
            ours += f"<p><a href='#results' data-row='{spec.name}'>Its line in Results</a></p>"
    return (
        f"<h4>What the paper reports, and what was measured here</h4><p class='note'>{NOT_COMPARABLE}</p>"
        f"<div class='beside'><section aria-label='Reported by the paper'><h5>The paper</h5>{theirs}</section>"
        f"<section aria-label='Measured here'><h5>Here</h5>{ours}</section></div>"
        f"{meanings([VALUE, UNIT, DATA])}"
    )


def our_figures(name: str, results: Figures) -> list[Row]:
    """Lines of every protocol in which the model has run."""
    rows = []
    for protocol in results["protocols"]:
        model = find_model(protocol["models"], name)
        if model is None:
            continue
        who = "rendered phantoms" if on_phantoms(model) else "patients not seen"
        whom = escape(f"{who}, cross-validated ({protocol['series']})")
        if model["liver_dice"]["n"]:
            rows.append(Row("Liver Dice", [spread(model["liver_dice"]), "0 to 1", whom]))
        if model["tumour_dice"]["n"]:
            rows.append(Row("Tumour Dice", [spread(model["tumour_dice"], missed_in(model)), "0 to 1", whom]))
        rows += [_unseen_row(one, protocol) for one in model["unseen"] if one["label"] == "liver"]
        if model["seconds_a_slice"] is not None:
            where = escape("; ".join(protocol["devices"]))
            rows.append(Row("Time a slice", [f"<b>{model['seconds_a_slice']:.3f}</b>", "seconds", where]))
    return rows


def _unseen_row(one: Figures, protocol: Figures) -> Row:
    value = f"<b>{one['everybody']:.3f}</b>" if one.get("everybody") is not None else over_networks(one)
    whose = "trained on all" if one.get("everybody") is not None else "networks of the folds"
    return Row("Liver Dice, unseen", [value, "0 to 1", escape(f"{one['case']}, {whose} ({protocol['series']})")])


def _held_out(checkpoint: Checkpoint | None) -> list[Row]:
    """What the shipped weights score slice by slice on the patients that were held out of their training."""
    if checkpoint is None:
        return []
    whom = "held-out patients of the shipped weights, slice by slice, before the largest piece is kept"
    return [
        Row(VALIDATION.get(key, escape(key)), [f"<b>{value:.3f}</b>", "0 to 1", whom])
        for key, value in checkpoint.validation.items()
    ]
