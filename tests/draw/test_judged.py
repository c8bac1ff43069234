"""What is known about the boxes at any time near the judged frames."""

from __future__ import annotations

from stream_inspect.draw.judged import JudgedFrames
from tests.decide.scenes import header, tracked, update


def test_a_track_that_is_not_seen_keeps_the_severity_that_its_defect_was_last_detected_with() -> None:
    judged = JudgedFrames(keep_s=10)
    judged.add(tracked(8, update(seq=8)))  # critical, as the inspect worker is configured now
    judged.add(tracked(9, update(seq=8, seen=False)))
    (mark,) = judged.marks(header(9).id)
    assert (mark.seen, mark.severity) == (False, "critical")
