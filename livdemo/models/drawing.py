"""The block diagram that a model's file draws in its docstring, for the screen."""

import re
import sys
import textwrap

from livdemo.models.registry import ModelSpec

_BOXES = re.compile("[─│┬┴┼├└]")


def source_file(spec: ModelSpec) -> str:
    """The file that defines the network, from the repository's root."""
    return f"{spec.architecture.__module__.replace('.', '/')}.py"


def diagram(spec: ModelSpec) -> str:
    """The first indented block of the file's docstring that draws lines, without its indent; "" if there is none.

    Models of one family share a file, and so the drawing.
    """
    text = textwrap.dedent(sys.modules[spec.architecture.__module__].__doc__ or "")
    blocks = re.findall(r"(?:^ {4,}\S.*(?:\n|$))+", text, flags=re.MULTILINE)
    return next((textwrap.dedent(block).rstrip() for block in blocks if _BOXES.search(block)), "")
