"""The catalogues of further languages: nothing in them that nobody shows, nothing lost on the way."""

import ast
import functools
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livdemo.errors import InputError
from livdemo.ui.deep_link import read_link
from livdemo.ui.language import FOLDER, LANGUAGES, catalogue_path, language_picker, language_script
from livdemo.volume import GeometryMismatch, Volume, read_label_map, read_reference, read_volume
from tests.conftest import REPOSITORY
from tests.volume_files import SHAPE, nifti_image, numbered_hu, write_nifti

OTHERS = [code for code in LANGUAGES if code != "en"]
Shown = tuple[set[str], str]
MARKS = " .,:;()[]+−-–·“”?!`"
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
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "counted":
            yield f"{_words_of(node.args[1])}s"  # words.py


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


@functools.cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """What a phrase fits, as in language.js."""

    def hole(found: re.Match[str]) -> str:
        return "(.+?)" if found[1] else f"({NUMBER.pattern})"

    return re.compile(re.sub(r"\\\{(\w*)\\\}", hole, re.escape(phrase)))


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_about_the_shipped_weights_is_translated(code: str) -> None:
    """They change with every training, and stand in tooltips, where no test of the page looks."""
    patterns = [_pattern(phrase) for phrase in phrases(code)]
    rows = json.loads((REPOSITORY / "weights/manifest.json").read_text("utf-8"))["checkpoints"]
    texts = [row[field] for row in rows for field in ("trained_on", "weak")]
    sentences = {sentence for text in texts for sentence in re.split(r"(?<=\.) (?=[A-Z])", text)} - {""}
    missing = [text for text in sorted(sentences) if not any(pattern.fullmatch(text) for pattern in patterns)]
    assert not missing, "\n".join(missing)


# ------------------------------------------------------------------------- what is said about a visitor's own files

READERS = ("archive", "dicom", "grid", "itk_image", "nifti", "padding", "slice_stack", "volume", "voxels")
RUNNERS = ("cases", "checkpoints", "lits117", "predictor")
COMMAND_LINE = ("There is no way of inference", "There is no CUDA device", "There is no device")  # no page asks for one
SENTENCE_END = re.compile(r"(?<=[.?)])\s+(?=[A-Z★(])")  # as in language.js
# What a phrase may have where the code puts something in: any words; a number; a number and its noun.
HOLES = {"\0": r"(?:[^{}]|\{\w+\})*", "\1": r"\{\w*\}%?", "\2": r"\{\} [^{}]*"}


def _hole(part: ast.FormattedValue) -> str:
    """{} would fit no words, so a phrase may have it only where the code is sure to write a number."""
    called = part.value.func.id if isinstance(part.value, ast.Call) and isinstance(part.value.func, ast.Name) else ""
    if called == "counted":
        return "\2"
    written = _words_of(part.format_spec) if part.format_spec else ""
    return "\1" if called == "len" or written.endswith((",", "f", "%")) else "\0"  # "g" may write 1e-05


def _message(node: ast.AST) -> str:
    """A string or f-string of Python; what is put in becomes a key of HOLES."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_hole(part) if isinstance(part, ast.FormattedValue) else _words_of(part) for part in node.values)
    return _words_of(node)


def _messages(node: ast.AST) -> Iterator[str]:
    """All strings of a module of two words or more, but no docstrings and nothing that is said to programmers."""
    if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
        return
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "ValueError":
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    text = _message(node)
    if " " in text.strip() and len(re.findall("[a-z]{2}", text)) > 1:
        yield text
    for part in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(part, ast.Constant)):
            yield from _messages(part)


def _is_sentence(text: str) -> bool:
    """And not a part of one, or one that another goes on with."""
    return text.rstrip("\0").endswith(".") and not text.startswith(" ")


def _can_be_said(text: str, catalogue: dict[str, str]) -> bool:
    """Whether every sentence of a message is a phrase, or, if it is a part of one, stands in a phrase."""
    parts = SENTENCE_END.split(text) if _is_sentence(text) else [text]
    sources = ["".join(HOLES.get(letter) or re.escape(letter) for letter in part) for part in parts]
    fits = re.fullmatch if _is_sentence(text) else re.search
    return all(any(fits(source, phrase) for phrase in catalogue) for source in sources)


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("module", READERS)
def test_whatever_a_reader_says_is_translated(module: str, code: str) -> None:
    said = list(_messages(ast.parse((REPOSITORY / f"livdemo/{module}.py").read_text("utf-8"))))
    assert said
    assert [text for text in said if not _can_be_said(text, phrases(code))] == []


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("module", RUNNERS)
def test_why_a_case_or_a_model_cannot_be_had_is_translated(module: str, code: str) -> None:
    said = list(filter(_is_sentence, _messages(ast.parse((REPOSITORY / f"livdemo/{module}.py").read_text("utf-8")))))
    assert said
    missing = [text for text in said if not _can_be_said(text, phrases(code))]
    assert [text for text in missing if not text.startswith(COMMAND_LINE)] == []


@pytest.mark.parametrize("code", OTHERS)
def test_every_error_of_the_page_is_translated(code: str) -> None:
    """Those of api.py alone are for programs, which read English."""
    paths = [path for path in REPOSITORY.glob("livdemo/ui/*.py") if path.name != "api.py"]
    paths.append(REPOSITORY / "livdemo/results.py")
    calls = [
        node
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError"
    ]
    said = [text for call in calls for argument in call.args for text in _messages(argument)]
    assert said
    assert [text for text in said if not _can_be_said(text, phrases(code))] == []


def test_a_message_without_a_translation_is_found() -> None:
    catalogue = {"{name} is blue: paint it.": "", "{} slices of {name}.": "", "{mend} and more": ""}

    def said(code: str) -> bool:
        (text,) = _messages(ast.parse(code))
        return _can_be_said(text, catalogue)

    assert said("f'{a} is blue: paint it.'")
    assert not said("f'{a} is green: paint it.'")
    assert not said("f'{a} is blue: paint it. Or leave it.'")
    assert said("f'{len(a)} slices of {b}.'")
    assert not said("f'{a} slices of {b}.'"), "{} fits no words"
    assert said("more = ' and more'")


def _translated(text: str, catalogue: dict[str, str]) -> str:
    """What language.js makes of a text, in short; the text itself where the catalogue has nothing for it."""
    parts = SENTENCE_END.split(text)
    made = [_translated(part, catalogue) for part in parts] if len(parts) > 1 else parts
    if not set(parts) & set(made):
        return " ".join(made)
    for phrase in sorted(catalogue, key=lambda one: -len(PLACEHOLDER.sub("", one))):  # the one that says most first
        if found := _pattern(phrase).fullmatch(text):
            return _filled(phrase, found.groups(), catalogue)
    return text


def _filled(phrase: str, found: tuple[str, ...], catalogue: dict[str, str]) -> str:
    """The phrase's translation with what was found in its holes: numbers in their order, words translated in turn."""
    held = list(zip(PLACEHOLDER.findall(phrase), found, strict=True))
    numbers = iter([number for hole, number in held if hole == "{}"])
    words = {hole: _translated(text, catalogue) for hole, text in held if hole != "{}"}
    return PLACEHOLDER.sub(lambda hole: words.get(hole[0]) or next(numbers), catalogue[phrase])


