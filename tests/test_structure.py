"""The house rules that a reader relies on: who imports whom, what is pinned, what the README promises."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SOURCES = sorted([*REPOSITORY.glob("livdemo/**/*.py"), *REPOSITORY.glob("train/**/*.py"), REPOSITORY / "app.py"])
MODEL_CARDS = ("livdemo.ui.models", "livdemo.ui.model_cards")
NO_TORCH = ("intensity", "metrics", "overlay", "phantom", "volume", "cases", "errors", "report")
NO_TORCH += ("rescoring", "consensus", "mesh", "agreement", "curves", "results")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, wherever the statement stands."""
    found = set()
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def _reaches(names: set[str], root: str) -> bool:
    return any(name == root or name.startswith(root + ".") for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_who_may_import_whom(path: Path) -> None:
    module, names = _module(path), _imports(path)
    if not (module == "app" or module.startswith("livdemo.ui")):
        assert not _reaches(names, "gradio"), "gradio belongs to livdemo/ui and app.py"
        assert not _reaches(names, "livdemo.ui"), "only app.py looks into livdemo/ui"
    if module.startswith("livdemo"):
        assert not _reaches(names, "train"), "livdemo never imports train"
    if module.split(".")[1:2] and module.split(".")[1] in NO_TORCH and module.startswith("livdemo"):
        assert not _reaches(names, "torch"), "pure array code needs no torch"
    lists_models = module in ("livdemo.cli", "livdemo.ui.choices", *MODEL_CARDS) or module.startswith("livdemo.models")
    if module.startswith("livdemo") and not lists_models:
        assert not _reaches(names, "livdemo.models"), "the file and the manifest are enough to run a model"


LAYERS = ("errors", "volume", "cases", "checkpoints", "predictor", "comparison", "report", "ui")


@pytest.mark.parametrize("path", SOURCES, ids=_module)
def test_data_flow_one_way(path: Path) -> None:
    """volume -> cases -> checkpoints -> predictor -> comparison -> report -> ui: never back."""
    layer = _module(path).removeprefix("livdemo.").split(".")[0]
    if layer not in LAYERS:
        return
    above = LAYERS[LAYERS.index(layer) + 1 :]
    assert not any(_reaches(_imports(path), f"livdemo.{name}") for name in above)


def test_torchscript_stays_in_its_two_files() -> None:
    homes = {"load": "livdemo/checkpoints.py", "script": "train/export.py", "trace": "train/export.py"}
    for path in SOURCES:
        for verb, home in homes.items():
            if f"torch.jit.{verb}(" in path.read_text():
                assert path == REPOSITORY / home, f"torch.jit.{verb} belongs to {home}"


def test_requirements_are_exactly_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "train/requirements.txt"):
        for line in (REPOSITORY / name).read_text().splitlines():
            line = line.partition("#")[0].strip()
            if line and not line.startswith("-r"):
                assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.+]*", line), f"{name}: {line}"


def test_the_space_gets_the_pinned_gradio() -> None:
    front_matter = (REPOSITORY / "README.md").read_text().split("---")[1]
    version = re.search(r"sdk_version: *\"?([0-9.]+)", front_matter)
    assert version
    assert f"gradio=={version[1]}" in (REPOSITORY / "requirements.txt").read_text()


def test_pictures_and_files_of_the_readme_exist() -> None:
    text = (REPOSITORY / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [t for t in targets if "://" not in t and not (REPOSITORY / t).exists()]
    assert not missing


def test_no_mutable_state_in_modules() -> None:
    """Several visitors share the process: nothing of one may end up in a module."""
    for path in REPOSITORY.glob("livdemo/ui/**/*.py"):
        for node in ast.parse(path.read_text()).body:
            assert not isinstance(node, ast.Global)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.ListComp | ast.Set):
                raise AssertionError(f"{path.name}: {ast.unparse(node)} can be changed by a visitor's call")
