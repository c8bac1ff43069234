"""What is taken for a count, a level and a text, and what is said of everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.plant.last_seen import LastSeen
from stream_inspect.plant.payload import MAX_BYTES, value_of
from stream_inspect.plant.values import count_of, level_of, text_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def said_of(read: Callable[[], object]) -> str:
    """The value, or the text of the ValueError."""
    try:
        return str(read())
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(("value", "count"), [(7, 7), (7.0, 7), ("7", 7), (" -7\n", -7), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_count(value, count):
    assert count_of(value, 32) == count


@pytest.mark.parametrize("value", ["", "7.5", "abc", 7.5, float("nan"), float("inf"), None, True, [7], b"7"])
def test_what_is_no_count(value):
    with pytest.raises(ValueError, match="expected a count, got "):
        count_of(value, 32)


@pytest.mark.parametrize(("value", "bits"), [(65536, 16), (-32769, 16), (2**32, 32)])
def test_a_count_that_its_counter_cannot_hold_shows_that_the_width_is_wrong(value, bits):
    with pytest.raises(ValueError, match=f"expected a count of {bits} bits, got {value}"):
        count_of(value, bits)


@pytest.mark.parametrize(
    ("value", "level"),
    [(True, True), (False, False), ("true", True), ("OFF", False), ("1", 1), (1.0, 1), (41, 41), ("41", 41)],
)
def test_a_level(value, level):
    assert level_of(value) == level


@pytest.mark.parametrize("value", ["", "yes!", 0.5, None, [True]])
def test_what_is_no_level(value):
    with pytest.raises(ValueError, match="expected true, false or a whole number, got "):
        level_of(value)


@pytest.mark.parametrize("value", [2**63, 1e249, "-9223372036854775809"])
def test_a_counter_that_no_message_can_hold_is_refused(value):
    with pytest.raises(ValueError, match="expected a counter of at most 64 bits, got "):
        level_of(value)


@pytest.mark.parametrize(("value", "text"), [(" A-1 ", "A-1"), (42, "42"), ("", ""), ("Größe 0,5 ", "Größe 0,5")])
def test_a_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1.5, "expected a text, got 1.5"),
        (True, "expected a text, got True"),
        ("x" * 201, "expected at most 200 characters, got 201"),
        ("A\x1b[2J", r"without control characters, got 'A\\x1b\[2J'"),
    ],
)
def test_what_is_no_text(value, error):
    with pytest.raises(ValueError, match=error):
        text_of(value)


@given(ANYTHING)
def test_whatever_comes_is_a_value_or_a_short_error(value):
    for read in (lambda one: count_of(one, 32), level_of, text_of):
        assert len(said_of(lambda read=read: read(value))) < 250


@pytest.mark.parametrize(
    ("payload", "pointer", "value"),
    [
        (b"70000", None, "70000"),
        (b'{"axis": [{"count": 5}]}', "/axis/0/count", 5),
        (b'{"a/b": {"m~n": true}}', "/a~1b/m~0n", True),
        (b'{"": "x"}', "/", "x"),
    ],
)
def test_the_value_in_a_payload(payload, pointer, value):
    assert value_of(payload, pointer) == value


@pytest.mark.parametrize(
    ("payload", "pointer", "error"),
    [
        (b"\xff", None, r"expected a text, got b'\\xff'"),
        (b"7", "/count", "there is no /count in 7"),
        (b'{"n": [1]}', "/n/1", "there is no /n/1 in "),
        (b'{"n": [1]}', "/n/-1", "there is no /n/-1 in "),
        (b"{count: 7}", "/count", "expected JSON, got b'{count: 7}'"),
        (b"[" * 5000, "/0", "expected JSON, got "),
        (b" " * (MAX_BYTES + 1), None, f"expected at most {MAX_BYTES} bytes, got {MAX_BYTES + 1}"),
    ],
)
def test_a_payload_without_its_value(payload, pointer, error):
    with pytest.raises(ValueError, match=error):
        value_of(payload, pointer)


@given(st.binary(max_size=50), st.none() | st.just("/a/0"))
def test_any_payload_is_a_value_or_an_error(payload, pointer):
    assert len(said_of(lambda: value_of(payload, pointer))) < 200


class TestLastSeen:
    def test_a_value_is_handed_over_when_it_changes_and_once_for_each_connection(self):
        seen = LastSeen()
        seen.connected()
        first = [seen.polled("eye", value, n) for n, value in enumerate([False, False, True, True])]
        assert [one and (one.value, one.mono_ns, one.after_ns) for one in first] == [
            (False, 0, None),
            None,
            (True, 2, 1),
            None,
        ]
        seen.connected()
        assert seen.polled("eye", True, 9).after_ns is None

    def test_a_change_in_an_outage_took_place_after_the_last_look_before_it(self):
        seen = LastSeen()
        seen.polled("eye", False, 1)
        seen.polled("eye", False, 5)
        seen.connected()
        assert seen.polled("eye", True, 100).after_ns == 5

    def test_what_was_sent_last_stood_as_long_as_its_sender_was_connected(self):
        seen = LastSeen()
        seen.changed("eye", False, 1, 1)
        seen.alive(50)
        seen.connected()
        assert seen.stands("eye", True, 100).after_ns == 50

    def test_what_stands_as_before_an_outage_may_have_changed_and_changed_back_since_it_was_read(self):
        seen = LastSeen()
        seen.changed("eye", False, 1, 1)
        seen.alive(50)
        seen.connected()
        seen.alive(99)
        level = seen.stands("eye", False, 100)
        assert (level.after_ns, level.unread_from_ns) == (None, 50)
