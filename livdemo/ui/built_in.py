"""Built-in cases and what models make of them: the same for everybody, so read once and shared, never written to."""

import contextlib
import functools

from livdemo.cases import Case, is_built_in, load_case
from livdemo.checkpoints import read_manifest
from livdemo.comparison import Result, score
from livdemo.run_cache import read_run, write_run


def open_case(name: str) -> Case:
    """A case of the catalogue. InputError as load_case()."""
    return _built_in(name) if is_built_in(name) else load_case(name)


@functools.lru_cache(maxsize=4)
def _built_in(name: str) -> Case:
    case = load_case(name)
    for array in (case.volume.hu, case.reference):
        if array is not None:
            array.flags.writeable = False
    return case


def is_kept(name: str) -> bool:
    """Whether runs of the case are kept: the built-in ones, but not every phantom of every seed."""
    return is_built_in(name) and ":" not in name


class NotRunYetError(LookupError):
    """Nobody has run this model on this case."""


def kept_result(case_name: str, model: str) -> Result | None:
    """What a trained model made of a built-in case when somebody ran it; None where nobody has."""
    sha256 = next((checkpoint.sha256 for checkpoint in read_manifest() if checkpoint.model == model), None)
    if sha256 is None or not is_built_in(case_name):
        return None
    with contextlib.suppress(NotRunYetError):
        return _kept_result(case_name, sha256)
    return None


@functools.lru_cache(maxsize=40)  # seventeen models on each of the built-in cases
def _kept_result(case_name: str, sha256: str) -> Result:
    """Scored once per process. That nobody has run it is an exception, since lru_cache would remember a None."""
    case = _built_in(case_name)
    checkpoint = next(checkpoint for checkpoint in read_manifest() if checkpoint.sha256 == sha256)
    prediction = read_run(case, checkpoint)
    if prediction is None:
        raise NotRunYetError
    prediction.label_map.flags.writeable = False
    return score(case, prediction)


def keep_result(case: Case, result: Result) -> None:
    """Let the next visitor find a run of a built-in case; a full or read-only disk is no reason to lose the run."""
    if result.prediction.checkpoint.sha256 and result.prediction.quantised is not None:
        with contextlib.suppress(OSError):
            write_run(case, result.prediction)
