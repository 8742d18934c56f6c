"""The endpoint for programs: the examples of docs/api.md as they stand there, what is refused, what is not public."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import nibabel
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from livdemo.cases import load_case
from livdemo.checkpoints import read_manifest, write_manifest
from livdemo.metrics import score_case
from livdemo.ui.api import compare_by_program
from livdemo.ui.app import build_app, launch_options
from tests.conftest import REPOSITORY
from tests.made_up import block_case
from tests.phantom_pair import phantom_pair
from tests.small_model import write_phantom_pair

DOCS = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole page, with two quick networks under the names that docs/api.md uses."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as environment, phantom_pair(folder, ("unet64", "unet_liver")):
        environment.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        app = build_app().queue()
        app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
        yield str(app.local_url)
        app.close(verbose=False)


@pytest.fixture
def client(address: str, tmp_path: Path) -> Iterator[Client]:
    opened = Client(address, verbose=False, download_files=tmp_path / "downloads")
    yield opened
    opened.close()


def write_block(folder: Path) -> None:
    """A CT and its reference under the names that docs/api.md uses."""
    case = block_case()
    grid = case.volume.grid
    for name, array in (("scan", case.volume.hu), ("seg", case.reference)):
        nibabel.Nifti1Image(grid.from_display(array), grid.affine).to_filename(folder / f"{name}.nii.gz")


def test_the_examples_of_the_documentation_run(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Word for word, but for the address: every test has a port of its own."""
    assert len(EXAMPLES) == 3
    write_block(tmp_path)
    here: dict[str, Any] = {}
    with chdir(tmp_path):
        assert "http://127.0.0.1:7860" in EXAMPLES[0]
        exec(EXAMPLES[0].replace("http://127.0.0.1:7860", address), here)
        case = load_case("phantom")
        files = {Path(path).name: Path(path) for path in here["files"]}
        label_map = case.volume.grid.to_display(np.asarray(nibabel.load(files["unet64.nii.gz"]).dataobj))
        liver = score_case(label_map, case.reference, case.volume.spacing_mm)[0]
        assert f"unet64 liver {liver.dice}\n" in capsys.readouterr().out
        assert {"metrics.csv", "lesions.csv", "comparison.json", "unet_liver.nii.gz", "report.html"} < set(files)
        assert json.loads(files["comparison.json"].read_text("utf-8")) == here["figures"]

        exec(EXAMPLES[1], here)
        assert "inside the liver" in capsys.readouterr().out
        assert here["figures"]["provenance"]["case"]["shape"] == [6, 32, 32]

        exec(EXAMPLES[2], here)
        assert "'model': 'unet64', 'slices': " in capsys.readouterr().out
        assert here["job"].status().code.name in ("CANCELLED", "FINISHED")
    here["app"].close()


def test_every_parameter_and_file_is_documented(client: Client) -> None:
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/compare"]
    names = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
    assert names == re.findall(r"^\| `(\w+)` \|", DOCS, re.MULTILINE)
    assert all(parameter["parameter_has_default"] for parameter in endpoint["parameters"])


def test_nothing_else_is_public(client: Client) -> None:
    info = client.view_api(return_format="dict", print_info=False)
    assert list(info["named_endpoints"]) == ["/compare"]
    assert not info["unnamed_endpoints"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "Neither a case nor a CT was given"),
        ({"case": "nobody"}, "There is no case nobody: choose one of phantom"),
        ({"case": "/etc/passwd"}, "There is no case /etc/passwd"),
        ({"case": "phantom", "models": "unet99"}, "There is no model called 'unet99': choose one of unet"),
        ({"case": "phantom", "models": " , "}, "No model was named"),
        ({"case": "phantom", "inference": "sideways"}, "There is no way of inference called sideways"),
    ],
)
def test_errors_are_the_sentences_of_the_page(client: Client, asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(**asked, api_name="/compare")


def test_files_that_do_not_go_together(client: Client, tmp_path: Path) -> None:
    write_block(tmp_path)
    (tmp_path / "letter.nii").write_text("dear doctor")
    scan, letter = handle_file(tmp_path / "scan.nii.gz"), handle_file(tmp_path / "letter.nii")
    for asked, sentence in (
        ({"case": "phantom", "ct": scan}, "Both a case and a CT"),
        ({"case": "phantom", "reference": scan}, "brings its own reference"),
        ({"ct": letter}, "letter.nii is not a NIfTI image"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(**asked, api_name="/compare")


def test_a_file_of_the_server_cannot_be_named(client: Client) -> None:
    secret = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    for sent in (secret, {"path": "/etc/passwd"}):
        with pytest.raises(AppError):
            client.predict(ct=sent, api_name="/compare")


def test_of_all_the_models_one_that_cannot_read_the_case_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    write_phantom_pair(tmp_path / "weights", ("unet64", "unet_liver"))
    first, second = read_manifest()
    write_manifest([first, replace(second, input_kind="phases", phases=("arterial", "late"))])
    write_block(tmp_path)
    *_, (figures, _) = compare_by_program(ct=str(tmp_path / "scan.nii.gz"))
    assert [row["model"] for row in figures["provenance"]["models"]] == [first.model]


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run's own folder goes when it is done, stopped or refused."""
    monkeypatch.setenv("LIVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    write_phantom_pair(tmp_path / "weights", ("unet64", "unet_liver"))
    write_block(tmp_path)
    scan = str(tmp_path / "scan.nii.gz")
    *_, (figures, paths) = compare_by_program(ct=scan, reference=str(tmp_path / "seg.nii.gz"))
    assert [row["model"] for row in figures["metrics"]] == ["unet64", "unet64", "unet_liver", "unet_liver"]
    assert not any(Path(path).exists() for path in paths)
    stopped = compare_by_program(ct=scan, inference="multiscale")
    assert "progress" in next(stopped)[0]
    stopped.close()
    with pytest.raises(gr.Error):
        next(compare_by_program(case="nobody"))
    assert not list(tmp_path.glob("livdemo-*"))
