"""The one endpoint for programs: models on a case, as on the wall and as `python -m livdemo compare`. See docs/api.md.

with gr.Blocks() as app:
    compare_endpoint()        # gradio_client: Client(address).predict(case="phantom", api_name="/compare")
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from livdemo.cases import Case
from livdemo.checkpoints import read_manifest
from livdemo.comparison import Comparison, Progress, Result, able, compare
from livdemo.errors import InputError
from livdemo.predictor import PLAIN, Inference, named_inference
from livdemo.report import write_report
from livdemo.ui.built_in import is_kept, open_case
from livdemo.ui.choices import ready_to_run, refuse_unknown
from livdemo.ui.compare import run_one
from livdemo.ui.line import IN_LINE
from livdemo.ui.upload import read_upload

SECONDS_BETWEEN_UPDATES = 1.0


def compare_endpoint() -> None:
    """Register /compare inside of the page's blocks: public, and in the same queue as every network of the page."""
    hidden: dict[str, Any] = {"visible": False}
    inputs = [
        gr.Textbox("", label="case", **hidden),
        gr.File(label="ct", **hidden),
        gr.File(label="reference", **hidden),
        gr.Textbox("all", label="models", **hidden),
        gr.Textbox("plain", label="inference", **hidden),
    ]
    outputs = [gr.JSON(label="figures", **hidden), gr.File(label="files", file_count="multiple", **hidden)]
    gr.Button("compare", visible=False).click(
        compare_by_program,
        inputs,
        outputs,
        api_name="compare",
        api_visibility="public",
        **IN_LINE,
    )


def compare_by_program(
    case: str = "",
    ct: str | None = None,
    reference: str | None = None,
    models: str = "all",
    inference: str = "plain",
) -> Iterator[tuple[dict[str, Any], list[str] | None]]:
    """Run models on a case and return figures and files. Yields {"progress": ...} while they work, the result last."""
    folder = Path(tempfile.mkdtemp(prefix="livdemo-"))
    try:
        opened = _open(case, ct, reference)
        results = []
        asked = named_inference(inference)
        for event in _run(opened, _names(models, opened, asked), asked, kept=ct is None and is_kept(case)):
            if isinstance(event, Result):
                results.append(event)
            else:
                yield _update(event), None
        paths = write_report(Comparison(opened, tuple(results)), folder)
        figures = json.loads((folder / "comparison.json").read_text("utf-8"))
        yield figures, [str(path) for path in paths]  # gradio copies them before it goes on
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open(case: str, ct: str | None, reference: str | None) -> Case:
    if case and ct:
        raise InputError("Both a case and a CT were given: leave one of them out.")
    if ct:
        return read_upload([ct], reference, resample=False)
    if reference:
        raise InputError("A case of the catalogue brings its own reference: leave the reference out, or send a CT too.")
    if not case:
        raise InputError("Neither a case nor a CT was given: name a case such as phantom, or send a file.")
    return open_case(case)


def _names(models: str, case: Case, inference: Inference) -> list[str]:
    if models.strip() == "all":
        return [checkpoint.model for checkpoint in able(case, read_manifest(), inference)[0]]
    names = list(dict.fromkeys(filter(None, (part.strip() for part in models.split(",")))))
    if not names:
        raise InputError("No model was named: give names with commas, or all.")
    refuse_unknown(names)
    return names


def _run(case: Case, names: list[str], inference: Inference, kept: bool) -> Iterator[Progress | Result]:
    """Every model in turn; asked plainly, as on the wall, and with what others have run on a built-in case."""
    if inference == PLAIN:
        for name in names:
            yield from run_one(case, name, kept)
        return
    ready = [ready_to_run(name) for name in names]
    checkpoints = [checkpoint for checkpoint, _ in ready]
    networks = {name: network for _, untrained in ready for name, network in untrained.items()}
    shown = 0.0
    for event in compare(case, checkpoints, inference=inference, untrained=networks):
        if isinstance(event, Result):
            yield event
        elif time.monotonic() - shown > SECONDS_BETWEEN_UPDATES:
            shown = time.monotonic()
            yield event


def _update(event: Progress) -> dict[str, Any]:
    seconds_left = round(event.seconds_left, 1)
    progress = {"model": event.checkpoint.model, "slices": event.done, "of": event.total, "seconds_left": seconds_left}
    return {"progress": progress}
