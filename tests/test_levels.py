"""Condition levels: sent when they change, repeated however they stand, with the time at which they began."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.levels import Levels
from stream_inspect.messages import CONDITION_REPEAT_S, Condition, ConditionKind
from tests.transport.frames import header

S = 1_000_000_000
REPEAT_NS = round(CONDITION_REPEAT_S * S)
BLACK, FROZEN = ConditionKind.BLACK, ConditionKind.FROZEN


@pytest.fixture
def levels() -> Levels:
    return Levels("capture.top")


def due(levels: Levels, now_mono_ns: int) -> list[Condition]:
    outputs = levels.due(now_mono_ns)
    assert {output.topic for output in outputs} <= {"conditions"}
    return [output.message for output in outputs]


def test_what_was_never_set_is_unknown_and_not_sent(levels):
    assert due(levels, 0) == due(levels, 10 * S) == []


def test_a_change_is_sent_at_once_and_once(levels):
    assert due(levels, 0) == []
    levels.set(BLACK, True, "the picture is black", camera="top")
    (sent,) = due(levels, 1)
    assert (sent.camera, sent.kind, sent.active, sent.source) == ("top", BLACK, True, "capture.top")
    assert due(levels, 2) == []
    levels.set(BLACK, False, camera="top")
    assert [(level.active, level.detail) for level in due(levels, 3)] == [(False, "")]


def test_every_level_is_repeated_whether_it_is_active_or_not(levels):
    levels.set(BLACK, False, camera="top")
    levels.set(FROZEN, True, camera="top")
    first = due(levels, 0)
    assert due(levels, REPEAT_NS - 1) == []
    assert due(levels, REPEAT_NS) == first
    assert due(levels, REPEAT_NS + 1) == []
    assert due(levels, 2 * REPEAT_NS) == first


def test_a_change_does_not_put_off_the_repeat_of_the_others(levels):
    levels.set(BLACK, False, camera="top")
    due(levels, 0)
    levels.set(FROZEN, True, camera="top")
    assert [level.kind for level in due(levels, REPEAT_NS // 2)] == [FROZEN]
    assert [level.kind for level in due(levels, REPEAT_NS)] == [BLACK, FROZEN]


def test_cameras_have_levels_of_their_own(levels):
    levels.set(BLACK, True, camera="top")
    levels.set(BLACK, False, camera="side")
    assert [(level.camera, level.active) for level in due(levels, 0)] == [("top", True), ("side", False)]


def test_another_detail_waits_for_the_repeat_and_leaves_the_time_as_it_was(levels):
    levels.set(BLACK, True, "first")
    (first,) = due(levels, 0)
    levels.set(BLACK, True, "second")
    assert due(levels, 1) == []
    assert due(levels, REPEAT_NS) == [msgspec.structs.replace(first, detail="second")]


def test_a_reason_that_becomes_known_goes_out_with_the_repeat_of_an_active_level_alone(levels):
    levels.explain(BLACK, "top", "connection refused")
    levels.set(BLACK, True, "no frames", camera="top")
    assert [one.detail for one in due(levels, 0)] == ["no frames"]
    levels.explain(BLACK, "top", "connection refused")
    levels.explain(BLACK, "top", "")
    assert [one.detail for one in due(levels, REPEAT_NS)] == ["connection refused"]
    levels.set(BLACK, False, "", camera="top")
    levels.explain(BLACK, "top", "connection refused")
    assert [(one.active, one.detail) for one in due(levels, REPEAT_NS + 1)] == [(False, "")]


def test_the_time_is_that_of_the_change(levels):
    before_ns, before_utc_ns = time.monotonic_ns(), time.time_ns()
    levels.set(BLACK, True)
    (black,) = due(levels, 0)
    assert before_ns <= black.mono_ns <= time.monotonic_ns()
    assert before_utc_ns <= black.utc_ns <= time.time_ns()


def test_a_level_that_is_known_with_its_time_and_frame_is_sent_as_it_is(levels):
    known = Condition(
        camera="top", kind=FROZEN, active=True, source="capture.top", detail="", mono_ns=7, utc_ns=8, frame=header(7)
    )
    levels.put(known)
    levels.put(msgspec.structs.replace(known, mono_ns=9, utc_ns=10, frame=header(8)))
    assert due(levels, 0) == [known], "it has not changed since"


@given(st.lists(st.tuples(st.sampled_from([BLACK, FROZEN]), st.booleans(), st.integers(0, REPEAT_NS)), max_size=30))
def test_a_reader_of_all_that_is_sent_knows_every_level_at_any_time(history):
    levels = Levels("capture.top")
    now_ns, heard, true = 0, {}, {}
    for kind, active, after_ns in history:
        now_ns += after_ns
        levels.set(kind, active)
        true[kind] = active
        heard |= {level.kind: level.active for level in due(levels, now_ns)}
        assert heard == true
    assert {level.kind: level.active for level in due(levels, now_ns + REPEAT_NS)} == true
