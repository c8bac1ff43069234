"""A PLC of its own process, the plant stage and the chain: counts and edges in, parts with verdicts out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import AnyMessage, Condition, Output, PartVerdict, Reason, Verdict
from stream_inspect.plant.stage import PlantStage
from stream_inspect.service.chain import Chain, judging_chain
from tests.plant.rigs.modbus import ENCODER, EYE, SERIAL, served
from tests.track.plant_line import EYE_MM, MM_PER_COUNT, PART_MM, SPEED_MM_S, config, judged, sight

# Frames and readings come in real time, and verdicts depend on how many of them are in time.
pytestmark = pytest.mark.alone

TURN_S = 0.02
FRAME_EVERY_S = 0.1
PITCH_MM = 400.0


class Line:
    """The belt runs in real time, slower than it may by the configuration. There is a
    part each `PITCH_MM`; the PLC shows it, and the camera too."""

    def __init__(self) -> None:
        self.server = served()
        self.config: Config = config(plc={"port": self.server.port}, speed_mm_s=2.5 * SPEED_MM_S)
        self.plant = PlantStage(self.config)
        self.chain: Chain = judging_chain(self.config, MemoryLog())
        self.verdicts: list[PartVerdict] = []
        self.conditions: list[Condition] = []
        self.belt_mm = 0.0
        self._turned_s = time.monotonic()
        self._frames = 0
        self._frame_s = 0.0
        self.chain.open()
        self.plant.open()

    def run(self, for_s: float) -> None:
        """Let the belt run as far as it does in this time. A computer that is late does not make it jump."""
        until_mm = self.belt_mm + for_s * SPEED_MM_S
        while self.belt_mm < until_mm:
            self.turn()
            time.sleep(TURN_S)

    def turn(self) -> None:
        now_s = time.monotonic()
        self.belt_mm += min(now_s - self._turned_s, 3 * TURN_S) * SPEED_MM_S
        self._turned_s = now_s
        if self.server.is_running:
            self._show()
        self._pass_on(self._captured())
        outputs = list(self.plant.tick(time.monotonic_ns()))
        self.conditions += [one.message for one in outputs if isinstance(one.message, Condition)]
        self._pass_on([one.message for one in outputs])

    def _show(self) -> None:
        """What the PLC's registers say: the count, the eye, and the serial number of the part at it."""
        number, at_mm = divmod(self.belt_mm, PITCH_MM)
        count = round(self.belt_mm / MM_PER_COUNT)
        serial = f"P-{number:04.0f}".encode().ljust(16, b"\0")
        self.server.tell(
            holding={
                ENCODER: [count >> 16, count & 0xFFFF],
                SERIAL: [int.from_bytes(serial[at : at + 2]) for at in range(0, 16, 2)],
            },
            discrete={EYE: [at_mm < PART_MM]},
        )

    def _captured(self) -> list[AnyMessage]:
        if time.monotonic() < self._frame_s:
            return []
        self._frame_s = time.monotonic() + FRAME_EVERY_S
        now_ns, self._frames = time.monotonic_ns(), self._frames + 1
        return [sight(self._frames, now_ns), judged(self._frames, now_ns)]

    def _pass_on(self, messages: list[AnyMessage]) -> None:
        outputs = [*self.chain.process(messages), *self.chain.tick(time.monotonic_ns())]
        self.verdicts += [one.message for one in outputs if isinstance(one.message, PartVerdict)]
        self.conditions += [one.message for one in outputs if isinstance(one.message, Condition)]

    def stands(self, kind: str) -> bool:
        """How this condition stands."""
        return next((one.active for one in reversed(self.conditions) if one.kind == kind), False)

    def within(self, limit_s: float, kind: str, *, active: bool) -> float:
        """After how many seconds this condition stands so."""
        began_s = time.monotonic()
        while self.stands(kind) is not active:
            assert time.monotonic() - began_s < limit_s, f"{kind} is not {active} within {limit_s} s"
            self.run(TURN_S)
        return time.monotonic() - began_s

    def first(self) -> dict[int, PartVerdict]:
        """The verdict of each part as it was given first."""
        return {one.part: one for one in reversed(self.verdicts)}

    def close(self) -> None:
        self.plant.close()
        self.chain.close()
        self.server.kill()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_each_part_that_the_photo_eye_saw_gets_a_verdict_with_its_serial(line: Line) -> None:
    line.run(7.0)
    given = line.first()
    passed = [one for one in given.values() if one.verdict is Verdict.PASS]
    assert len(passed) >= 4
    assert {one.verdict for one in given.values()} == {Verdict.PASS}, [one.why for one in given.values()]
    first = min(passed, key=lambda one: one.part)
    numbers = [int(one.serial.removeprefix("P-")) for one in sorted(passed, key=lambda one: one.part)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # The eye saw the part when the belt had run `number * PITCH_MM`: it was read up to a poll and a turn later.
    on_belt_mm = first.along.low + EYE_MM
    origin_mm = numbers[0] * PITCH_MM - on_belt_mm
    assert all(abs(one.along.low + EYE_MM + origin_mm - int(one.serial[2:]) * PITCH_MM) < PART_MM for one in passed)
    assert not line.stands("input_silent")
    assert not line.stands("odometer_unknown")


def test_a_plc_that_is_killed_is_reported_and_the_parts_on_the_belt_are_undecided(line: Line) -> None:
    line.run(4.0)
    line.server.kill()
    killed_s = time.monotonic()
    line.within(3.0, "input_silent", active=True)
    line.within(3.0 - (time.monotonic() - killed_s), "odometer_unknown", active=True)
    line.run(1.0)
    lost = [one for one in line.first().values() if one.reason is Reason.ODOMETER_UNKNOWN]
    assert len(lost) >= 2
    assert {one.verdict for one in lost} == {Verdict.UNDECIDED}
    entered = max(line.first())

    line.server.start()
    began_s = time.monotonic()
    line.within(3.0, "input_silent", active=False)
    line.within(3.0 - (time.monotonic() - began_s), "odometer_unknown", active=False)
    line.run(4.5)
    assert [one.verdict for one in line.first().values() if one.part > entered + 1].count(Verdict.PASS) >= 2


def test_readings_that_find_no_room_are_reported_and_cleared(line: Line) -> None:
    line.run(0.5)
    output = next(one for one in waiting(line) if one.topic == "plant")
    line.plant.undelivered(output)
    line.within(1.0, "input_silent", active=True)
    assert "readings lost" in next(one.detail for one in reversed(line.conditions) if one.active)
    line.within(3.0, "input_silent", active=False)


def waiting(line: Line) -> list[Output]:
    """What the plant stage sends next."""
    time.sleep(0.3)
    return list(line.plant.tick(time.monotonic_ns()))
