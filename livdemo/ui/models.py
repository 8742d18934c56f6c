"""The place "Models": a card for each network of the list, folded; a filter by paper works in the browser.

models_place(tab)       # inside of the page's tab
"""

from typing import Any

import gradio as gr

from livdemo.checkpoints import read_manifest, weights_folder
from livdemo.errors import InputError
from livdemo.models import list_models
from livdemo.results import read_results, results_path
from livdemo.ui.events import file_stamp, filled_place, unless_shown
from livdemo.ui.markup import escape
from livdemo.ui.messages import alert
from livdemo.ui.model_cards import model_card, paper_of

WAITING = "<p class='empty'>The cards of all models will stand here.</p>"
OPENING = """<h3>What is each network, and where does it come from?</h3>
<p>{count} networks of five papers (S0 to S4). Open a card for its idea, its plan, its weights and its numbers.</p>"""


def models_place(tab: gr.Tab) -> None:
    """Build the place inside of `tab`, which is open at the time of the call."""
    filled_place(tab, show_models, "models-page", WAITING)


def show_models(shown: object) -> list[Any]:
    """The cards and what they were made from; nothing where the visitor has them already."""
    stamp = f"models {file_stamp(weights_folder() / 'manifest.json')} {file_stamp(results_path())}"
    return unless_shown(shown, stamp, models_html)


def models_html() -> str:
    """The whole place. InputError for a damaged manifest; without our figures the cards stand, and say why."""
    trained = {checkpoint.model: checkpoint for checkpoint in read_manifest()}
    try:
        results, missing = read_results(), ""
    except InputError as error:
        results, missing = None, alert(error)
    specs = list_models()
    papers = sorted({paper_of(spec) for spec in specs})
    cards = "".join(model_card(spec, trained.get(spec.name), results) for spec in specs)
    top = OPENING.format(count=len(specs)) + missing + _filter(papers, len(specs))
    return f"<article class='models'>{top}{cards}</article>"


def _filter(papers: list[tuple[str, str]], count: int) -> str:
    button = "<button type='button' data-paper='{}' aria-pressed='false'>{}</button>"
    buttons = "".join(button.format(escape(short), escape(f"{short} {title}")) for short, title in papers)
    return (
        "<div class='papers' role='group' aria-label='Filter by paper'>"
        f"<button type='button' data-paper='' aria-pressed='true'>All papers</button>{buttons}"
        f"<span class='count note' role='status'>{count} models</span></div>"
    )
