"""What one visitor has open. Nothing of it is module-level, so no visitor sees another's."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from livdemo.cases import Case
from livdemo.comparison import Result
from livdemo.intensity import NAMED_WINDOWS, Window
from livdemo.metrics import LabelMetrics, SliceMetrics


@dataclass(frozen=True, eq=False)
class Session:
    """The open case, what has run on it, and a folder for this visitor's files alone."""

    folder: Path
    case: Case
    result: Result | None = None  # of the steps: what ran there last
    results: Mapping[str, Result] = field(
        default_factory=dict
    )  # of the wall, by model, each with its own rule and asked plainly
    listed: str = ""  # the value that it has in the list of cases
    built_in: bool = False  # a case of the catalogue, whose runs may be kept for the next visitor
    first_slice: int | None = None  # where viewers open the case; None: where its liver is largest
    first_window: Window = NAMED_WINDOWS["abdomen"]
    left_behind: Path | None = None  # the folder of the case before, into which a cancelled run may still write

    def with_result(self, result: Result) -> "Session":
        """The same case, now with a result of the steps."""
        return replace(self, result=result)

    def with_results(self, found: Mapping[str, Result]) -> "Session":
        """The same case, now with these results on the wall too."""
        return replace(self, results=MappingProxyType({**self.results, **found}))

    @property
    def depth(self) -> int:
        """Number of slices."""
        return len(self.case.volume.hu)

    def label_scores(self) -> list[tuple[LabelMetrics, SliceMetrics]]:
        """Per label the volume's scores and those slice by slice; empty without a reference."""
        if self.result is None:
            return []
        return list(zip(self.result.metrics, self.result.slices, strict=True))


def open_session(case: Case, previous: Session | None, built_in: bool = False) -> Session:
    """Open a case in a fresh folder; the previous case's folder stays until the next one is opened.

    Whatever was at work on the previous case is cancelled, but may be in the middle of a picture: deleting its folder
    at once would make it fail, and the page would show the failure on the case that is open now.
    """
    left_behind = None
    if previous is not None:
        _delete(previous.left_behind)
        left_behind = previous.folder
    return Session(Path(tempfile.mkdtemp(prefix="livdemo-")), case, built_in=built_in, left_behind=left_behind)


def close_session(session: Session | None) -> None:
    """Delete the visitor's files; also called by gradio some time after the tab was closed."""
    if session is not None:
        _delete(session.folder)
        _delete(session.left_behind)


def _delete(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
