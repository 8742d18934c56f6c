"""The page that is taken home: one HTML file with tables, pictures and provenance inside.

No script, and no link to anything outside, so it opens without a network and looks the same in ten years.
"""

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from livdemo.agreement import profile_of
from livdemo.cases import Case
from livdemo.comparison import Comparison, Result
from livdemo.metrics import DEFINITIONS, LABELS, LabelMetrics
from livdemo.metrics.lesions import LESION_COLUMNS

from .curve import dice_curve
from .figures import DISCLAIMER, format_metric, lesion_rows, metric_rows, significant
from .pictures import Album, Figure, draw_album
from .provenance import is_trained, provenance
from .style import style

TABLE = (
    "dice", "iou", "hd_mm", "hd95_mm", "assd_mm", "nsd", "sensitivity", "precision", "volume_ml",
)  # fmt: skip
ARROWS = {"higher": " ↑", "lower": " ↓"}
LESION_TABLE = ("lesion", "found", "dice", "volume_ml", "diameter_mm", "mean_hu", "contrast_hu", "slice")
LESION_HEADS = {
    "lesion": "Lesion", "found": "", "dice": "Dice", "volume_ml": "Volume", "diameter_mm": "Diameter",
    "mean_hu": "Mean HU", "contrast_hu": "Contrast", "slice": "Slice",
}  # fmt: skip
LESION_UNITS = {"volume_ml": " mL", "diameter_mm": " mm", "mean_hu": " HU", "contrast_hu": " HU"}
LESIONS_SHOWN, FALSE_ALARMS_SHOWN = 15, 5  # the largest; lesions.csv has them all


def report_html(comparison: Comparison) -> str:
    """The page as text. Pictures that would make it larger than 3 MB are left out, and it says so."""
    case, facts = comparison.case, provenance(comparison)
    album = draw_album(comparison)
    body = [
        *_header(comparison, facts),
        *_scores(comparison),
        *_pictures(comparison, album),
        *(part for k, result in enumerate(comparison.results) for part in _model(case, result, album, k)),
        *_definitions(comparison, facts),
        *_origin(comparison, facts),
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>livdemo: {_e(case.name)}</title><style>{style()}</style>"
        f"<body>{album.definitions}<main>{''.join(body)}</main></html>\n"
    )


def _header(comparison: Comparison, facts: dict[str, Any]) -> Iterator[str]:
    case, volume = comparison.case, comparison.case.volume
    yield f"<h1>livdemo: {_e(case.name)}</h1><p class=banner>{_e(DISCLAIMER)}</p>"
    size = "×".join(str(n) for n in volume.hu.shape[::-1])
    spacing = "×".join(f"{mm:.3g}" for mm in volume.spacing_mm[::-1]) + " mm" if volume.spacing_known else "not stated"
    yield _facts(
        ("Case", f"{case.source}{f'; {case.note}' if case.note else ''}"),
        ("Licence", case.licence),
        ("Scan", f"{volume.modality}, {size} voxels, spacing {spacing}"),
        ("Made", f"{facts['date'][:10]} with livdemo {facts['livdemo']}"),
    )
    for warning in volume.warnings:
        yield f"<p class=warning>{_e(warning)}</p>"
    weak: dict[str, list[str]] = {}
    for result in comparison.results:
        weak.setdefault(result.prediction.checkpoint.weak_on(case.name), []).append(_title(result))
    for sentence, titles in weak.items():
        if sentence:
            yield f"<p class=warning><b>{', '.join(titles)}:</b> {_e(sentence)}</p>"


def _title(result: Result) -> str:
    """The model's title, stamped when its weights are random."""
    stamp = "" if is_trained(result.prediction) else " <span class=stamp>UNTRAINED</span>"
    return _e(result.prediction.checkpoint.title.removesuffix(" (untrained)")) + stamp


def _facts(*pairs: tuple[str, str]) -> str:
    rows = "".join(f"<dt>{_e(name)}</dt><dd>{_e(value)}</dd>" for name, value in pairs if value)
    return f"<dl class=facts>{rows}</dl>"


