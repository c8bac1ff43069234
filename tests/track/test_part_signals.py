"""Parts that a photo-eye or a fixed pitch announces: one for each, at the belt's place and with its number."""

from __future__ import annotations

from stream_inspect.messages import Doubt, Interval, What
from stream_inspect.track.part_signals import FixedPitch, PhotoEye


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


def test_at_a_fixed_pitch_part_n_is_the_nth_stretch():
    pitch = FixedPitch(pitch_mm=100, entry_mm=300, watched_mm=0)
    pitch.advance(1, 300)
    entered = [change for odometer_mm in range(310, 520, 10) for change in pitch.advance(2, odometer_mm)]
    assert [(change.number, change.along) for change in entered] == [(1, Interval(100, 200)), (2, Interval(200, 300))]
    assert pitch.advance(3, 350) == pitch.advance(4, 519) == []


def test_at_a_fixed_pitch_what_is_below_the_entry_at_the_start_is_known_as_such():
    pitch = FixedPitch(pitch_mm=100, entry_mm=0, watched_mm=250)
    changes = pitch.advance(1, 1050)
    assert [(change.number, change.doubt) for change in changes] == [
        (8, Doubt.AT_START),
        (9, Doubt.AT_START),
        (10, None),
    ]
