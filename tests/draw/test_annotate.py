"""Marks are where the defects are, between judged frames too, and can be read."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stream_inspect.draw.annotate import COLOURS_BGR, Mark, _text, draw, marks_at, severities
from stream_inspect.draw.caption import caption, put_text, utc_text
from tests.decide.scenes import config, tracked, update


def grey(width_px: int, height_px: int) -> np.ndarray:
    return np.full((height_px, width_px, 3), 128, np.uint8)


def mark(box=(100.0, 100.0, 160.0, 150.0), *, severity="critical", outline=None, seen=True, name="scratch") -> Mark:
    return Mark(name, 0.42, severity, box, outline or [], seen)


def is_colour(picture: np.ndarray, severity: str) -> np.ndarray:
    return np.all(picture == COLOURS_BGR[severity], axis=2)


# --- where -------------------------------------------------------------------------------------------------------


def test_between_two_judged_frames_boxes_are_interpolated():
    before, after = tracked(8, update(seq=8)), tracked(16, update(seq=40))  # 32 px in a second: not its velocity
    (found,) = marks_at(1.25, before, after)
    assert found.box_xyxy_px == (116.0, 100.0, 156.0, 140.0)
    assert found.outline_px[0][0] == (108.0, 100.0)  # the outline goes along
    (long_after,) = marks_at(1.75, before, after)  # however far apart the judged frames are
    assert long_after.box_xyxy_px == (132.0, 100.0, 172.0, 140.0)
    (at_the_frame,) = marks_at(1.0, before, after)
    assert at_the_frame.box_xyxy_px == before.tracks[0].box_xyxy_px


def test_after_the_last_judged_frame_boxes_go_on_with_their_velocity():
    (found,) = marks_at(1.25, tracked(8, update(seq=8)))
    assert found.box_xyxy_px == (110.0, 100.0, 150.0, 140.0)


def test_a_track_unseen_for_long_is_not_drawn():
    assert len(marks_at(1.0, tracked(8, update(seq=6, seen=False)))) == 1
    assert marks_at(1.0, tracked(8, update(seq=4, seen=False))) == []


def test_nothing_is_drawn_before_the_first_judged_frame():
    assert marks_at(0.5, None, tracked(8, update(seq=8))) == []


def test_the_severity_is_the_detections_else_the_configured_one():
    known = severities(config(defects=[{"name": "scratch", "prompts": ["x"], "severity": "minor"}]).defects)
    assert known == {"scratch": "minor"}
    assert [m.severity for m in marks_at(1.0, tracked(8, update(seq=8)), None, known)] == ["critical"]
    assert [m.severity for m in marks_at(1.0, tracked(8, update(seq=7, seen=False)), None, known)] == ["minor"]
    assert [m.severity for m in marks_at(1.0, tracked(8, update(seq=7, seen=False)))] == ["major"]


# --- how ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", COLOURS_BGR)
def test_a_box_is_drawn_around_the_defect_in_the_colour_of_its_severity(severity):
    picture = grey(960, 540)
    draw(picture, [mark((400.0, 300.0, 500.0, 360.0), severity=severity)])
    rows, columns = np.nonzero(is_colour(picture, severity))
    below_label = rows > 305
    assert abs(columns[below_label].min() - 400) <= 2
    assert abs(columns[below_label].max() - 499) <= 2
    assert abs(rows.max() - 359) <= 2
    assert np.all(picture[310:350, 410:490] == 128), "the defect itself must stay visible"


def test_marks_are_scaled_with_the_picture():
    picture = grey(960, 540)
    draw(picture, [mark((800.0, 600.0, 1000.0, 720.0))], scale=0.5)
    rows, columns = np.nonzero(is_colour(picture, "critical"))
    assert (abs(columns[rows > 305].min() - 400), abs(rows.max() - 359)) <= (2, 2)


def test_an_outline_is_drawn():
    outlined, plain = grey(960, 540), grey(960, 540)
    ring = [(420.0, 310.0), (480.0, 310.0), (450.0, 350.0)]
    draw(outlined, [mark((400.0, 300.0, 500.0, 360.0), outline=[ring])])
    draw(plain, [mark((400.0, 300.0, 500.0, 360.0))])
    rows, columns = np.nonzero(np.any(outlined != plain, axis=2))
    assert 418 <= columns.min() <= 421
    assert 479 <= columns.max() <= 482
    assert 308 <= rows.min() <= 311


@pytest.mark.parametrize("height_px", [360, 540, 1080, 2160])
def test_the_label_can_be_read(height_px):
    width_px = height_px * 16 // 9
    picture = grey(width_px, height_px)
    box = (width_px / 2, height_px / 2, width_px / 2 + height_px / 5, height_px / 2 + height_px / 5)
    draw(picture, [mark(box)])
    dark = np.all(picture < 60, axis=2)
    rows, columns = np.nonzero(dark)
    letters_px = rows.max() - rows.min()
    assert letters_px >= max(8, height_px / 75)
    assert columns.max() - columns.min() > 5 * letters_px
    plate = is_colour(picture, "critical")[rows.min() - 1 : rows.max() + 2, columns.min() - 2 : columns.max() + 3]
    assert plate.mean() > 0.35, "letters stand on a plate of the severity's colour"


@pytest.mark.parametrize("box", [(-50.0, -30.0, 30.0, 20.0), (900.0, 500.0, 1000.0, 600.0), (-10.0, 0.0, 970.0, 540.0)])
def test_the_label_of_a_box_at_the_edge_lies_in_the_picture(box):
    picture, reference = grey(960, 540), grey(960, 540)
    draw(picture, [mark(box)])
    draw(reference, [mark((300.0, 200.0, 400.0, 300.0))])

    def letters(drawn: np.ndarray) -> int:
        return int(np.all(drawn < 60, axis=2).sum())

    assert letters(picture) == pytest.approx(letters(reference), rel=0.15)


def test_what_lies_outside_is_not_drawn():
    picture = grey(960, 540)
    outside = [
        (-100.0, 10.0, 0.0, 50.0),
        (960.0, 10.0, 1000.0, 50.0),
        (10.0, -50.0, 50.0, 0.0),
        (1.0, 540.0, 9.0, 600.0),
    ]
    draw(picture, [mark(box) for box in outside])
    assert np.all(picture == 128)


def test_labels_lie_above_all_boxes():
    picture, alone = grey(960, 540), grey(960, 540)
    first, second = mark((300.0, 200.0, 400.0, 300.0)), mark((320.0, 150.0, 420.0, 250.0), severity="minor")
    covering = [mark((300.0 - x, 100.0 - x, 500.0 + x, 400.0 + x), severity="minor") for x in range(0, 400, 50)]
    draw(picture, [first, second, *covering])
    draw(alone, [first])
    ink, ink_of_one = (int(np.all(one < 40, axis=2).sum()) for one in (picture, alone))
    assert ink == pytest.approx((2 + len(covering)) * ink_of_one, rel=0.1), "wherever they go, no box crosses them"


def test_twenty_boxes_cost_little():
    picture = np.asarray(cv2.randu(np.empty((540, 960, 3), np.uint8), 0, 255))
    marks = [mark((40.0 * i, 20.0 * i + 30, 40.0 * i + 60, 20.0 * i + 70)) for i in range(20)]
    times = []
    for _ in range(30):
        began = time.perf_counter()
        draw(picture, marks)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.008  # 0.5 ms on an idle core; this one may be shared


# --- when --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ns", "shown"), [(123_456_789, "123"), (999_999_999, "999")])
def test_the_time_in_a_picture_is_never_rounded_up_to_the_next_second(ns, shown):
    assert utc_text(1_795_269_600_000_000_000 + ns) == f"2026-11-21 14:00:00.{shown} UTC"


@pytest.mark.parametrize(("width_px", "height_px"), [(1280, 720), (720, 1280), (404, 720)])
def test_a_caption_fits_into_the_picture_also_where_it_is_higher_than_wide(width_px: int, height_px: int):
    picture = grey(width_px, height_px)
    caption(picture, f"belt   {utc_text(1_700_000_000_123_000_000)}   belt-1-scratch-12")
    plate = np.flatnonzero((picture[2] == 128 // 4).all(axis=1))
    assert width_px * 0.4 < plate.max() < width_px - 1, "its plate ends within the picture"


# --- several marks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart_px", [0, 3, 12])
def test_labels_of_marks_close_together_do_not_hide_each_other(apart_px: int):
    picture = grey(960, 540)
    close = [
        mark((400.0 + apart_px * n, 250.0 + apart_px * n, 460.0 + apart_px * n, 300.0 + apart_px * n)) for n in range(6)
    ]
    draw(picture, close)
    alone = grey(960, 540)
    draw(alone, close[:1])
    ink, ink_of_one = (int(np.all(one < 40, axis=2).sum()) for one in (picture, alone))
    assert ink == pytest.approx(6 * ink_of_one, rel=0.05), "every letter of every label is there"


def test_a_label_hides_no_other_defect_while_there_is_room():
    picture = grey(960, 540)
    first, second = mark((400.0, 300.0, 460.0, 330.0)), mark((400.0, 270.0, 460.0, 298.0), severity="minor")
    draw(picture, [first, second])
    assert np.all(picture[276:292, 408:452] == 128), "the inside of the upper box"
    assert np.all(picture[306:324, 408:452] == 128), "the inside of the lower box"


@pytest.mark.parametrize("size_px", [(120, 400), (90, 300)])
def test_a_label_fits_into_a_narrow_picture(size_px: tuple[int, int]):
    picture = grey(*size_px)
    draw(picture, [mark((10.0, 100.0, 50.0, 130.0), name="contamination")])
    columns = np.nonzero(np.all(picture < 60, axis=2))[1]
    assert columns.max() < size_px[0] - 2


def test_the_events_own_defect_has_a_white_frame_and_others_have_none():
    def one(track: int, left: float) -> Mark:
        return replace(mark((left, 200.0, left + 60, 260.0)), track=track)

    picture = grey(960, 540)
    draw(picture, [one(1, 200.0), one(2, 500.0)], own_track=2)
    white = np.nonzero(np.all(picture == 255, axis=2))
    assert 480 < white[1].min() < 500
    assert 560 < white[1].max() < 580
    draw(again := grey(960, 540), [one(1, 200.0), replace(one(2, 500.0), track=None)], own_track=None)
    assert not np.any(np.all(again == 255, axis=2)), "without an event none is its own"


def test_a_score_says_of_which_judged_frame_it_is_and_an_unseen_defect_shows_none():
    (seen,) = marks_at(1.25, tracked(8, update(seq=8)), tracked(16, update(seq=40)))
    assert (seen.judged_seq, seen.track) == (8, 1)
    assert _text(seen, True) == f"scratch {seen.score:.2f} @8"
    assert _text(seen, False) == f"scratch {seen.score:.2f}"
    (unseen,) = marks_at(1.0, tracked(8, update(seq=6, seen=False)))
    assert _text(unseen, True) == "scratch"


def test_words_across_the_picture_fit_into_a_narrow_one():
    picture = np.zeros((540, 304, 3), np.uint8)
    put_text(picture, "END OF THE RECORDING", 15, 270, 45)
    columns = np.nonzero(picture.any(axis=2))[1]
    assert columns.max() < 304 - 10
