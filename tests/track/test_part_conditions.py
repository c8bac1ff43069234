"""What is wrong with the parts of a camera is a condition of its frames, so that a replay says it too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream_inspect.messages import AnyMessage, Box, Condition, ConditionKind, Output, PartSight
from stream_inspect.track.line_belt import LineBelt
from stream_inspect.track.stage import TrackStage
from tests.track.plant_line import S, config, count, edge, sight

STEP_NS = S // 25


class Line:
    """A line with its track stage, in media time."""

    def __init__(self, **line: object) -> None:
        the_config = config(**line)  # type: ignore[arg-type]
        belt = LineBelt(the_config.lines[0], the_config.cameras, the_config.inputs)
        self.now_ns = 0
        self.stage = TrackStage(the_config.cameras, the_config.track, belts=[belt], clock=lambda: self.now_ns)
        self.stage.open()
        self.conditions: list[Condition] = []
        self.frames = 0

    def frame(self, *boxes: Box, learning: bool = False) -> None:
        parts = [PartSight(box_xyxy_px=box) for box in boxes]
        self.now_ns += STEP_NS
        self.frames += 1
        seen = msgspec.structs.replace(sight(self.frames, self.now_ns), parts=parts, learning=learning)
        self.take([seen])

    def take(self, messages: Sequence[AnyMessage]) -> None:
        outputs: list[Output] = [*self.stage.process(messages), *self.stage.tick(self.now_ns)]
        self.conditions += [output.message for output in outputs if isinstance(output.message, Condition)]

    def stands(self, kind: ConditionKind) -> str:
        """The detail of the condition as it was sent last; "" while it is not active."""
        last = [one for one in self.conditions if one.kind is kind][-1]
        return last.detail if last.active else ""


def by_background() -> Line:
    return Line(odometer={"kind": "speed"}, parts={"kind": "background"})


def test_a_belt_that_is_not_learned_is_reported_after_two_seconds_until_it_is() -> None:
    line = by_background()
    for _ in range(50):
        line.frame(learning=True)
    assert line.stands(ConditionKind.BELT_NOT_LEARNED) == ""
    line.frame(learning=True)
    assert line.stands(ConditionKind.BELT_NOT_LEARNED).startswith("the empty belt is not known")
    line.frame()
    assert line.stands(ConditionKind.BELT_NOT_LEARNED) == ""


def test_what_does_not_move_with_the_belt_is_reported_with_its_place() -> None:
    line = by_background()
    for _ in range(10):
        line.frame()
    for _ in range(20):
        line.frame((300.0, 100.0, 400.0, 180.0))
    assert "100x80 at 300,100 px" in line.stands(ConditionKind.STATIC_PART)


def test_a_photo_eye_that_triggers_twice_is_reported_and_cleared() -> None:
    line = Line()
    for number in range(100):
        line.take([count(number * 24.0, line.now_ns + STEP_NS)])
        if number in (10, 12):
            line.take([edge(True, line.now_ns, line.now_ns - S // 100)])
        line.frame()
        if number == 40:
            assert "two triggers 48 mm apart" in line.stands(ConditionKind.PHOTO_EYE_FAULTY)
    assert line.stands(ConditionKind.PHOTO_EYE_FAULTY) == ""
