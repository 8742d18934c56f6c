"""What a first visitor will want to see is run before they come, while the server has nothing else to do.

    with preparing():         # in the background, at low priority; what is at work when the server ends is dropped
        app.launch()

Runs that the cache folder has already are scored and held in memory, the others are run: the models of the first wall
on every built-in case, then all others. A visitor who comes earlier finds what is done by then, and can run the rest.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from livdemo.cases import list_cases
from livdemo.checkpoints import read_manifest
from livdemo.comparison import able
from livdemo.errors import InputError
from livdemo.ui.built_in import is_kept, kept_result, open_case
from livdemo.ui.choices import first_models, model_choices
from livdemo.ui.compare import run_one

LOG = logging.getLogger(__name__)
_NICENESS = 10  # visitors' own runs come first


def prepare() -> Iterator[tuple[str, str]]:
    """(case, model) of each trained model on each built-in case; yields while one runs, too, so it can be closed.

    A case or a network that cannot be read is told in the log: whoever asks for it will be told as well.
    """
    first = first_models()
    others = [choice.name for choice in model_choices() if choice.trained and choice.name not in first]
    cases = [info.name for info in list_cases() if is_kept(info.name)]
    for models in (first, others):
        for case in tuple(cases):
            try:
                readable = {row.model for row in able(open_case(case), read_manifest())[0]}
            except InputError as error:
                LOG.warning("%s is not prepared: %s", case, error)
                cases.remove(case)
                continue
            for model in filter(readable.__contains__, models):
                yield from _prepare(case, model)


def _prepare(case_name: str, model: str) -> Iterator[tuple[str, str]]:
    try:
        for _ in run_one(open_case(case_name), model, built_in=True):
            yield case_name, model
    except InputError as error:
        LOG.warning("%s on %s is not prepared: %s", model, case_name, error)
        return
    kept_result(case_name, model)  # scored now, not while a visitor waits for it


@contextlib.contextmanager
def preparing() -> Iterator[None]:
    """prepare() in a thread for as long as this lasts, unless LIVDEMO_PREPARE=0."""
    ended = threading.Event()

    def work() -> None:
        with contextlib.suppress(OSError, AttributeError):  # only Linux gives a thread a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        for _ in prepare():
            if ended.is_set():
                return

    thread = threading.Thread(target=work, name="prepare", daemon=True)
    if os.environ.get("LIVDEMO_PREPARE") != "0":
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
