"""The waits between attempts: as listed, again from the first once it has worked, spread at random where asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.backoff import Backoff, doubling_s


@pytest.mark.parametrize(
    ("first_s", "longest_s", "expected_s"),
    [
        (0.1, 1.0, (0.1, 0.2, 0.4, 0.8, 1.0)),
        (1.0, 30.0, (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)),
        (2.0, 8.0, (2.0, 4.0, 8.0)),
        (5.0, 5.0, (5.0,)),
    ],
)
def test_waits_double_up_to_the_longest(first_s, longest_s, expected_s):
    assert doubling_s(first_s, longest_s) == expected_s


def test_without_jitter_the_waits_are_those_listed_and_the_last_is_repeated():
    backoff = Backoff((0.1, 0.5, 5.0))
    assert [backoff.next_s() for _ in range(5)] == [0.1, 0.5, 5.0, 5.0, 5.0]
    assert backoff.failures == 5
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() == 0.1


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_jitter_shortens_a_wait_by_up_to_its_share_and_never_below_the_first(jitter, seed):
    waits_s = doubling_s(0.1, 30.0)
    backoff = Backoff(waits_s, jitter, random.Random(seed))
    for longest_s in (*waits_s, waits_s[-1]):
        assert max(0.1, (1 - jitter) * longest_s) - 1e-9 <= backoff.next_s() <= longest_s


def test_two_that_failed_together_are_not_tried_again_together():
    one, other = (Backoff(doubling_s(0.1, 1.0), 0.5, random.Random(seed)) for seed in (1, 2))
    assert one.next_s() == other.next_s() == 0.1
    assert all(one.next_s() != other.next_s() for _ in range(20))
