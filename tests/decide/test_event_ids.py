"""An event's id is its own: whatever the names that the configuration allows."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stream_inspect.config.base import Name
from stream_inspect.config.models import DefectName
from stream_inspect.decide.events import EventIds
from stream_inspect.messages import ConditionKind, event_id, part_id

# Short ones of few letters, so that they come near to each other.
TEXT = st.text("a12-_", min_size=1, max_size=7)


def allowed(kind: object) -> st.SearchStrategy[str]:
    """Names that the configuration allows."""
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def passes(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except ValidationError:
            return False
        return True

    return TEXT.filter(passes)


cameras = allowed(Name) | st.just("")
names = allowed(DefectName) | st.sampled_from([str(kind) for kind in ConditionKind])
numbers = st.integers(0, 30)


@given(cameras, numbers, names, numbers)
@example("a-1", 2, "b", 3)
@example("", 0, "process_down", 1)
def test_an_id_tells_what_it_was_made_of(camera, session, name, n):
    """So two different events never share one."""
    words = event_id(camera, session, name, n).split("-")
    assert int(words.pop()) == n
    rest = []
    while not re.fullmatch("[0-9]+", words[-1]):
        rest.insert(0, words.pop())
    assert "-".join(rest) == name
    assert int(words.pop()) == session
    assert "-".join(words) == camera


@given(allowed(Name), numbers, names | st.just("part"), numbers)
def test_no_event_of_a_camera_has_the_id_of_a_part_of_a_line_with_its_name(name, session, defect, n):
    assert part_id(name, session, n) != event_id(name, session, defect, n)


@pytest.mark.parametrize("name", ["hole", "hole2", "2mm-hole", "hole-2mm", "hole_2", "2_hole", "a-", "a--b", "a" * 40])
def test_ordinary_names_are_allowed(name):
    assert TypeAdapter(DefectName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "2", "hole-2", "2-hole", "a-2-b", "-a", "_a", "Hole", "a b", "a" * 41, "a\n"])
def test_names_that_could_be_read_in_two_ways_are_not(name):
    with pytest.raises(ValidationError):
        TypeAdapter(DefectName).validate_python(name)


def test_a_camera_that_reconnects_all_day_leaves_no_counters_behind():
    ids = EventIds()
    given = [ids.next("top", session, "no_signal") for session in range(1, 10_000) for _ in range(2)]
    assert given[-2:] == ["top-9999-no_signal-1", "top-9999-no_signal-2"]
    assert len(given) == len(set(given))
    assert len(ids._numbers) == 1


def test_conditions_without_a_frame_take_turns_with_those_that_have_one_and_no_id_comes_twice():
    """A camera that is without signal when the service starts has no frame yet: session 0, again and again.

    An id that came twice would be an event that the log takes for one that it has: never written, never sent.
    """
    ids = EventIds()
    given = [ids.next("top", session, "no_signal") for session in (0, 5, 0, 6, 0, 7)]
    assert len(set(given)) == len(given)
    restarted = EventIds()
    restarted.restore({("top", 0, "no_signal"): 3, ("top", 7, "no_signal"): 1})
    assert restarted.next("top", 0, "no_signal") == "top-0-no_signal-4"
