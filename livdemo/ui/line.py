"""The line before the networks: one runs at a time, and whoever waits is told how many come before.

    ran = button.click(run_wall, ..., **IN_LINE)
    told = tell_line(button.click, ran, status)   # the status says so until the run begins or is cancelled
    cancel_with(cancel, [ran, told], cancelled, [status, button, cancel])

    events = runs_of({button: {"fn": look, ...}}, cancel, status)   # all of that, where a press is one event

gradio keeps the line, first come, first served, for all networks of the page and for programs; here it is only read.
Nothing of other visitors is told but their number.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.queueing import Queue

from livdemo.ui.events import QUIET
from livdemo.ui.messages import status_html

GROUP = "inference"
IN_LINE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": GROUP}
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_JOIN = 3.0  # a run that is not in the line by then has begun, or was cancelled


def runs_before(queue: Queue, session_hash: str, run: int) -> int | None:
    """Runs at work or waiting before this visitor's `run` (its event's number); None when that is not waiting."""
    line = queue.event_queue_per_concurrency_id.get(GROUP)
    if line is None:
        return None
    for rank, event in enumerate(list(line.queue)):
        if event.session_hash == session_hash and event.fn._id == run:
            return line.current_concurrency + rank
    return None


def line_text(before: int) -> str:
    """How many runs come first, in words."""
    return f"Waiting: {before} {'run' if before == 1 else 'runs'} before yours. One network runs at a time."


def tell_line(starts: Callable[..., Any], ran: Any, status: gr.HTML) -> Any:
    """Say in `status` how many runs come before the event `ran`, from the event `starts` on. Returns its event."""

    async def tell(request: gr.Request) -> AsyncIterator[Any]:
        assert request.request is not None  # it came through the queue
        queue, visitor = request.request.app.get_blocks()._queue, request.session_hash or ""
        began, told, seen = time.monotonic(), 0, False
        while True:
            before = runs_before(queue, visitor, ran["id"])
            if before is None and (seen or time.monotonic() - began > SECONDS_TO_JOIN):
                yield gr.skip()  # gradio sends a generator's last value once more, perhaps over the run's first words
                return
            seen = seen or before is not None
            if before and before != told:
                told = before
                yield status_html(line_text(before), 0.0)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    # It costs no thread, and the line is shorter than the number of events that gradio works on at once.
    return starts(tell, None, status, concurrency_limit=None, **QUIET)


def cancel_with(button: gr.Button, events: Sequence[Any], say: Callable[[], list[Any]], outputs: list[Any]) -> None:
    """Let `button` end the events and then say so: the other way round, a run's last picture may come over it."""
    button.click(None, cancels=list(events), queue=False, **QUIET)
    button.click(say, None, outputs, queue=False, **QUIET)


def runs_of(starts: Mapping[gr.Button, Mapping[str, Any]], cancel: gr.Button, status: gr.HTML) -> list[Any]:
    """The line and a cancel for buttons that start one event each, of these arguments; one runs at a time.

    What a cancelled event had yielded stays. Returns all that another case has to cancel.
    """
    count, buttons, events = len(starts), [*starts, cancel], []
    for button, event in starts.items():
        # Not three listeners of one press: gradio begins the second when the first has ended.
        pressed = button.click(lambda: _buttons(count, busy=True), None, buttons, queue=False, **QUIET)
        ran = pressed.then(**event, **IN_LINE, **QUIET)
        events += [ran, tell_line(pressed.then, ran, status)]
        ran.then(lambda: free_buttons(count), None, buttons, queue=False, **QUIET)
    cancel_with(
        cancel,
        events,
        lambda: [status_html("Cancelled. What was done stays.", 0.0), *free_buttons(count)],
        [status, *buttons],
    )
    return events


def free_buttons(count: int = 1) -> list[gr.Button]:
    """So many buttons that start a run, and their Cancel, while nothing runs."""
    return _buttons(count, busy=False)


def _buttons(count: int, busy: bool) -> list[gr.Button]:
    return [*(gr.Button(interactive=not busy) for _ in range(count)), gr.Button(interactive=busy)]
