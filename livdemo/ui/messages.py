"""What the page says about errors and progress."""

import html

from livdemo.errors import InputError


def alert(error: InputError) -> str:
    """A sentence that a screen reader reads at once."""
    return f"<p role='alert' class='alert'>{html.escape(str(error))}</p>"


def status_html(text: str, share: float) -> str:
    """What is being done, and a bar; share from 0 to 1."""
    return (
        f"<div class='status' role='status'><p>{html.escape(text)}</p><div class='bar' role='progressbar' "
        f"aria-valuemin='0' aria-valuemax='100' aria-valuenow='{share * 100:.0f}' aria-label='progress'>"
        f"<i style='width:{share * 100:.1f}%'></i></div></div>"
    )