def _scores(comparison: Comparison) -> Iterator[str]:
    if comparison.case.reference is None:
        yield "<h2>Volumes</h2><p>This case has no reference, so there are no scores: only what the models drew.</p>"
        yield _volumes(comparison)
        return
    yield "<h2>Scores of the whole volume</h2>"
    yield "<p class=soft>↑ higher is better, ↓ lower is better; what each figure means stands at the end."
    yield " Bold: the best on this one case, which is no ranking.</p>" if len(comparison.results) > 1 else "</p>"
    for label in LABELS:
        rows = [(r, m) for r in comparison.results for m in r.metrics if m.label == label]
        if rows:
            yield _score_table(label, rows, comparison.case.volume.spacing_known)


def _volumes(comparison: Comparison) -> str:
    heads = ["Model", *(label.capitalize() for label in LABELS)]
    rows = []
    for result in comparison.results:
        found = {row["label"]: row["volume_ml"] for row in metric_rows(comparison.case, result)}
        words = ["n/a" if found.get(x) is None else f"{significant(found[x])} mL" for x in LABELS]
        rows.append([(cell, False) for cell in (_title(result), *words)])
    return _table(heads, rows)


def _score_table(label: str, rows: Sequence[tuple[Result, LabelMetrics]], known: bool) -> str:
    """One label: a model a row, the best of each column in bold."""
    heads = ["Model"]
    for name in TABLE:
        definition = DEFINITIONS[name]
        heads.append(f"<span title='{_e(definition.sentence)}'>{_e(definition.title)}{_arrow(name)}</span>")
    best = {name: _best(name, [metrics for _, metrics in rows]) for name in TABLE}
    body = []
    for result, metrics in rows:
        cells = [(format_metric(metrics, name, known), getattr(metrics, name) == best[name]) for name in TABLE]
        body.append([(_title(result), False), *cells])
    caption = "Liver (tumour included)" if label == "liver" else label.capitalize()
    size = f"; the reference has {format_metric(rows[0][1], 'reference_volume_ml')}" if known else ""
    return _table(heads, body, caption + size)


def _arrow(name: str) -> str:
    return ARROWS.get(DEFINITIONS[name].better, "")


def _best(name: str, rows: Sequence[LabelMetrics]) -> float | None:
    """The best figure of a column; None where nothing is compared or neither direction is better."""
    values = [value for row in rows if not math.isnan(value := getattr(row, name))]
    choose = {"higher": max, "lower": min}.get(DEFINITIONS[name].better)
    return choose(values) if choose and len(values) > 1 else None


def _table(heads: Sequence[str], rows: Iterable[Sequence[tuple[str, bool]]], caption: str = "") -> str:
    """A table that scrolls by itself where it is too wide. A cell is HTML, and whether it is the best."""
    head = "".join(f"<th scope=col>{cell}</th>" for cell in heads)
    body = []
    for (first, _), *cells in rows:
        marked = "".join(f"<td{' class=best' if best else ''}>{words}</td>" for words, best in cells)
        body.append(f"<tr><th scope=row>{first}</th>{marked}</tr>")
    title = f"<caption>{_e(caption)}</caption>" if caption else ""
    return f"<div class=wide><table>{title}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _pictures(comparison: Comparison, album: Album) -> Iterator[str]:
    """The slice that all models share: first by itself, then a row per model."""
    shot = album.common[0].shot
    count = len(comparison.case.volume.hu)
    yield f"<h2>Slice {shot.index + 1} of {count}: {_e(shot.why)}</h2>"
    yield f"<p class=soft>{_e(album.window)}. Pixels are unchanged, and lines run along their edges. "
    yield "The patient's right is on the left, front is up.</p>"
    yield _key(comparison.case.reference is not None, album.width)
    aside = "" if comparison.case.reference is None else " and with the reference"
    yield f"<figure><figcaption>The slice without any model{aside}. Look for the tumour before you read on."
    yield f"</figcaption><div class=row>{album.plain}</div></figure>"
    for figure, result in zip(album.common, comparison.results, strict=True):
        yield _figure(figure, result, _title(result))