def _german(text: str) -> str:
    return _translated(text, phrases("de"))


@pytest.mark.parametrize(
    ("name", "content", "german"),
    [
        ("a.nii.gz", "", "a.nii.gz ist leer: noch einmal kopieren oder herunterladen."),
        ("a.nii", "words", "a.nii ist kein NIfTI-Bild, was auch der Name sagt: die Aufnahme als .nii.gz ausgeben."),
        ("a.mha", "words", "a.mha lässt sich nicht als .mha-Datei lesen, obwohl es so heißt: noch einmal ausgeben."),
        ("a.zip", "words", "a.zip ist beschädigt oder kein .zip: noch einmal packen oder herunterladen."),
        (
            "a.docx",
            "words",
            "a.docx ist von keiner Art, die livdemo liest: .nii, .nii.gz, .nrrd, .mha, .png, .jpg, einen Ordner oder "
            "ein .zip mit DICOM-Schichten geben.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_german(name: str, content: str, german: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / name)
    assert _german(str(error.value)) == german


@pytest.fixture
def scan(tmp_path: Path) -> Volume:
    return read_volume(write_nifti(tmp_path / "scan.nii.gz", numbered_hu()))


def test_a_mask_with_other_labels_is_refused_in_german(scan: Volume, tmp_path: Path) -> None:
    labels = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    with pytest.raises(InputError) as error:
        read_label_map(write_nifti(tmp_path / "mask.nii", labels), scan)
    assert _german(str(error.value)) == (
        "mask.nii hat die Werte 3, 4, 5, 6, 7, 8 und andere, aber die Klassen sind 0 Hintergrund, 1 Leber, 2 Tumor: "
        "die Leber als 1 und den Tumor als 2 schreiben."
    )


def test_a_mask_on_another_grid_is_told_of_in_german(scan: Volume, tmp_path: Path) -> None:
    image = nifti_image(np.ones(SHAPE, np.uint8))
    image.affine[0, 3] -= 1.5  # three of its five columns stay in the scan
    image.to_filename(tmp_path / "mask.nii")
    with pytest.raises(GeometryMismatch) as error:
        read_label_map(tmp_path / "mask.nii", scan)
    assert _german(str(error.value)) == (
        "mask.nii liegt nicht auf dem Gitter der Aufnahme: Die Maske hat 5×4×3 Voxel von 0.5×0.75×2.5 mm um "
        "(-87.5, -58.9, 402.5), die Aufnahme 5×4×3 Voxel von 0.5×0.75×2.5 mm um (-89.0, -58.9, 402.5), ihre Ecken "
        "liegen bis zu 1.5 mm auseinander; sie umrechnen lassen (nächster Nachbar) oder die Maske dieser Aufnahme "
        "geben."
    )


def test_a_mask_partly_beside_the_scan_is_noted_in_german(scan: Volume, tmp_path: Path) -> None:
    image = nifti_image(np.ones(SHAPE, np.uint8))
    image.affine[0, 3] -= 1.0
    image.to_filename(tmp_path / "mask.nii")
    volume, _ = read_reference(tmp_path / "mask.nii", scan, resample=True)
    assert _german(volume.warnings[-1]) == (
        "mask.nii liegt auf einem anderen Gitter als die Aufnahme und wurde umgerechnet (nächster Nachbar): Die Werte "
        "ändern sich etwas. 40 % von dem, was darin markiert ist, liegen außerhalb der Aufnahme und werden nicht "
        "bewertet."
    )


def test_what_a_link_asks_for_in_vain_is_told_in_german() -> None:
    link = read_link({"case": "bert", "slice": "0", "window": "abdomen", "models": "nn", "place": "home"})
    assert _german(link.problem) == (
        "Dieser Link fragt nach dem Fall „bert“, der Schicht „0“, dem Modell „nn“ und dem Ort „home“, was livdemo "
        "nicht hat: stattdessen aus den Listen wählen."
    )
