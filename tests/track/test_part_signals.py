"""Parts that a photo-eye or a fixed pitch announces: one for each, at the belt's place and with its number."""

from __future__ import annotations

from stream_inspect.messages import Doubt, Interval, What
from stream_inspect.track.part_signals import EveryPlace, PhotoEye, Pitch


def test_a_trigger_is_a_part_of_the_configured_length_at_its_own_time():
    eye = PhotoEye(eye_mm=500, length_mm=120, bounce_mm=10)
    (part,) = eye.trigger(7, 1700, "A-1")
    assert (part.what, part.number, part.along, part.serial) == (What.ENTERED, 1, Interval(1200, 1320), "A-1")
    (late,) = eye.trigger(3, 1400)
    assert (late.number, late.along.low, late.mono_ns) == (2, 900, 3)


def test_a_trigger_that_bounces_is_one_part():
    eye = PhotoEye(eye_mm=0, length_mm=120, bounce_mm=10)
    assert len(eye.trigger(1, 100)) == 1
    assert eye.trigger(2, 110) == []
    assert eye.trigger(3, 100) == []


def test_a_serial_number_that_comes_with_a_later_trigger_is_taken():
    eye = PhotoEye(eye_mm=0, length_mm=120, bounce_mm=10)
    eye.trigger(1, 100)
    (known,) = eye.trigger(2, 104, "A-1")
    assert (known.what, known.number, known.serial) == (What.UPDATED, 1, "A-1")


def test_two_triggers_within_a_part_are_a_doubt_about_it():
    eye = PhotoEye(eye_mm=0, length_mm=120, bounce_mm=10)
    eye.trigger(1, 100)
    (doubted,) = eye.trigger(2, 150)
    assert (doubted.what, doubted.number, doubted.doubt) == (What.UPDATED, 1, Doubt.TWO_TRIGGERS)
    assert eye.trigger(3, 150) == [], "known already"
    assert eye.trigger(4, 220)[0].what is What.ENTERED


def test_at_a_fixed_pitch_each_place_is_a_part_whether_or_not_there_is_something_in_it():
    places = EveryPlace(Pitch(100, 80, phase_mm=0), entry_mm=300)
    assert [part.along for part in places.advance(1, 300, end_mm=300)] == [Interval(0, 80)]
    entered = [part for odometer_mm in range(310, 520, 10) for part in places.advance(2, odometer_mm, 300)]
    assert [(part.number, part.along) for part in entered] == [(2, Interval(100, 180)), (3, Interval(200, 280))]
    assert places.advance(3, 350, 300) == places.advance(4, 519, 300) == []


def test_at_a_fixed_pitch_what_is_in_the_pictures_at_the_start_is_known_as_such():
    places = EveryPlace(Pitch(100, 100, phase_mm=0), entry_mm=0)
    parts = places.advance(1, 1050, end_mm=250)
    assert [(part.along.low, part.doubt) for part in parts] == [
        (800, Doubt.AT_START),
        (900, Doubt.AT_START),
        (1000, None),
    ]


def test_where_places_begin_is_known_from_the_first_one_that_the_eye_sees_and_none_is_missed_before():
    places = EveryPlace(Pitch(100, 100), entry_mm=0, eye_mm=-50)
    assert places.advance(1, 1000, end_mm=250) == places.advance(2, 1090, 250) == []
    places.trigger(2, 1090)
    entered = places.advance(2, 1090, 250)
    assert [part.along.low for part in entered] == [740, 840, 940, 1040], "1090 + 50, and by the pitch from there"
    places.trigger(3, 1194)
    (after,) = places.advance(3, 1200, 250)
    assert after.along.low == 1141, "a quarter of the 4 mm that it was seen late"


def test_places_are_counted_again_from_the_start_when_the_odometer_does_not_continue():
    places = EveryPlace(Pitch(100, 100, phase_mm=0), entry_mm=0)
    (first,) = places.advance(1, 50, end_mm=0)
    places.interrupt()
    (again,) = places.advance(2, 50, end_mm=0)
    assert first.number != again.number


def test_an_eye_says_which_places_of_a_pitch_hold_a_part():
    eye = PhotoEye(0, 80, 8, Pitch(100, 80))
    lows = [eye.trigger(1, at_mm)[0].along.low for at_mm in (1000, 1204, 1400)]
    assert [round(low) for low in lows] == [1000, 1201, 1401], "1100 and 1300 are empty"


def test_a_second_trigger_in_a_place_is_a_doubt_about_its_part_and_one_between_two_is_out_of_step():
    eye = PhotoEye(0, 30, 3, Pitch(100, 30))
    eye.trigger(1, 1000)
    (doubted,) = eye.trigger(2, 1040)
    assert (doubted.what, doubted.number, doubted.doubt) == (What.UPDATED, 1, Doubt.TWO_TRIGGERS)
    (between,) = eye.trigger(3, 1160)
    assert (between.what, between.doubt) == (What.ENTERED, Doubt.OUT_OF_STEP)
