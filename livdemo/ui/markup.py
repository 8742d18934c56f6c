"""Words of the results and of the papers as HTML: Markdown's two marks, definitions, links between places."""

import html
import re
from collections.abc import Iterable


def escape(text: str) -> str:
    """Text that cannot become markup, also inside of attributes."""
    return html.escape(text, quote=True)


def inline(text: str) -> str:
    """Escaped text in which **strong** and `code` are what they are in Markdown."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked)


def definitions(pairs: Iterable[tuple[str, str]], title: str = "What each figure means") -> str:
    """What hovering over a head tells, for those who cannot hover."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{inline(meaning)}</dd>" for name, meaning in pairs)
    return f"<details class='sources'><summary>{escape(title)}</summary><dl>{items}</dl></details>"


def card_link(model: str, title: str) -> str:
    """A link to a model's card in the place Models (places.js opens it)."""
    return f"<a href='#model-{escape(model)}' data-card='{escape(model)}'>{escape(title)}</a>"


def fold(title: str, body: str, is_open: bool = False, kind: str = "part", note: str = "") -> str:
    """A part that unfolds; body is HTML. kind: protocol | part | study, for the look. note: small, beside the title."""
    kept = " lang='en'" if kind == "study" else ""  # a question of ours about a paper, in the words of the log
    mark = f"<span class='state'>{escape(note)}</span>" if note else ""
    return (
        f"<details class='{kind}'{' open' if is_open else ''}><summary><span{kept}>{escape(title)}</span>{mark}"
        f"</summary><div>{body}</div></details>"
    )
