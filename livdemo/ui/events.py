"""How the page's events are registered, and the places that are filled from files when they are opened.

filled_place(tab, show_models, "models-page", WAITING)    # inside of the page's tab
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from livdemo.errors import InputError
from livdemo.ui.messages import alert

_HERE = Path(__file__).parent
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}  # the page's own, without a veil
# A plot that follows what is chosen: only the last choice counts while one is drawn.
DRAWING: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private", "trigger_mode": "always_last"}


def filled_place(tab: gr.Tab, show: Callable[[object], list[Any]], elem_id: str, waiting: str) -> None:
    """One piece of HTML in `tab`, which is open at the time of the call; `show` fills it when it is selected.

    show: takes what the visitor's page was made from, gives the page and what it is made from now.
    """
    shown = gr.State("")
    script = (_HERE / "places.js").read_text("utf-8")
    page = gr.HTML(waiting, elem_id=elem_id, js_on_load=script, apply_default_css=False)
    tab.select(show, shown, [page, shown], **QUIET)


def unless_shown(shown: object, stamp: str, page: Callable[[], str]) -> list[Any]:
    """The page and its stamp; nothing where the visitor has it already, so that what is unfolded stays so."""
    if stamp and stamp == shown:
        return [gr.skip(), gr.skip()]
    try:
        return [page(), stamp]
    except InputError as error:
        return [alert(error), ""]


def while_open(panel: str, state: gr.State) -> Callable[..., Any]:
    """Registers what happens when `state` changes while the accordion of this elem_id is unfolded.

    Only the browser knows whether it is: a folded one asks the server nothing.
    """
    again = gr.Button("Draw again", visible="hidden", elem_id=f"{panel}-again")
    press = f"""() => {{
      if (document.querySelector("#{panel} > .label-wrap.open")) document.querySelector("#{panel}-again").click();
    }}"""
    state.change(None, None, None, js=press, queue=False)
    return again.click


def file_stamp(path: Path) -> str:
    """Changes whenever the file does; "" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"
