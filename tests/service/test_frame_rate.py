"""A camera that delivers fewer frames than are to be judged is reported, and one that is slow by its nature is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest

from stream_inspect.service.frame_rate import FrameRateWatch
from stream_inspect.service.judging import JudgingWatch
from stream_inspect.service.overload import OverloadWatch
from stream_inspect.transport.ledger import Totals

LOOK_S = 0.1
"""How often the supervisor collects the totals."""


class Camera:
    """A camera in fast motion. All of its due frames are judged; what all three watches say of that."""

    def __init__(
        self, rate_hz: float = 8.0, stated_hz: float = 0.0, no_signal_after_s: float = 1.5, **kind: bool
    ) -> None:
        self.stated_hz = stated_hz
        self.burst_fps = 0.0
        """The frames' own clock, where they arrive in bursts."""
        self._rate_hz = rate_hz
        self._watch = FrameRateWatch(rate_hz, no_signal_after_s, **kind)
        self._others = JudgingWatch(rate_hz, **kind), OverloadWatch(rate_hz, **kind)
        self._totals = Totals()
        self._period = -1
        self._next_s = self._now_s = 1000.0
        self.detail = ""

    def run(self, seconds: float, gaps_s: Iterator[float]) -> float | None:
        """Deliver frames that are so far apart; seconds until what is said changed, None where it did not."""
        began_s, before, changed = self._now_s, bool(self.detail), None
        self._next_s = max(self._next_s, self._now_s)
        for _ in range(round(seconds / LOOK_S)):
            self._now_s += LOOK_S
            while self._next_s <= self._now_s:
                self._deliver(self._next_s)
                self._next_s += next(gaps_s)
            self.detail = self._watch.update(self._totals, self._now_s, self.stated_hz)
            judging, overload = self._others
            assert judging.update(self._totals, self._now_s, 0.1) == ""
            assert overload.update(self._totals, self._now_s, judging=True) == ""
            if changed is None and bool(self.detail) is not before:
                changed = self._now_s - began_s
        return changed

    def _deliver(self, at_s: float) -> None:
        self._totals.captured += 1
        media_s = self._totals.captured / self.burst_fps if self.burst_fps else at_s
        if (period := int(media_s * self._rate_hz)) != self._period:
            self._period = period
            self._totals.judged += 1
        else:
            self._totals.not_due += 1


def every(seconds: float) -> Iterator[float]:
    return repeat(seconds)


def in_turns(*gaps_s: float) -> Iterator[float]:
    while True:
        yield from gaps_s


SILENT = 1e9


def test_a_frame_rate_that_collapses_is_reported_and_its_return_too():
    camera = Camera(stated_hz=25.0)
    assert camera.run(60, every(1 / 25)) is None
    raised_s = camera.run(60, every(1.4))
    assert raised_s is not None
    assert raised_s <= 10.0
    assert camera.detail in {f"0.{n} of 8 frames a second have arrived from the camera for 10 s" for n in (7, 8)}
    cleared_s = camera.run(60, every(1 / 25))
    assert cleared_s is not None
    assert cleared_s <= 3.0
    assert camera.detail == ""


COLLAPSES: dict[str, Callable[[], Iterator[float]]] = {
    "a frame just before each no_signal": lambda: every(1.45),
    "a frame about as far apart as no_signal": lambda: every(1.6),
    "three frames a second": lambda: every(1 / 3),
    "one second of frames, then almost no_signal": lambda: in_turns(*[1 / 25] * 20, 1.45),
}


@pytest.mark.parametrize("gaps", COLLAPSES.values(), ids=COLLAPSES)
def test_no_shape_of_a_collapse_is_reported_again_and_again(gaps):
    camera = Camera(stated_hz=25.0)
    camera.run(30, every(1 / 25))
    camera.run(30, collapse := gaps())
    assert camera.run(120, collapse) is None


@pytest.mark.parametrize("gaps", COLLAPSES.values(), ids=COLLAPSES)
@pytest.mark.parametrize("stated_hz", [25.0, 0.0])
def test_every_shape_of_a_collapse_is_reported_within_10_s(gaps, stated_hz):
    camera = Camera(stated_hz=stated_hz)
    camera.run(30, every(1 / 25))
    raised_s = camera.run(60, gaps())
    assert raised_s is not None
    assert raised_s <= 10.2
    assert camera.detail


def test_a_camera_that_has_been_slow_from_the_start_is_reported():
    raised_s = Camera().run(60, every(1.4))
    assert raised_s is not None
    assert raised_s <= 12.0


ENOUGH: dict[str, tuple[Camera, Iterator[float]]] = {
    "as fast as it is judged": (Camera(), every(1 / 8)),
    "slower than it is judged, and states it": (Camera(stated_hz=0.5), every(2.0)),
    "irregular around what it states": (Camera(stated_hz=0.5), in_turns(1.0, 3.0)),
    "a little slower than it is judged": (Camera(), every(1 / 5)),
    "judged slowly": (Camera(rate_hz=0.05, stated_hz=25.0), every(1 / 25)),
    "states less than it sends": (Camera(stated_hz=1.0), every(1 / 25)),
    "triggered, as the configuration says": (Camera(no_signal_after_s=600.0), in_turns(0.1, 45.0)),
    "read as fast as it is judged": (Camera(lossless=True), every(1.0)),
}


@pytest.mark.parametrize(("camera", "gaps"), ENOUGH.values(), ids=ENOUGH)
def test_a_camera_that_delivers_what_it_is_expected_to_is_not_reported(camera, gaps):
    assert camera.run(300, gaps) is None


def test_frames_that_come_in_bursts_over_a_bad_network_are_not_a_slow_rate():
    camera = Camera(stated_hz=25.0)
    camera.burst_fps = 25.0
    assert camera.run(300, in_turns(*[0.001] * 34, 1.4)) is None


def test_no_signal_and_a_reconnect_are_not_a_slow_rate():
    camera = Camera(stated_hz=25.0)
    camera.run(30, every(1 / 25))
    assert camera.run(30, every(SILENT)) is None
    camera._next_s = camera._now_s
    assert camera.run(30, every(1 / 25)) is None


def test_a_slow_camera_stays_one_while_its_process_is_restarted():
    camera = Camera(stated_hz=0.5)
    camera.run(60, every(2.0))
    camera.stated_hz = 0.0
    assert camera.run(60, every(2.0)) is None


def test_a_report_holds_until_the_camera_is_silent_or_has_recovered():
    camera = Camera(stated_hz=25.0)
    camera.run(30, every(1 / 25))
    camera.run(30, every(1.4))
    cleared_s = camera.run(30, every(SILENT))
    assert cleared_s is not None
    assert 2.0 <= cleared_s <= 1.4 + 2.1
