"""The page's languages: it is written in English, and a catalogue per further language is laid over it in the browser.

languages/CODE.json maps an English phrase to its translation. A phrase is the text between two tags, or an attribute
such as title, with single spaces. `{}` stands for a number, `{name}` for any words, which are translated in turn;
sentences, lines and what stands between middle dots are also looked up one by one. What is not in the catalogue stays
English: names of models, papers and files, and long quotations from a paper (marked lang="en").

To add a language: copy de.json, translate its right-hand side, and add the code and its own name to LANGUAGES.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from livdemo.ui.markup import escape

FOLDER = Path(__file__).parent / "languages"
LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "de": "Deutsch"})  # each in its own words


def catalogue_path(code: str) -> Path:
    """The phrases of a language other than English; the browser fetches them when they are asked for."""
    return FOLDER / f"{code}.json"


def language_script() -> str:
    """A <script> for the page's head: picks the language and translates what is shown."""
    paths = {code: str(catalogue_path(code)) for code in LANGUAGES if code != "en"}
    script = (Path(__file__).parent / "language.js").read_text("utf-8")
    return f"<script>{script.replace('{/*languages*/}', json.dumps(paths))}</script>"


def language_picker() -> str:
    """The list to choose from; language.js listens to it."""
    options = "".join(
        f"<option value='{code}' lang='{code}' translate='no'>{escape(name)}</option>"
        for code, name in LANGUAGES.items()
    )
    return f"<select id='language' class='language' aria-label='Language'>{options}</select>"
