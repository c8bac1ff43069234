"""A condition reaches the event log whatever happened to the process that decides when it began."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from stream_inspect import registry
from stream_inspect.capture.camera import CameraError
from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import Condition, ConditionKind, Event
from stream_inspect.store.event_writer import open_writer
from stream_inspect.store.events import EventStore
from tests.capture.harness import StageHarness
from tests.capture.scripted_camera import ScriptedCamera, Step
from tests.decide.scenes import config

BEGIN_AFTER_S = 0.2


class DarkCamera(ScriptedCamera):
    """Frames every 40 ms, black from the moment that `dark` is set."""

    dark = False

    def _frame(self, pts, sink):
        captured = super()._frame(pts, sink)
        if type(self).dark:
            captured.picture.i420[: captured.picture.height_px] = 0
        return captured


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry.BUILT_IN["camera"], "dark", "tests.decide.test_conditions_repeated:DarkCamera")
    monkeypatch.setattr(DarkCamera, "dark", False)
    steps: list[Step] = []
    for pts in range(0, 40_000, 40):
        steps += [pts, lambda: time.sleep(0.04)]
    ScriptedCamera.scripts = itertools.chain([steps], itertools.repeat(CameraError("nothing more")))
    cameras = [
        {
            "name": "top",
            "source": {"kind": "plugin", "plugin": "dark"},
            "conditions": {"black_after_s": BEGIN_AFTER_S},
        }
    ]
    with StageHarness(config(cameras=cameras).cameras[0], tmp_path) as harness:
        yield harness


def opened(state_dir: Path) -> DecideStage:
    stage = DecideStage(config(), open_writer(state_dir, memory_dir=state_dir, max_age_ns=10**18))
    stage.open()
    return stage


def black(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.id, str(event.state)) for event in events if event.name == ConditionKind.BLACK]


def all_events(log: EventStore) -> list[Event]:
    return [event for _, event in log.after(0, 100)]


def hand_over(conditions: list[Condition], decide: DecideStage) -> None:
    said, conditions[:] = conditions[:], []
    list(decide.process(said))
    list(decide.tick(time.monotonic_ns()))
    assert decide._events.flush(5)


@pytest.mark.slow
def test_what_was_sent_to_a_process_that_was_killed_is_known_to_the_next_one(
    capture: StageHarness, tmp_path: Path
) -> None:
    log = EventStore(tmp_path / "events.sqlite")
    first = opened(tmp_path)
    capture.run(lambda: any(said.kind is ConditionKind.BLACK for said in capture.conditions))
    hand_over(capture.conditions, first)
    # The process hangs: it takes nothing any more. The picture goes black, capture says so, the process is killed.
    DarkCamera.dark = True
    capture.run(lambda: any(said.kind is ConditionKind.BLACK and said.active for said in capture.conditions))
    begun = next(said for said in capture.conditions if said.kind is ConditionKind.BLACK and said.active)
    capture.conditions.clear()
    assert black(all_events(log)) == []
    second = opened(tmp_path)
    capture.run(lambda: any(said.kind is ConditionKind.BLACK for said in capture.conditions), limit_s=3)
    hand_over(capture.conditions, second)
    (event,) = [event for event in all_events(log) if event.name == ConditionKind.BLACK]
    assert (event.id, event.state) == ("top-1-black-1", "confirmed")
    assert event.first_seen_utc_ns == begun.utc_ns, "when the sign first showed, not when it was heard"
    # And the end of it, lost with the next process that is killed.
    DarkCamera.dark = False
    capture.run(lambda: any(said.kind is ConditionKind.BLACK and not said.active for said in capture.conditions))
    capture.conditions.clear()
    third = opened(tmp_path)
    began_s = time.monotonic()
    while len(black(all_events(log))) < 2:
        assert time.monotonic() - began_s < 8
        capture.turn()
        hand_over(capture.conditions, third)
    assert black(all_events(log)) == [("top-1-black-1", "confirmed"), ("top-1-black-1", "cleared")]
    log.close()
