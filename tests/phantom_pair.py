"""The whole page's surroundings in a test: two quick networks in a folder of their own, and a cache beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from livdemo import cases
from livdemo.checkpoints import load_model
from livdemo.phantom import make_phantom
from livdemo.ui import built_in
from tests.small_model import write_phantom_pair

SMALL_PHANTOM = (24, 128, 128)  # (Z, Y, X): the networks' own size, so that all of them are done in a minute


def shrink_phantom(patch: pytest.MonkeyPatch) -> None:
    """Let the built-in phantom have few slices; to be followed by forget(), since it is read once."""
    patch.setattr(cases, "make_phantom", partial(make_phantom, shape=SMALL_PHANTOM))


def forget() -> None:
    """As if the process had just begun: no case, no run and no network is held in memory."""
    for cached in (built_in._built_in, built_in._kept_result, load_model):
        cached.cache_clear()


@contextmanager
def phantom_pair(folder: Path, names: tuple[str, str] = ("greys", "tumourless")) -> Iterator[None]:
    """Inside, livdemo finds these two networks and no run that was kept before; nothing of them is left after."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIVDEMO_WEIGHTS", str(folder / "weights"))
        environment.setenv("LIVDEMO_CACHE", str(folder / "cache"))
        write_phantom_pair(folder / "weights", names)
        forget()
        yield
        forget()
