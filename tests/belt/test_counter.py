"""An encoder's count becomes millimetres of belt, exactly; where that is not possible, the position is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.belt.counter import Counter

S = 10**9


def encoder(**changed: object) -> Counter:
    """16 bits, 10 counts a mm, at most 2 m/s: half the range is 1.64 s at full speed."""
    return Counter(**{"bits": 16, "mm_per_count": 0.1, "max_speed_mm_s": 2000.0, "age_s": 0.0} | changed)  # type: ignore[arg-type]


def test_a_count_is_millimetres_since_the_first_one():
    counter = encoder()
    assert counter.read(0, 5000).mm == 0
    assert counter.read(S, 6000).mm == pytest.approx(100)
    assert counter.read(2 * S, 5500).mm == pytest.approx(50)  # the belt runs back


def test_the_count_wraps_around_in_both_directions():
    counter = encoder()
    counter.read(0, 65_500)
    assert counter.read(S, 64).mm == pytest.approx(10)
    assert counter.read(2 * S, 65_500).mm == pytest.approx(0)
    counter = encoder(bits=32, signed=True)
    counter.read(0, 2**31 - 50)
    assert counter.read(S, -(2**31) + 50).mm == pytest.approx(10)


def test_an_encoder_may_count_down_while_the_belt_runs_forward():
    counter = encoder(reverse=True)
    counter.read(0, 100)
    assert counter.read(S, 65_536 - 900).mm == pytest.approx(100)


def test_after_a_gap_in_which_it_may_have_wrapped_the_position_is_lost():
    counter = encoder()
    counter.read(0, 0)
    counter.read(S, 1000)
    after = counter.read(4 * S, 1200)
    assert counter.problem == "position lost: no count for 3.0 s, in which it may have wrapped around"
    assert after.mm == pytest.approx(100)  # nothing is guessed
    assert after.drift_mm == pytest.approx(3 * 2000)  # and that is how far off it may be
    assert counter.lost == 1
    assert counter.read(5 * S, 1300).mm == pytest.approx(110)
    assert counter.problem == ""


def test_the_longest_gap_follows_from_bits_scale_and_speed():
    assert encoder().longest_gap_s == pytest.approx(32_767 * 0.1 / 2000)
    assert encoder(bits=32).longest_gap_s > 24 * 3600
    with pytest.raises(ValueError, match="16 bits wrap around within"):
        encoder(mm_per_count=0.001, age_s=0.02)


@pytest.mark.parametrize(("for_s", "lost"), [(1.6, False), (1.7, True)])
def test_at_full_speed_a_gap_of_half_the_range_decides(for_s, lost):
    counter = encoder()
    counter.read(0, 0)
    position = counter.read(int(for_s * S), int(for_s * 20_000))
    assert counter.problem.startswith("position lost") is lost
    assert position.mm == pytest.approx(0 if lost else for_s * 2000)


def test_one_coarse_count_may_be_passed_in_no_time():
    counter = encoder(mm_per_count=5.0)
    counter.read(0, 0)
    assert counter.read(S // 1000, 1).mm == 5


def test_a_count_that_jumps_is_refused():
    counter = encoder()
    counter.read(0, 0)
    assert counter.read(S // 10, 9000) is None
    assert counter.problem == "count jumped by 9000 (900 mm) in 0.1 s, faster than max_speed_mm_s allows"
    assert counter.read(S // 5, 100).mm == pytest.approx(10)
    assert (counter.problem, counter.lost) == ("", 0)


def test_a_counter_that_was_set_is_followed_from_its_third_count_on():
    counter = encoder(bits=32)
    counter.read(0, 1_000_000)
    counter.read(S // 10, 1_001_000)
    assert [counter.read(S // 10 * n, 1000 * n) for n in (2, 3)] == [None, None]
    after = counter.read(S // 10 * 4, 4000)
    assert counter.problem.startswith("position lost: count jumped by -997000 (-99700 mm)")
    assert (after.mm, after.drift_mm) == (pytest.approx(100), pytest.approx(0.3 * 2000))
    assert counter.read(S // 10 * 5, 5000).mm == pytest.approx(200)


def test_a_good_count_in_between_is_believed_more():
    counter = encoder(bits=32)
    counter.read(0, 0)
    counts = [9_000_000, 9_001_000, 300, 9_003_000, 9_004_000, 600]
    positions = [counter.read(S // 10 * n, count) for n, count in enumerate(counts, 1)]
    assert [position and round(position.mm) for position in positions] == [None, None, 30, None, None, 60]


def test_counts_that_jump_about_are_never_followed():
    counter = encoder(bits=32)
    counter.read(0, 0)
    assert all(counter.read(S // 10 * n, n * n * 100_000) is None for n in range(1, 30))
    assert counter.lost == 0
    assert counter.read(3 * S, 100).mm == pytest.approx(10)


@pytest.mark.parametrize(
    ("changed", "count", "says"),
    [
        ({}, 65_536, "expected a count from 0 to 65535, got 65536"),
        ({}, -1, "expected a count from 0 to 65535, got -1"),
        ({"signed": True}, 32_768, "expected a count from -32768 to 32767, got 32768"),
        ({"bits": 32}, 2**32, "expected a count from 0 to 4294967295, got 4294967296"),
    ],
)
def test_a_count_outside_of_the_range_is_refused(changed, count, says):
    counter = encoder(**changed)
    assert counter.read(0, count) is None
    assert counter.problem.startswith(says)


def test_a_count_that_is_not_later_is_refused():
    counter = encoder()
    counter.read(S, 0)
    assert counter.read(S, 10) is None
    assert counter.problem == "count is not later than the one before"


@pytest.mark.parametrize(
    "changed", [{"bits": 24}, {"mm_per_count": 0}, {"max_speed_mm_s": float("nan")}, {"age_s": -1}]
)
def test_a_counter_that_cannot_be_is_refused(changed):
    with pytest.raises(ValueError, match="expected"):
        encoder(**changed)


def test_the_older_a_count_may_be_the_less_is_known():
    counter = encoder(age_s=0.01)
    counter.read(0, 0)
    assert counter.read(S, 10_000).noise_mm == pytest.approx(0.1 + 0.01 * 1000)


@given(
    bits=st.sampled_from([16, 32]),
    signed=st.booleans(),
    reverse=st.booleans(),
    first=st.integers(-(2**40), 2**40),
    moves=st.lists(st.tuples(st.integers(1, 1500), st.floats(-1, 1)), min_size=1, max_size=40),
)
def test_a_wrapped_count_is_the_true_way_in_exact_arithmetic(bits, signed, reverse, first, moves):
    """Whatever the counter stood at, as long as it is read often enough for its range and no belt is too fast."""
    counter = encoder(bits=bits, signed=signed, reverse=reverse, mm_per_count=0.125)

    def wrapped(count: int) -> int:
        return (count + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) if signed else count % 2**bits

    now_ns, true = 0, first
    counter.read(now_ns, wrapped(true))
    for after_ms, share in moves:
        now_ns += after_ms * 10**6
        true += int(share * 2000 * after_ms / 1000 / 0.125)
        position = counter.read(now_ns, wrapped(true))
        assert counter.problem == ""
        assert position.mm == (first - true if reverse else true - first) * 0.125
        assert position.drift_mm == 0


gaps = st.tuples(st.integers(1, 8000), st.floats(-1, 1), st.just(0))
sets = st.tuples(st.integers(1, 300), st.floats(-1, 1), st.sampled_from([0, 0, 0, -(10**7), 10**7]))


@pytest.mark.parametrize(("bits", "steps"), [(16, gaps), (32, sets)])
@given(data=st.data())
def test_whatever_is_read_the_true_position_lies_within_the_drift(bits, steps, data):
    """Gaps in which a short counter may have wrapped, and a counter that is set while the belt runs on."""
    counter = encoder(bits=bits)
    now_ns, true, count = 0, 0, 0
    counter.read(now_ns, count)
    for after_ms, share, set_by in data.draw(st.lists(steps, min_size=1, max_size=40)):
        now_ns += after_ms * 10**6
        moved = int(share * 2000 * after_ms / 1000 * 10)
        true += moved
        count += moved + set_by
        position = counter.read(now_ns, count % 2**bits)
        assert (position is None) == (counter.problem.startswith("count jumped"))
        if position is not None:
            assert abs(position.mm - true * 0.1) <= position.drift_mm + 1e-6
