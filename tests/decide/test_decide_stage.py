"""From tracks to events: one a defect, complete, durable before it is told, never numbered twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect import metrics
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import ConditionKind, EventState, TrackUpdate
from tests.decide.scenes import START_UTC_NS, S, condition, config, events, tracked, update

_started: list[DecideStage] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Each stage has a file descriptor, which nothing else closes."""
    yield
    while _started:
        _started.pop().close()


def started(log=None, **changes) -> tuple[DecideStage, MemoryLog]:
    log = MemoryLog() if log is None else log
    stage = DecideStage(config(**changes), log)
    _started.append(stage)
    stage.open()
    return stage, log


def told(stage: DecideStage, *messages):
    return events(stage.process(messages))


def test_a_defect_is_told_once_however_often_it_is_seen():
    stage, _ = started()
    found = [event for seq in range(40) for event in told(stage, tracked(seq, update(seq=seq)))]
    assert [(event.id, event.state) for event in found] == [("top-3-scratch-1", "confirmed")]
    (cleared,) = told(stage, tracked(40, ended=[update(seq=39, seen=False, left=True)]))
    assert (cleared.id, cleared.state, cleared.reason) == ("top-3-scratch-1", "cleared", "left")
    assert told(stage, tracked(41)) == []


def test_the_recorder_gets_a_confirmed_defect_before_the_log_has_taken_it():
    """Its frames are overwritten within seconds; another program may lock the log for a minute."""

    class LockedLog(MemoryLog):
        def written(self):
            return []

    stage, _ = started(LockedLog())
    outputs = [output for seq in range(4) for output in stage.process([tracked(seq, update(seq=seq))])]
    assert [(output.topic, output.message.id) for output in outputs] == [("confirmed", "top-3-scratch-1")]


def test_without_a_recorder_nothing_is_sent_before_it_is_in_the_log():
    stage, _ = started(recorder={"enabled": False})
    outputs = [output for seq in range(4) for output in stage.process([tracked(seq, update(seq=seq))])]
    assert [output.topic for output in outputs] == ["events"]


def test_what_is_seen_too_rarely_is_never_told():
    stage, log = started()
    for seq in range(20):
        told(stage, tracked(seq, update(seq=seq, seen=seq % 4 == 0)))
    told(stage, tracked(20, ended=[update(seq=20, seen=False)]))
    assert log.events == []


