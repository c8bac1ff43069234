"""Credit, order of judging, and batch size."""

from __future__ import annotations

from stream_inspect.inspect.batching import (
    GROW_AFTER_NS,
    MAX_ANSWER_TIMEOUT_NS,
    MIN_ANSWER_TIMEOUT_NS,
    RESEND_NS,
    BatchLimit,
    Credits,
    JudgingRate,
    Waiting,
)
from stream_inspect.messages import Credit
from tests.inspect.frames import due_frame

PATIENCE_NS = 100_000_000


def _asked(given: Credits, now_ns: int, *, room: int = 9, waiting: Waiting | None = None) -> dict[str, int]:
    asked = {}
    for output in given.ask(now_ns, room, Waiting() if waiting is None else waiting, PATIENCE_NS):
        assert output.topic == "credit"
        assert isinstance(output.message, Credit)
        assert (output.message.worker, output.message.owner) == ("inspect.0", 7)
        asked[output.key] = output.message.ticket
    return asked


def test_every_camera_is_asked_once_until_it_answers() -> None:
    given = Credits("inspect.0", 7, ["a", "b"])
    first = _asked(given, 0)
    assert first.keys() == {"a", "b"}
    assert first["a"] != first["b"]
    assert _asked(given, RESEND_NS - 1) == {}
    given.answered(due_frame("a", ticket=first["a"]))
    second = _asked(given, RESEND_NS - 1)
    assert second.keys() == {"a"}
    assert second["a"] not in first.values()


def test_no_more_cameras_are_asked_than_there_is_room_for() -> None:
    given = Credits("inspect.0", 7, ["a", "b", "c"])
    first = _asked(given, 0, room=2)
    assert first.keys() == {"a", "b"}
    assert _asked(given, 1, room=2) == {}
    given.answered(due_frame("a", ticket=first["a"]))
    waiting = Waiting()
    waiting.add(due_frame("a"))
    assert _asked(given, 2, room=1, waiting=waiting) == {}, "b may answer at any moment"
    waiting.take(1)
    assert _asked(given, 3, room=2, waiting=waiting).keys() == {"c"}, "whose turn is later than that of a"


def test_a_camera_without_an_answer_takes_up_no_room_and_may_still_answer() -> None:
    given = Credits("inspect.0", 7, ["silent", "b", "c"])
    silent = _asked(given, 0, room=1)
    assert silent.keys() == {"silent"}
    assert _asked(given, PATIENCE_NS - 1, room=1) == {}
    other = _asked(given, PATIENCE_NS, room=1)
    assert other.keys() == {"b"}
    given.answered(due_frame("b", ticket=other["b"]))
    assert _asked(given, RESEND_NS, room=1).keys() == {"silent", "b"}, "the one anew, without taking up room"
    assert given.expected(RESEND_NS, PATIENCE_NS) == 1
    given.answered(due_frame("silent", ticket=silent["silent"]))  # the answer to the older ticket
    assert given.expected(RESEND_NS, PATIENCE_NS) == 1


def test_how_long_judging_takes_says_whether_to_ask_ahead_how_many_and_how_long_to_wait() -> None:
    pace = JudgingRate(0.125)
    assert (pace.keeps_up(1), pace.room(4), pace.answer_timeout_ns) == (False, 4, MAX_ANSWER_TIMEOUT_NS)
    pace.judged(1, 30_000_000)
    assert (pace.keeps_up(1), pace.keeps_up(4), pace.keeps_up(5)) == (True, True, False)
    assert (pace.room(1), pace.room(4)) == (2, 4)
    assert pace.answer_timeout_ns == MIN_ANSWER_TIMEOUT_NS
    pace.judged(4, 800_000_000)
    assert (pace.keeps_up(1), pace.room(1), pace.answer_timeout_ns) == (False, 1, 100_000_000)
    pace.judged(1, 6_000_000_000)
    assert pace.answer_timeout_ns == MAX_ANSWER_TIMEOUT_NS


def test_an_unanswered_credit_is_given_anew_and_the_old_answer_does_not_count_for_it() -> None:
    given = Credits("inspect.0", 7, ["a"])
    old = _asked(given, 0)["a"]
    new = _asked(given, RESEND_NS)["a"]
    assert new > old
    given.answered(due_frame("a", ticket=old))
    assert _asked(given, RESEND_NS + 1) == {}
    given.answered(due_frame("a", ticket=new))
    assert _asked(given, RESEND_NS + 1).keys() == {"a"}


def test_cameras_take_turns() -> None:
    waiting = Waiting()
    for seq, camera in enumerate("abc"):
        waiting.add(due_frame(camera, seq=seq, capture_mono_ns=seq))
    order = []
    for seq in range(3, 12):
        (taken,) = waiting.take(1)
        order.append(taken.header.id.camera)
        waiting.add(due_frame(taken.header.id.camera, seq=seq, capture_mono_ns=seq))  # it has a new one at once
    assert [sorted(order[start : start + 3]) for start in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_a_loud_camera_does_not_push_out_a_quiet_one() -> None:
    waiting = Waiting()
    for seq in range(4):
        waiting.add(due_frame("loud", seq=seq, capture_mono_ns=seq))
    waiting.add(due_frame("quiet", seq=0, capture_mono_ns=0))
    assert {due.header.id.camera for due in waiting.take(2)} == {"loud", "quiet"}


def test_the_freshest_first_and_none_is_lost() -> None:
    waiting = Waiting()
    for seq in (1, 3, 2):
        waiting.add(due_frame("a", seq=seq, capture_mono_ns=seq))
    assert [due.header.id.seq for due in waiting.take(2)] == [3, 2]
    assert len(waiting) == 1
    assert [due.header.id.seq for due in waiting.drain()] == [1]
    assert waiting.take(2) == []


def test_among_new_cameras_the_freshest_goes_first() -> None:
    waiting = Waiting()
    waiting.add(due_frame("old", capture_mono_ns=1))
    waiting.add(due_frame("new", capture_mono_ns=2))
    assert waiting.take(1)[0].header.id.camera == "new"


def test_the_batch_is_halved_when_memory_runs_out_and_grows_back_later() -> None:
    limit = BatchLimit(8)
    assert limit.out_of_memory(8, 0)
    assert limit.frames == 4
    assert limit.out_of_memory(3, 0)
    assert limit.frames == 1
    assert not limit.out_of_memory(1, 0)
    limit.fitted(GROW_AFTER_NS - 1)
    assert limit.frames == 1
    for step in range(1, 6):
        limit.fitted(step * GROW_AFTER_NS)
    assert limit.frames == 8
