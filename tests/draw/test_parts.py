"""Parts on a picture: where they are in it, with their numbers and verdicts, which differ without colours too."""

from __future__ import annotations

import numpy as np
import pytest

from stream_inspect.draw import parts as parts_on_picture
from stream_inspect.draw.annotate import Mark, draw
from stream_inspect.draw.parts import VERDICTS_BGR, draw_parts
from stream_inspect.messages import Box, FrameId, PartsShown, ShownPart, Verdict
from tests.decide.scenes import header

BOX: Box = (200.0, 100.0, 400.0, 250.0)


def shown(verdict: Verdict | None = None, defect: str = "", velocity: tuple[float, float] = (0.0, 0.0)) -> PartsShown:
    """One part, in the frame 8 of 8 a second."""
    part = ShownPart(part=12, box_xyxy_px=BOX, views=2, verdict=verdict, defect=defect)
    return PartsShown(frame=header(8), odometer_mm=0.0, velocity_px_s=velocity, parts=[part])


def drawn(parts: PartsShown, frame: FrameId, scale: float = 1.0) -> np.ndarray:
    picture = np.full((360, 640, 3), 128, np.uint8)
    draw_parts(picture, parts, frame, scale, hide_after_s=1.2)
    return picture


def outline(picture: np.ndarray, verdict: Verdict | None) -> Box:
    """The tight box of what has this colour, without the label above."""
    rows, columns = np.nonzero(np.all(picture == VERDICTS_BGR[verdict], axis=2))
    top = rows[(columns > columns.max() - 3)].min()
    return float(columns.min()), float(top), float(columns.max() + 1), float(rows.max() + 1)


@pytest.mark.parametrize("verdict", VERDICTS_BGR)
def test_a_part_is_outlined_in_the_colour_of_its_verdict(verdict: Verdict | None) -> None:
    assert outline(drawn(shown(verdict), header(8).id), verdict) == pytest.approx(BOX, abs=2)


def test_a_part_is_moved_to_the_time_of_the_frame_and_scaled_with_the_picture() -> None:
    left, top, right, bottom = outline(
        drawn(shown(Verdict.FAIL, velocity=(-80.0, 0.0)), header(12).id, 0.5), Verdict.FAIL
    )
    assert (left, top, right, bottom) == pytest.approx((80, 50, 180, 125), abs=2)


def test_a_verdict_is_known_without_colours_by_the_label_and_the_whole_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []
    monkeypatch.setattr(
        parts_on_picture, "draw_labels", lambda _, shown: [labels.append(label.text) for label in shown]
    )
    middle_of_edge = []
    for verdict, defect in ((None, ""), (Verdict.PASS, ""), (Verdict.FAIL, "crack"), (Verdict.UNDECIDED, "")):
        picture = drawn(shown(verdict, defect), header(8).id)
        middle_of_edge.append(bool(np.any(picture[170:180, 198:203] != 128)))
    assert labels == ["#12 2 views", "#12 PASS", "#12 FAIL crack", "#12 UNDECIDED"]
    assert middle_of_edge == [False, True, True, True]


@pytest.mark.parametrize("frame", [header(18).id, header(8, session=4).id], ids=["long after", "other session"])
def test_nothing_is_drawn_where_it_may_not_be_any_more(frame: FrameId) -> None:
    assert np.all(drawn(shown(Verdict.FAIL), frame) == 128)


def test_the_label_of_a_defect_does_not_hide_that_of_its_part() -> None:
    picture = np.full((360, 640, 3), 128, np.uint8)
    taken = draw_parts(picture, shown(Verdict.FAIL, "crack"), header(8).id, 1.0, hide_after_s=1.2)
    left, top, right, bottom = taken[0]
    before = picture[top:bottom, left:right].copy()
    draw(picture, [Mark("crack", 0.5, "minor", (202.0, 101.0, 230.0, 120.0), [], True)], taken=taken)
    assert np.array_equal(picture[top:bottom, left:right], before)
