"""Who comes before whom, read from gradio's own queue."""

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.queueing import EventQueue, Queue

from livdemo.ui.line import GROUP, line_text, runs_before

WALL, BENCH = 3, 5  # numbers of two events of the page


def make_queue(*waiting: tuple[str, int], at_work: int = 1) -> Queue:
    """A line of (visitor, event) behind `at_work` runs."""
    with gr.Blocks(analytics_enabled=False) as app:
        queue = app.queue()._queue
    line = EventQueue(GROUP, 1)
    line.current_concurrency = at_work
    events: list[Any] = [SimpleNamespace(session_hash=who, fn=SimpleNamespace(_id=run)) for who, run in waiting]
    line.queue = events
    queue.event_queue_per_concurrency_id[GROUP] = line
    return queue


def test_first_come_first_served() -> None:
    queue = make_queue(("ann", WALL), ("bob", WALL), ("bob", BENCH))
    assert [runs_before(queue, "ann", WALL), runs_before(queue, "bob", WALL), runs_before(queue, "bob", BENCH)] == [
        1,
        2,
        3,
    ]
    assert runs_before(make_queue(("ann", WALL), at_work=0), "ann", WALL) == 0


def test_who_does_not_wait_has_no_place() -> None:
    queue = make_queue(("ann", WALL))
    assert runs_before(queue, "bob", WALL) is None
    assert runs_before(queue, "ann", BENCH) is None
    with gr.Blocks(analytics_enabled=False) as app:
        assert runs_before(app.queue()._queue, "ann", WALL) is None  # nobody has run anything yet


@pytest.mark.parametrize(
    ("before", "said"), [(1, "Waiting: 1 run before yours."), (3, "Waiting: 3 runs before yours.")]
)
def test_in_words(before: int, said: str) -> None:
    assert line_text(before).startswith(said)