def _key(scored: bool, width: float) -> str:
    """What colours and patterns mean; patterns as fine as in a picture `width` wide."""
    width, height = round(width * 0.064, 2), round(width * 0.037, 2)
    swatch = f"<svg viewBox='0 0 {width} {height}' class=slice aria-hidden=true>{{}}</svg>"
    line = f"<path class='{{}}' d='M0 {height / 2:.2f}H{width}'/>"
    area = f"<rect class={{}} width={width} height={height} />"
    signs = [(line.format("liver"), "liver, model"), (line.format("tumour"), "tumour, model")]
    if scored:
        signs.append((line.format("truth"), "reference"))
        names = (("right", "right"), ("extra", "too much (hatched)"), ("missed", "missed (dotted)"))
        signs += [(area.format(name), words) for name, words in names]
        signs.append((line.format("witness"), "Hausdorff distance; dashed: it runs across slices"))
    return f"<ul class=key>{''.join(f'<li>{swatch.format(sign)}{_e(words)}</li>' for sign, words in signs)}</ul>"


def _figure(figure: Figure, result: Result, before: str = "") -> str:
    """A caption above one or two pictures, or why there are none."""
    shot = figure.shot
    parts = [f"<b>{before or f'Slice {shot.index + 1}: {_e(shot.why)}'}</b>. {_dice_words(result, shot.index)}"]
    if shot.witness is not None:
        other = shot.witness.nearest_voxel[0]
        whose, nearest = shot.witness.from_mask, {"prediction": "reference", "reference": "prediction"}
        where = "in this slice" if other == shot.index else f"in slice {other + 1}, so the line is seen along the body"
        parts.append(f"The circle is on the {whose}; the nearest point of the {nearest[whose]} is {where}.")
    if len(figure.pictures) > 1:
        parts.append(f"Outlines of liver and tumour, then errors on the {shot.label}.")
    if not figure.pictures:
        name = result.prediction.checkpoint.model
        parts.append(f"Not drawn, to keep this file small: open {_e(name)}.nii.gz beside it.")
    pictures = f"<div class=row>{''.join(figure.pictures)}</div>" if figure.pictures else ""
    return f"<figure><figcaption>{' '.join(parts)}</figcaption>{pictures}</figure>"


def _dice_words(result: Result, k: int) -> str:
    """Dice of the slice and of the volume, per label."""
    words = []
    for slices, metrics in zip(result.slices, result.metrics, strict=True):
        here = float(slices.dice[k])
        words.append(
            f"<span class='tag {slices.label}'>{slices.label}</span> {'n/a' if math.isnan(here) else f'{here:.3f}'} "
            f"(volume {format_metric(metrics, 'dice')})"
        )
    return f"Dice of slice {k + 1}: {', '.join(words)}." if words else f"Slice {k + 1}."


def _model(case: Case, result: Result, album: Album, k: int) -> Iterator[str]:
    """One model: Dice along the body, its own slices, its lesions."""
    if result.scores is None:
        return
    own = album.of_model[k]
    yield f"<h2>{_title(result)}</h2>"
    profiles = [profile_of(slices, case.volume.spacing_mm) for slices in result.slices]
    yield "<h3>Dice of every slice</h3>"
    yield dice_curve(profiles, [album.common[k].shot.index, *(figure.shot.index for figure in own)], "Dice per slice")
    lines = {"liver": "solid", "tumour": "dashed"}
    for profile in profiles:
        tag = f"<span class='tag {profile.label}'>{profile.label.capitalize()}</span> ({lines[profile.label]} line)"
        yield f"<p class=soft>{tag}: {_e(profile.gap)}</p>"
    yield "<p class=soft>Grey behind: how much tumour the reference has. Dotted: the slices shown as pictures.</p>"
    if own:
        yield "<h3>Where it goes wrong</h3>"
        yield from (_figure(figure, result) for figure in own)
    yield from _lesions(case, result)


