"""Coverage: which stretches of the belt were judged fewer than K times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.belt.coverage import Coverage
from stream_inspect.belt.geometry import Interval


def test_a_stretch_that_was_judged_too_seldom_is_reported():
    coverage = Coverage(most=2)
    coverage.add(0, 300)
    coverage.add(100, 400)
    assert coverage.below(2, 0, 400) == [Interval(0, 100), Interval(300, 400)]
    assert coverage.below(1, 0, 400) == []
    assert coverage.below(1, 0, 500) == [Interval(400, 500)]


def test_a_lost_picture_leaves_a_gap():
    coverage = Coverage(most=3)
    for picture in (0, 1, 2, 4, 5):
        coverage.add(picture * 100, picture * 100 + 110)
    assert coverage.below(1, 0, 600) == [Interval(310, 400)]


def test_stretches_that_touch_are_one():
    coverage = Coverage(most=2)
    coverage.add(0, 10)
    coverage.add(10, 20)
    coverage.add(15, 30)
    assert coverage.below(2, 0, 15) == [Interval(0, 15)]
    assert coverage.below(1, -5, 40) == [Interval(-5, 0), Interval(30, 40)]
    assert coverage.below(2, 0, 40) == [Interval(0, 15), Interval(20, 40)]


def test_nothing_is_added_by_an_empty_stretch():
    coverage = Coverage(most=1)
    coverage.add(5, 5)
    coverage.add(7, 3)
    coverage.add(float("nan"), 3)
    assert coverage.below(1, 0, 10) == [Interval(0, 10)]
    assert coverage.below(1, 10, 10) == []


def test_what_was_forgotten_counts_as_never_judged():
    coverage = Coverage(most=1)
    coverage.add(0, 100)
    coverage.forget_before(40)
    coverage.add(0, 60)
    assert coverage.below(1, 0, 100) == [Interval(0, 40)]
    coverage.forget_before(100)
    assert len(coverage) == 0


def test_a_count_that_is_not_kept_cannot_be_asked_for():
    with pytest.raises(ValueError, match="expected k <= 3, got 4"):
        Coverage(most=3).below(4, 0, 1)
    with pytest.raises(ValueError, match="expected most >= 1, got 0"):
        Coverage(most=0)


def test_a_belt_that_stands_for_hours_takes_no_memory():
    coverage = Coverage(most=3)
    for frame in range(5000):
        jitter = (frame * 37 % 101) / 100
        coverage.add(jitter, 400 + jitter)
    assert len(coverage) <= 2 * 3
    assert coverage.below(3, 1, 400) == []


def test_a_belt_that_runs_for_hours_takes_no_memory():
    coverage = Coverage(most=3)
    steps = 0
    for frame in range(5000):
        coverage.add(frame * 97.3, frame * 97.3 + 400)
        coverage.forget_before(frame * 97.3 - 1000)
        steps = max(steps, len(coverage))
    assert steps < 50


places = st.integers(0, 60)
stretches = st.tuples(st.just("add"), places, places)
forgets = st.tuples(st.just("forget"), places, places)


@given(most=st.integers(1, 4), steps=st.lists(stretches | stretches | stretches | forgets, max_size=30), data=st.data())
def test_it_is_an_array_with_a_count_for_each_millimetre(most, steps, data):
    coverage, cells, forgotten = Coverage(most), [0] * 60, 0
    for what, low, high in steps:
        if what == "add":
            coverage.add(low, high)
            for mm in range(max(low, forgotten), high):
                cells[mm] += 1
        else:
            forgotten = max(forgotten, low)
            coverage.forget_before(low)
            cells[:forgotten] = [0] * forgotten
    k, low, high = data.draw(st.integers(1, most)), data.draw(places), data.draw(places)
    seldom = coverage.below(k, low, high)
    assert [mm for stretch in seldom for mm in range(round(stretch.low), round(stretch.high))] == [
        mm for mm in range(low, high) if cells[mm] < k
    ]
    for one, following in pairwise(seldom):
        assert one.high < following.low
    assert all(stretch.low < stretch.high for stretch in seldom)
    changes = sum(
        before != min(most, now) for before, now in zip([0, *(min(most, c) for c in cells)], [*cells, 0], strict=True)
    )
    assert len(coverage) == changes
