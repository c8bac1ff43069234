"""What is known about the boxes at any time near the judged frames."""

from __future__ import annotations

import msgspec
import pytest

from stream_inspect.draw.judged import JudgedFrames
from stream_inspect.messages import Tracked
from tests.decide.scenes import S, header, tracked, update

RATE_HZ = 8


def test_a_track_that_is_not_seen_keeps_the_severity_that_its_defect_was_last_detected_with() -> None:
    judged = JudgedFrames(keep_s=10)
    judged.add(tracked(8, update(seq=8)))  # critical, as the inspect worker is configured now
    judged.add(tracked(9, update(seq=8, seen=False)))
    (mark,) = judged.marks(header(9).id)
    assert (mark.seen, mark.severity) == (False, "critical")


def at_s(captured_s: float, seq: int, session: int) -> Tracked:
    """A judged frame that was captured at this time of the host."""
    message = tracked(seq, update(seq=seq), session=session)
    frame = msgspec.structs.replace(message.frame, capture_mono_ns=round(captured_s * S))
    return msgspec.structs.replace(message, frame=frame)


def held(judged: JudgedFrames) -> int:
    return len(judged._frames)


@pytest.mark.parametrize("reconnect_after_s", [2, 3600])
def test_an_hour_after_a_reconnect_no_more_frames_are_held_than_before(reconnect_after_s):
    """The media clock begins again with the session, the host's continues."""
    judged = JudgedFrames(keep_s=4.8)
    most, captured_s = 0, 0.0
    for session, seconds in ((1, reconnect_after_s), (2, 3600)):
        for seq in range(RATE_HZ * seconds):
            captured_s += 1 / RATE_HZ
            judged.add(at_s(captured_s, seq, session))
            most = max(most, held(judged))
    assert held(judged) == most == 4.8 * RATE_HZ // 1 + 1


def test_a_camera_that_reconnects_all_the_time_holds_the_frames_of_the_last_seconds():
    judged = JudgedFrames(keep_s=4.8)
    for session in range(1, 5000):
        judged.add(at_s(session / 2, 0, session))
    assert held(judged) == 10


def test_a_media_clock_that_runs_back_holds_no_more_frames():
    judged = JudgedFrames(keep_s=4.8)
    for seq in range(10_000):
        frame = at_s(seq / RATE_HZ, seq, 1).frame
        back = msgspec.structs.replace(frame, id=msgspec.structs.replace(frame.id, pts=-seq))
        judged.add(Tracked(frame=back, tracks=[]))
    assert held(judged) == 39


def test_the_frames_before_a_reconnect_are_still_drawn_right_after_it():
    judged = JudgedFrames(keep_s=4.8)
    judged.add(at_s(10.0, 80, 1))
    judged.add(at_s(11.0, 0, 2))
    (mark,) = judged.marks(header(80, session=1).id)
    assert mark.name == "scratch"