def test_the_confirmed_event_is_complete():
    stage, _ = started()
    told(stage, tracked(8, update(track=5, seq=8, score=0.45)))
    (event,) = told(stage, tracked(9, update(track=5, seq=9, score=0.31)))
    assert (event.id, event.key) == ("top-3-scratch-1", "top-3-scratch-1:confirmed")
    assert (event.kind, event.line, event.camera, event.name) == ("defect", "press", "top", "scratch")
    assert (event.severity, event.score, event.track, event.views) == ("critical", 0.45, 5, 2)
    assert event.score_seq == 8, "the score is of the frame that gave the highest, which is not the one of the event"
    assert event.box_xyxy_px == (109.0, 100.0, 149.0, 140.0)
    assert event.outline_px == [[(100.0, 100.0), (140.0, 140.0), (100.0, 140.0)]]
    assert event.extent is not None
    assert event.extent.area_px == 800
    assert event.frame is not None
    assert (event.frame.session, event.frame.seq, event.frame.pts, event.frame.pts_s) == (3, 9, 9, 9 / 8)
    assert (event.frame.width_px, event.frame.height_px, event.frame.clock) == (1280, 720, "arrival")
    assert (event.frame.capture_mono_ns, event.frame.capture_utc_ns) == (9 * S // 8, START_UTC_NS + 9 * S // 8)
    assert (event.first_seen_utc_ns, event.last_seen_utc_ns) == (START_UTC_NS + S, START_UTC_NS + 9 * S // 8)
    assert (event.picture, event.clip) == ("pictures/top-3-scratch-1.jpg", "clips/top-3-scratch-1.mp4")
    assert (event.model_hash, event.prompts_hash) == ("models", "prompts")
    assert event.reason == "seen in 2 of the last 4 judged frames that show it"


def test_the_cleared_event_is_the_confirmed_one_with_its_end():
    stage, _ = started()
    told(stage, tracked(0, update(seq=0)))
    (confirmed,) = told(stage, tracked(1, update(seq=1)))
    told(stage, tracked(2, update(seq=2, score=0.6)), tracked(3, update(seq=3, seen=False)))
    (cleared,) = told(stage, tracked(4, ended=[update(seq=4, seen=False)]))
    assert cleared.key == "top-3-scratch-1:cleared"
    assert (cleared.score, cleared.views, cleared.reason) == (0.6, 3, "lost")
    assert cleared.last_seen_utc_ns == START_UTC_NS + 2 * S // 8
    same = ("id", "frame", "box_xyxy_px", "outline_px", "picture", "clip", "first_seen_utc_ns", "track", "severity")
    assert all(getattr(cleared, field) == getattr(confirmed, field) for field in same)


def test_without_a_recorder_there_is_no_picture_and_no_clip():
    stage, _ = started(recorder={"enabled": False})
    told(stage, tracked(0, update(seq=0)))
    (event,) = told(stage, tracked(1, update(seq=1)))
    assert (event.picture, event.clip) == (None, None)


def test_cameras_and_names_count_apart():
    stage, _ = started()
    for seq in (0, 1):
        scratches = [update(track=number, seq=seq, x=100 * number) for number in (1, 2)]
        found = told(stage, tracked(seq, *scratches, update(track=3, seq=seq, x=900, defect="crack")))
        found += told(stage, tracked(seq, update(track=1, seq=seq), camera="side"))
    assert [event.id for event in found] == ["top-3-scratch-1", "top-3-scratch-2", "top-3-crack-1", "side-3-scratch-1"]
    assert found[3].line == "oven"


def test_frames_that_do_not_show_the_defect_do_not_count_against_it():
    stage, _ = started(decide={"confirm_hits": 2, "confirm_window": 2})
    told(stage, tracked(0, update(x=0, seq=0)))
    outside = update(x=-100, seq=0, seen=False)
    assert told(stage, tracked(1, outside), tracked(2, outside)) == []
    assert len(told(stage, tracked(3, update(x=0, seq=3)))) == 1


def test_a_last_look_is_enough_even_if_it_ends_the_track():
    stage, _ = started(decide={"confirm_hits": 1, "confirm_window": 1})
    first = tracked(0, update(seq=0), ended=[update(seq=0, seen=False, left=True)])
    assert [event.state for event in told(stage, first)] == ["confirmed", "cleared"]


def test_a_new_life_clears_what_was_open_and_uses_no_number_twice():
    first, log = started()
    told(first, tracked(0, update(seq=0)))
    (open_event,) = told(first, tracked(1, update(seq=1)))
    second, _ = started(log)
    (cleared,) = events(second.tick(0))
    assert (cleared.id, cleared.state, cleared.reason) == (open_event.id, "cleared", "interrupted")
    assert cleared.last_seen_utc_ns == open_event.last_seen_utc_ns
    assert events(second.tick(0)) == []
    told(second, tracked(2, update(track=1, seq=2)))
    (again,) = told(second, tracked(3, update(track=1, seq=3)))
    assert again.id == "top-3-scratch-2"
    assert log.open_events() == [again]


def test_an_event_is_in_the_log_before_it_is_told():
    stage, log = started()
    told(stage, tracked(0, update(seq=0)))
    assert told(stage, tracked(1, update(seq=1))) == log.events
    assert len(log.events) == 1


# --- conditions --------------------------------------------------------------------------------------------------


def test_a_condition_is_an_event_with_a_beginning_and_an_end():
    stage, _ = started()
    (begun,) = told(stage, condition(True, 1.0))
    assert (begun.id, begun.kind, begun.state, begun.name) == ("top-3-black-1", "condition", "confirmed", "black")
    assert (begun.line, begun.camera, begun.reason) == ("press", "top", "the picture is black")
    assert (begun.picture, begun.clip) == (None, None)
    assert begun.frame is not None
    assert begun.frame.seq == 7
    assert told(stage, condition(True, 2.0)) == []
    (ended,) = told(stage, condition(False, 4.0))
    assert (ended.key, ended.state) == ("top-3-black-1:cleared", EventState.CLEARED)
    assert (ended.first_seen_utc_ns, ended.last_seen_utc_ns) == (START_UTC_NS + S, START_UTC_NS + 4 * S)
    assert told(stage, condition(False, 5.0)) == []
    (again,) = told(stage, condition(True, 6.0))
    assert again.id == "top-3-black-2"


def test_kinds_and_cameras_have_conditions_of_their_own():
    stage, _ = started()
    begun = told(
        stage,
        condition(True),
        condition(True, camera="side"),
        condition(True, kind=ConditionKind.FROZEN),
        condition(True, kind=ConditionKind.RECORDING_STOPPED, camera=""),
    )
    assert [event.id for event in begun] == [
        "top-3-black-1",
        "side-3-black-1",
        "top-3-frozen-1",
        "-0-recording_stopped-1",
    ]


def test_a_level_said_again_changes_nothing():
    stage, log = started()
    said = [condition(active, at_s) for at_s, active in enumerate([False, True, True, True, False, False])]
    found = [event for one in said for event in told(stage, one, one)]
    assert [event.state for event in found] == ["confirmed", "cleared"]
    assert log.events == found


def model_failed(active: bool, source: str):
    return condition(active, kind=ConditionKind.MODEL_FAILED, camera="", source=source)


def test_each_source_has_a_condition_of_its_own():
    stage, log = started()
    (first,) = told(stage, model_failed(True, "inspect.0"))
    (second,) = told(stage, model_failed(False, "inspect.1"), model_failed(True, "inspect.2"))
    assert [(event.id, event.source) for event in (first, second)] == [
        ("-0-model_failed-1", "inspect.0"),
        ("-0-model_failed-2", "inspect.2"),
    ]
    assert [(e.id, e.state) for e in told(stage, model_failed(False, "inspect.0"))] == [(first.id, "cleared")]
    assert [event.id for event in log.open_events()] == [second.id]
    assert [(e.id, e.state) for e in told(stage, model_failed(False, "inspect.2"))] == [(second.id, "cleared")]


def test_a_page_that_is_down_hides_neither_a_worker_nor_a_camera_that_is_down():
    stage, _ = started()
    for source in ("web", "inspect.0", "capture.top"):
        (event,) = told(stage, condition(True, kind=ConditionKind.PROCESS_DOWN, camera="", source=source))
        assert (event.name, event.state, event.source) == ("process_down", "confirmed", source)


@given(st.lists(st.tuples(st.sampled_from(["inspect.0", "inspect.1", "inspect.2"]), st.booleans()), max_size=30))
def test_whatever_the_sources_say_an_event_is_open_for_each_that_says_active(said: list[tuple[str, bool]]):
    stage, log = started()
    levels: dict[str, bool] = {}
    for source, active in said:
        told(stage, model_failed(active, source))
        levels[source] = active
        assert sorted(e.source for e in log.open_events()) == sorted(source for source in levels if levels[source])
    ids = [event.id for event in log.events if event.state == "confirmed"]
    assert len(ids) == len(set(ids))
    stage.close()  # there are as many as examples


def test_the_metric_of_a_condition_is_1_while_any_source_reports_it():
    def shown() -> float:
        return metrics.CONDITION.labels("", "model_failed")._value.get()

    stage, _ = started()
    told(stage, model_failed(True, "inspect.0"), model_failed(True, "inspect.1"))
    told(stage, model_failed(False, "inspect.0"))
    assert shown() == 1
    told(stage, model_failed(False, "inspect.1"))
    assert shown() == 0


def test_a_condition_outlives_a_restart_of_decide_and_ends_with_its_end():
    first, log = started()
    (begun,) = told(first, condition(True, 1.0))
    second, _ = started(log)
    assert events(second.tick(0)) == []
    assert told(second, condition(True, 1.0)) == []
    assert events(second.tick(60 * S)) == []
    (ended,) = told(second, condition(False, 3.0))
    assert (ended.id, ended.state) == (begun.id, "cleared")


def test_an_adopted_condition_that_is_over_ends_once_its_source_has_had_time_to_see_it():
    first, log = started()
    (begun,) = told(first, model_failed(True, "inspect.0"))
    second, _ = started(log)
    assert events(second.tick(100 * S)) == []
    assert told(second, model_failed(False, "inspect.0")) == []
    assert events(second.tick(104 * S)) == []
    (ended,) = events(second.tick(105 * S))
    assert (ended.id, ended.state, ended.reason) == (begun.id, "cleared", "")
    assert events(second.tick(200 * S)) == []


def test_an_adopted_condition_is_not_ended_by_a_source_that_never_said_it():
    first, log = started()
    told(first, model_failed(True, "inspect.0"))
    second, _ = started(log)
    list(second.tick(0))
    assert told(second, model_failed(False, "inspect.1"), model_failed(True, "inspect.0")) == []
    assert events(second.tick(60 * S)) == []
    assert told(second, model_failed(False, "inspect.1")) == []
    assert len(told(second, model_failed(False, "inspect.0"))) == 1


def test_an_adopted_condition_of_which_nobody_speaks_is_cleared_as_interrupted():
    first, log = started()
    told(first, condition(True, camera="side"))
    second, _ = started(log)
    assert events(second.tick(100 * S)) == []
    assert events(second.tick(109 * S)) == []
    assert [event.reason for event in events(second.tick(110 * S))] == ["interrupted"]
    assert log.open_events() == []


def test_every_history_of_a_track_tells_at_most_a_beginning_and_an_end():
    """All histories of six judged frames: seen, unseen, or ended (after which it is gone)."""
    for history in itertools.product("sue", repeat=6):
        stage, log = started()
        for seq, what in enumerate(history):
            look = update(seq=seq, seen=what == "s")
            ended: list[TrackUpdate] = [update(seq=seq, seen=False)] if what == "e" else []
            told(stage, tracked(seq, *([] if ended else [look]), ended=ended))
            if ended:
                break
        states = [str(event.state) for event in log.events]
        alive = "".join(history).split("e")[0]
        enough = any(alive[i] == "s" and alive[max(0, i - 3) : i + 1].count("s") >= 2 for i in range(len(alive)))
        assert states == ["confirmed", "cleared"][: enough + (enough and "e" in history)]


def test_the_severity_is_that_of_the_name_told_not_of_the_last_look():
    """The confirming frame called a critical scratch a minor crack; the track is a scratch by its votes."""
    stage, _ = started()
    told(stage, tracked(0, update(seq=0)))
    odd = update(seq=1)
    assert odd.detection is not None
    other_name = msgspec.structs.replace(odd.detection, defect="crack", severity="minor")
    (event,) = told(stage, tracked(1, msgspec.structs.replace(odd, detection=other_name)))
    assert (event.name, event.severity) == ("scratch", "critical")