def _lesions(case: Case, result: Result) -> Iterator[str]:
    """The lesion ledger: the largest of the reference, then the largest false alarms."""
    if result.scores is None or result.scores.lesions is None:
        return
    report, rows = result.scores.lesions, lesion_rows(case, result)
    true, false = rows[: len(report.reference)], rows[len(report.reference) :]
    yield "<h3>Lesions</h3>"
    if not rows:
        yield "<p>Neither the reference nor the model shows a tumour.</p>"
        return
    yield f"<p>Found {report.n_found} of {_count(len(true), 'lesion')}; {_count(len(false), 'false alarm')}.</p>"
    shown = true[:LESIONS_SHOWN] + false[:FALSE_ALARMS_SHOWN]
    heads = [f"<span title='{_e(LESION_COLUMNS.get(name, ''))}'>{LESION_HEADS[name]}</span>" for name in LESION_TABLE]
    yield _table(heads, ([(_e(_cell(row, name)), False) for name in LESION_TABLE] for row in shown))
    if len(shown) < len(rows):
        yield f"<p class=soft>{len(rows) - len(shown)} smaller ones are in lesions.csv.</p>"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if name == "found":
        return "invented" if value is None else "found" if value else "missed"
    if value is None:
        return "" if name == "dice" else "n/a"
    if name == "dice":
        return f"{value:.3f}"
    return f"{significant(value)}{LESION_UNITS.get(name, '')}" if isinstance(value, float) else str(value)


def _definitions(comparison: Comparison, facts: dict[str, Any]) -> Iterator[str]:
    if comparison.case.reference is None:
        return
    yield "<h2>What the figures mean</h2><dl class=terms>"
    for d in (DEFINITIONS[name] for name in (*TABLE, "tolerance_mm")):
        unit = f" ({d.unit})" if d.unit else " (0 to 1)"
        source = "; ".join(part for part in d.source.split("; ") if not part.startswith("PAPERS.md"))
        yield f"<div><dt>{_e(d.title)}{unit}</dt><dd>{_e(d.sentence)} <small>{_e(source)}</small></dd></div>"
    for name in ("found", "diameter_mm", "contrast_hu"):
        title = LESION_HEADS[name] or "Found"
        yield f"<div><dt>{title} of a lesion</dt><dd>{_e(LESION_COLUMNS[name])}</dd></div>"
    tolerance = next((m.tolerance_mm for r in comparison.results for m in r.metrics), math.nan)
    yield f"</dl><p>{_e(facts['empty_masks'])} Liver means {_e(facts['liver'])}."
    yield f" The tolerance here is {tolerance:g} mm. More figures are in metrics.csv, and what they mean in "
    yield "comparison.json.</p>"


def _origin(comparison: Comparison, facts: dict[str, Any]) -> Iterator[str]:
    """Per model what fixes its result, then versions, date and command."""
    yield "<footer><h2>Where it comes from</h2>"
    for result, run in zip(comparison.results, facts["models"], strict=True):
        prediction, checkpoint = result.prediction, result.prediction.checkpoint
        yield f"<h3>{_title(result)}</h3>"
        yield _facts(
            ("Checkpoint", f"{checkpoint.file}, {checkpoint.preset} size, {checkpoint.parameters:,} parameters")
            if run["trained"]
            else ("Checkpoint", f"none: random weights of seed {checkpoint.seed}, {checkpoint.preset} size"),
            ("sha256", checkpoint.sha256),
            ("Preprocessing", prediction.preprocessing.describe()),
            ("Decision rule", prediction.rule),
            ("Inference", f"{run['inference']}; {prediction.seconds:.1f} s on {prediction.device}"),
            ("Trained on", checkpoint.trained_on),
            ("Training code", checkpoint.commit),
            ("Licence of the weights", checkpoint.licence),
        )
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield "<h3>This page</h3>"
    yield _facts(("Versions", f"livdemo {facts['livdemo']}, {versions}"), ("Date", facts["date"]))
    yield f"<p>The same again: <code>{_e(facts['command'])}</code></p><p class=banner>{_e(DISCLAIMER)}</p></footer>"


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
