"""The catalogues of further languages: nothing in them that nobody shows, nothing lost on the way."""

import ast
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from livdemo.ui.language import FOLDER, LANGUAGES, catalogue_path, language_picker, language_script
from tests.conftest import REPOSITORY

OTHERS = [code for code in LANGUAGES if code != "en"]
Shown = tuple[set[str], str]
MARKS = " .,:;()[]+−-–·“”?!"
ATTRIBUTE = re.compile(r"(?:aria-label|title)='([^']*)'")
# Between two phrases: a tag, Markdown's marks, a paragraph's end, a sentence's end, a middle dot.
BETWEEN = re.compile(r"<[^>]*>|[*`]+|\n\n|^#+ |\n(?=[A-Z])|(?<=[.?]) |\s·\s")
LONG_RUN = 4  # words: so many in a row stand together by no accident
PLACEHOLDER = re.compile(r"\{\w*\}")
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
CARDS = ("card.py", "evidence.py", "plan.py")  # they write sentences of the manifest and of the results
# What gradio itself writes where a browser asks for English.
GRADIOS = {
    "Drop File Here",
    "- or -",
    "or",
    "Click to Upload",
    "More tabs",
    "Remove this file",
    "number input for {label}",
    "range slider for {label}",
}


def phrases(code: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(catalogue_path(code).read_text("utf-8"))
    return found


def _words_of(node: ast.AST) -> str:
    """A string or f-string of Python; what is put in becomes {}."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_words_of(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _python(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr | ast.Constant):
            yield _words_of(node)


def _script(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8")
    yield from re.findall(r'"([^"\n]*)"', text)
    for template in text.split("`"):  # templates may stand within each other
        yield re.sub(r"\$\{[^{}`]*(\}|$)", "{}", template)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(one)


def _sources() -> Iterator[str]:
    """Every string that the app can show, as it stands in the code."""
    for path in [*REPOSITORY.glob("livdemo/**/*.py"), *(REPOSITORY / "train" / name for name in CARDS)]:
        yield from _python(path)
    for path in REPOSITORY.glob("livdemo/ui/*.js"):
        if path.name != "language.js":
            yield from _script(path)
    for path in REPOSITORY.glob("livdemo/ui/*.html"):
        text = path.read_text("utf-8")
        yield text
        yield from re.findall(r'[\w-]+="([^"]*)"', text)
    yield from _strings(json.loads((REPOSITORY / "weights/manifest.json").read_text("utf-8")))


def _words(text: str) -> str:
    """The words alone: no numbers, no marks, no capitals."""
    return " ".join(filter(None, (word.strip(MARKS) for word in NUMBER.sub(" ", text).lower().split())))


@pytest.fixture(scope="module")
def shown() -> Shown:
    """What the source is made of: stretches between tags, Markdown's marks and what is put in; and all as one text."""
    stretches = set()
    for source in _sources():
        for part in [*ATTRIBUTE.findall(source), *BETWEEN.split(html.unescape(source))]:
            stretches |= {_words(part), *map(_words, PLACEHOLDER.split(part))}
    return stretches - {""}, "\n".join(f" {one} " for one in stretches)


def _is_shown(phrase: str, shown: Shown) -> bool:
    """Whether the phrase can be put together from whole stretches, or from long runs of words within one."""
    stretches, everything = shown
    words = _words(PLACEHOLDER.sub(" ", phrase)).split()
    reached = {0}  # how many of the words can be had
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1) if start in reached else ():
            run = " ".join(words[start:end])
            if run in stretches or (end - start >= LONG_RUN and f" {run} " in everything):
                reached.add(end)
    return phrase in GRADIOS or len(words) in reached


@pytest.mark.parametrize("code", OTHERS)
def test_every_phrase_is_one_that_the_app_shows(code: str, shown: Shown) -> None:
    assert [phrase for phrase in phrases(code) if not _is_shown(phrase, shown)] == []


def test_a_phrase_that_nobody_shows_is_found(shown: Shown) -> None:
    assert not _is_shown("This sentence is nowhere on the page.", shown)
    assert not _is_shown("{} slices of an invented thing", shown)


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_says_all_that_its_phrase_holds(code: str) -> None:
    for phrase, translation in phrases(code).items():
        assert translation.strip(), phrase
        assert sorted(PLACEHOLDER.findall(phrase)) == sorted(PLACEHOLDER.findall(translation)), phrase
        assert " ".join(phrase.split()) == phrase, f"single spaces, as the browser looks it up: {phrase}"


def test_every_language_has_a_catalogue_and_can_be_chosen() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(OTHERS)
    for code, name in LANGUAGES.items():
        assert f"<option value='{code}' lang='{code}' translate='no'>{name}</option>" in language_picker()
    script = language_script()
    assert "/*languages*/" not in script
    assert str(catalogue_path("de")) in script


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_about_the_shipped_weights_is_translated(code: str) -> None:
    """They change with every training, and stand in tooltips, where no test of the page looks."""
    number = r"\d[\d,.]*\d|\d"
    patterns = [
        re.sub(r"\\\{(\w*)\\\}", lambda hole: ".+" if hole[1] else f"(?:{number})", re.escape(phrase))
        for phrase in phrases(code)
    ]
    rows = json.loads((REPOSITORY / "weights/manifest.json").read_text("utf-8"))["checkpoints"]
    texts = [row[field] for row in rows for field in ("trained_on", "weak")]
    sentences = {sentence for text in texts for sentence in re.split(r"(?<=\.) (?=[A-Z])", text)} - {""}
    missing = [text for text in sorted(sentences) if not any(re.fullmatch(pattern, text) for pattern in patterns)]
    assert not missing, "\n".join(missing)
