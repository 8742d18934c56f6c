"""A link to what is on the screen: ?case=phantom&slice=31&window=liver&models=unet64,unet_liver&place=compare

    link = read_link(request.query_params)     # on load; nothing of an address is believed before it is on a list
    button = link_button(elem_id="copy-link")  # value: link_value(...); the address is put together in the browser
    on_press(button, source, models, untrained)

Slices count from 1, as on the screen. A window has a name or is width/level in HU. An uploaded CT has no link.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from livdemo.cases import list_cases
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.ui.choices import known_names
from livdemo.ui.events import QUIET
from livdemo.ui.viewer import HU_MAX, HU_MIN

PLACES = (
    "learn",
    "compare",
    "models",
    "results",
)  # ids of the page's tabs and, so that the browser can tell which is open, their elem_id
SHOWN_CHARACTERS = 40  # of a wrong word from an address, in the sentence about it

_HERE = Path(__file__).parent
_HELP = "An address that opens this case, slice, window and models again. A CT of your own has none: it is yours alone."


@dataclass(frozen=True)
class Link:
    """What an address asks for, as far as it is here; None where it asks for nothing, or for what is not here."""

    case: str | None = None
    slice_index: int | None = None
    window: Window | None = None
    models: tuple[str, ...] | None = None
    place: str | None = None
    unknown: tuple[str, ...] = ()  # what is not here, in words

    @property
    def problem(self) -> str:
        """One sentence for the visitor; "" where all is well."""
        if not self.unknown:
            return ""
        what = " and ".join(filter(None, (", ".join(self.unknown[:-1]), self.unknown[-1])))
        return f"This link asks for {what}, which livdemo does not have: choose from the lists instead."


NO_LINK = Link()


def read_link(asked: Mapping[str, str]) -> Link:
    """The parameters of an address, checked against the catalogue, the model list and the named windows."""
    unknown: list[str] = []

    def checked(name: str, value: Any) -> Any:
        text = asked.get(name, "")
        if text and value is None:
            unknown.append(f"the {name} “{_short(text)}”")
        return value

    wanted, place = asked.get("case", ""), asked.get("place", "").lower()
    case = checked("case", wanted if wanted in {info.name for info in list_cases()} else None)
    slice_index = checked("slice", _slice(asked.get("slice", "")))
    return Link(
        case=case,
        slice_index=None if wanted and case is None else slice_index,  # a slice of a case that is not here
        window=checked("window", _window(asked.get("window", ""))),
        models=_models(asked.get("models"), unknown),
        place=checked("place", place if place in PLACES else None),
        unknown=tuple(unknown),
    )


def _slice(text: str) -> int | None:
    return int(text) - 1 if re.fullmatch(r"[1-9][0-9]{0,4}", text) else None


def _window(text: str) -> Window | None:
    """Clamped to what the viewer can show."""
    if text.lower() in NAMED_WINDOWS or text in NAMED_WINDOWS:
        return NAMED_WINDOWS[text if text in NAMED_WINDOWS else text.lower()]
    numbers = re.fullmatch(r"([0-9]{1,5})/([-−]?[0-9]{1,5})", text)
    if numbers is None:
        return None
    width, level = int(numbers[1]), int(numbers[2].replace("−", "-"))
    return Window(min(max(level, HU_MIN), HU_MAX), min(max(width, 1), HU_MAX - HU_MIN + 1))


def _models(text: str | None, unknown: list[str]) -> tuple[str, ...] | None:
    """The known ones; an empty list is a choice of none, a list of unknown ones is no choice."""
    if text is None:
        return None
    names = list(dict.fromkeys(filter(None, text.split(","))))
    known = known_names(names)
    unknown += [f"the model “{_short(name)}”" for name in names if name not in known][:1]
    return tuple(known) if known or not names else None


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


# ------------------------------------------------------------------------------------------------- button


def link_button(over: bool = False, **kwargs: Any) -> gr.HTML:
    """A button, and the address that it has copied; kwargs go to gr.HTML. A factory for the reason of ct_viewer().

    over: whether the address lies over the page, for a narrow place, and goes when the visitor goes on.
    """
    template = (_HERE / "copy_link.html").read_text("utf-8").replace("<!--help-->", _HELP)
    return gr.HTML(
        None,
        html_template=template.replace("<!--over-->", "cl-over" if over else ""),
        css_template=(_HERE / "copy_link.css").read_text("utf-8"),
        js_on_load=(_HERE / "copy_link.js").read_text("utf-8"),
        apply_default_css=False,
        **kwargs,
    )


def link_value(case_name: str | None, volume_key: str) -> dict[str, Any]:
    """What the browser cannot know: the open case's name (None: it cannot be linked) and its viewer's volume."""
    windows = [{"name": name, "text": f"{w.width:g}/{w.center:g}"} for name, w in NAMED_WINDOWS.items()]
    return {"case": case_name, "key": volume_key, "windows": windows, "places": list(PLACES)}


def on_press(button: gr.HTML, source: gr.HTML, models: gr.CheckboxGroup, untrained: gr.CheckboxGroup) -> None:
    """Let `button` copy a link to the case of `source` (another of these, or itself) without asking the server."""
    files = "\n".join((_HERE / name).read_text("utf-8") for name in ("link.js", "link_address.js"))
    button.copylink(
        None,
        [source, models, untrained],
        button,
        js=f"(...given) => {{\n{files}\nreturn linkAddress(...given);\n}}",
        **QUIET,
    )
