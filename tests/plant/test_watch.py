"""What is reported of an input: a failure that lasts, and readings that were lost, each until it is over."""

from __future__ import annotations

from stream_inspect.plant.watch import InputWatch

S = 1_000_000_000


def stands(watch: InputWatch, now_s: float, error: str = "", lost: int = 0) -> str | None:
    """The detail while it is active; None otherwise."""
    now_ns = round(now_s * S)
    watch.update(error, lost, now_ns)
    sent = [output.message for output in watch.due(1000 * now_ns)]  # so late that each is repeated
    (level,) = sent
    assert level.source == "plc"
    return level.detail if level.active else None


def test_a_connection_that_is_made_again_within_a_second_is_not_reported():
    watch = InputWatch("plc")
    assert stands(watch, 0, "connection lost") is None
    assert stands(watch, 0.9, "cannot connect") is None
    assert stands(watch, 0.95) is None
    assert stands(watch, 1.5, "connection lost") is None, "another one"
    assert stands(watch, 2.5, "connection lost") == "connection lost"
    assert stands(watch, 2.6) is None


def test_readings_that_were_lost_are_reported_for_two_seconds():
    watch = InputWatch("plc")
    assert stands(watch, 0) is None
    assert stands(watch, 1, lost=3) == "readings lost, 3 since the start: they arrive faster than they are taken"
    assert stands(watch, 2.9, lost=3) is not None
    assert stands(watch, 3, lost=3) is None
