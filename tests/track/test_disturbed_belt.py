"""A belt that is not as configured: every defect is reported, once, and what does not move is no defect."""

from __future__ import annotations

import pytest

from stream_inspect.commands.bench import belt
from stream_inspect.track.belt_linking import BeltLinking

QUICK = (
    "static find of 120 mm, lonely",
    "stops of 3 s, a defect every 0.5 s",
    "speed steps of 50 %",
    "starts with defects in view",
)
MISCONFIGURED = [scene.name for scene in belt.misconfigured(400.0, 8.0)]
NAMES = [scene.name for scene in belt.scenes(400.0, 8.0) if scene.name not in MISCONFIGURED]


def outcome(name: str, speed_mm_s: float, rate_hz: float) -> belt.Outcome:
    (scene,) = [scene for scene in belt.scenes(speed_mm_s, rate_hz) if scene.name == name]
    return belt.run(scene)


def check(seen: belt.Outcome) -> None:
    assert seen.reported >= belt.REPORTED_MIN, seen
    assert seen.events_per_defect <= belt.EVENTS_PER_DEFECT_MAX, seen
    assert seen.false <= 1, "what does not move is not a defect"
    assert not seen.warned, "this belt is followed"


@pytest.mark.parametrize("name", QUICK)
def test_the_defects_are_reported_once_each(name: str) -> None:
    check(outcome(name, 400.0, 8.0))


@pytest.mark.parametrize(("speed_mm_s", "rate_hz"), [(400.0, 8.0), (600.0, 12.0)])
@pytest.mark.parametrize("name", MISCONFIGURED)
def test_a_belt_that_is_not_followed_is_reported(name: str, speed_mm_s: float, rate_hz: float) -> None:
    """At 2 times the speed nothing was reported, and no condition: every find began a track of its own."""
    assert outcome(name, speed_mm_s, rate_hz).good


def test_where_finds_went_instead_is_in_the_reason() -> None:
    for scene, expected in zip(belt.misconfigured(400.0, 8.0), ("2.0 times", "3.0 times", "1.0 times"), strict=True):
        reason = next(event.reason for event in belt.events_of(scene) if event.name == "not_followed")
        assert f"but {expected} as far" in reason
        assert (" in the opposite direction" in reason) == ("backwards" in scene.name)
        assert "belt.speed_mm_s" in reason


@pytest.mark.soak
@pytest.mark.parametrize(("speed_mm_s", "rate_hz"), [(100.0, 4.0), (400.0, 8.0), (1000.0, 12.0)])
@pytest.mark.parametrize("name", NAMES)
def test_the_defects_are_reported_once_each_at_any_speed(name: str, speed_mm_s: float, rate_hz: float) -> None:
    check(outcome(name, speed_mm_s, rate_hz))


def test_the_scenes_can_be_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tracker that links nothing but what it expects, a belt at half its speed is not followed at all."""
    monkeypatch.setattr(BeltLinking, "_find_unforeseen", lambda self: None)
    assert not outcome("runs at 0.5 of the speed", 1000.0, 8.0).good


def test_what_does_not_move_is_a_condition_with_its_place() -> None:
    """Dirt on the lens: 50 mm (100 px) long, from 60 mm (120 px) on, while the belt runs empty beneath it."""
    dirt = belt.Thing(None, length_mm=50.0, across_mm=100.0, width_mm=20.0, place_mm=60.0)
    events = belt.events_of(belt.Scene("dirt", 300.0, 8.0, (dirt,), (belt.Leg(10.0, 300.0),)))
    assert [(event.kind, event.name, event.severity) for event in events] == [("condition", "static_find", "major")]
    assert "does not move with the belt: 10" in events[0].reason
    assert "at 1" in events[0].reason
