"""frames.jsonl: what is read is checked, what is written can be read, and the schema says the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from stream_inspect.commands.replay.applied import Applied
from stream_inspect.commands.replay.frames import Judged, JudgedFrame, frames_schema, to_line
from stream_inspect.commands.replay.recorded import FramesError, RecordedFrames, _covered_px
from stream_inspect.config.models import Config
from stream_inspect.inspect import masks
from stream_inspect.messages import Clock, FrameHeader, FrameId, Inspection, Rle
from tests.commands.replays import HEIGHT_PX, WIDTH_PX, config, line, write_lines
from tests.properties import examples

BOX = (10.0, 20.0, 30.0, 50.0)
COMMITTED = Path(__file__).parents[2] / "docs" / "frames.schema.json"


def header(seq: int, camera: str = "top") -> FrameHeader:
    """Frames at 25 a second."""
    return FrameHeader(
        id=FrameId(camera=camera, session=0, seq=seq, pts=seq, time_base_num=1, time_base_den=25),
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        color_matrix="bt601",
        full_range=False,
        capture_mono_ns=seq * 40_000_000,
        capture_utc_ns=seq * 40_000_000,
        clock=Clock.MEDIA,
        ledger_index=seq,
    )


class Recorded(RecordedFrames):
    """A file's frames with the configuration applied, as the replay's judge does it."""

    def __init__(self, path: Path, used: Config) -> None:
        super().__init__(path, used.cameras[0].name)
        self._applied = Applied(used, path, self.lines)

    def judged(self, header: FrameHeader) -> Judged:
        return self._applied.judged(self.take(), header)

    def inspection(self, header: FrameHeader) -> Inspection:
        return self.judged(header).inspection


def read(path: Path, *lines, **changes) -> Recorded:
    return Recorded(write_lines(path, lines), config(**changes))


def found(**changes):
    return {"defect": "spot", "score": 0.4, "box_xyxy_px": list(BOX), "mask_rle": None} | changes


def rle(mask: np.ndarray) -> dict:
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(packed["size"]), "counts": packed["counts"].decode()}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "frames.jsonl"


def test_the_least_keys_are_enough_and_the_rest_is_worked_out(path):
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask[20:50, 10:30] = True
    recorded = read(path, line(3, 0.12) | {"detections": [found(mask_rle=rle(mask)), found()]})
    assert recorded.is_due(header(3))
    masked, boxed = recorded.inspection(header(3)).detections
    assert (masked.severity, boxed.severity) == ("minor", "minor")  # the configuration's
    assert masked.outline_px != []
    assert boxed.outline_px == []
    for detection in (masked, boxed):
        assert detection.box_xyxy_px == BOX
        assert detection.extent is not None
        assert (detection.extent.area_px, detection.extent.area_mm2) == (600, 600)


def test_what_the_file_says_itself_is_kept(path):
    extent = {"area_px": 7, "length_px": 4, "width_px": 2, "area_mm2": None, "length_mm": None, "width_mm": None}
    detection = found(severity="critical", outline_px=[[[1, 2], [3, 4], [5, 6]]], extent=extent)
    recorded = read(path, line(0, 0.0) | {"detections": [detection]})
    recorded.is_due(header(0))
    (kept,) = recorded.inspection(header(0)).detections
    assert (kept.severity, kept.outline_px) == ("critical", [[(1, 2), (3, 4), (5, 6)]])
    assert kept.extent is not None
    assert kept.extent.area_px == 7


def test_only_its_own_frames_are_due(path):
    recorded = read(path, line(2, 0.08), line(5, 0.2))
    due = []
    for seq in range(8):
        if recorded.is_due(header(seq)):
            due.append(seq)
            recorded.inspection(header(seq))
    recorded.end(8)
    assert due == [2, 5]


def test_times_that_count_from_the_first_frame_are_taken(path):
    recorded = read(path, line(0, 0.0), line(1, 0.04))
    late = header(0).id
    shifted = [header(seq) for seq in (0, 1)]
    shifted = [
        FrameHeader(**{f: getattr(h, f) for f in h.__struct_fields__} | {"id": _later(h.id, 1000)}) for h in shifted
    ]
    assert late.pts == 0
    assert recorded.is_due(shifted[0])
    recorded.inspection(shifted[0])
    assert recorded.is_due(shifted[1])


def _later(identity: FrameId, ticks: int) -> FrameId:
    return FrameId(**{f: getattr(identity, f) for f in identity.__struct_fields__} | {"pts": identity.pts + ticks})


def test_what_is_written_is_read_as_it_was(path):
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask[20:50, 10:30] = True
    recorded = read(path, line(0, 0.0) | {"detections": [found(mask_rle=rle(mask)), found()]}, line(1, 0.04))
    inspections = []
    for seq in (0, 1):
        recorded.is_due(header(seq))
        inspections.append(recorded.judged(header(seq)))
    path.write_bytes(b"".join(to_line(inspection) for inspection in inspections))
    again = Recorded(path, config())
    for seq, inspection in enumerate(inspections):
        assert again.is_due(header(seq))
        assert again.judged(header(seq)) == inspection


def test_a_file_of_one_camera_serves_under_any_name_and_one_of_several_by_name(path):
    assert read(path, line(0, 0.0, camera="other")).is_due(header(0))
    several = [line(0, 0.0, camera="a"), line(0, 0.0, BOX, camera="top"), line(1, 0.04, camera="a")]
    recorded = read(path, *several)
    recorded.is_due(header(0))
    assert len(recorded.inspection(header(0)).detections) == 1
    assert not recorded.is_due(header(1))
    with pytest.raises(FramesError, match="holds frames of the cameras a, b, none of 'top': choose with --camera"):
        read(path, line(0, 0.0, camera="a"), line(0, 0.0, camera="b"))


# --- what is refused ---------------------------------------------------------------------------------------------

WRONG = {
    "no JSON": ("{nothing", "line 1: JSON is malformed"),
    "no object": ("[]", "line 1: Expected `object`"),
    "no seq": ({"camera": "top"}, "line 1: Object missing required field"),
    "a mistyped key": (line(0, 0.0) | {"masks": 1}, "line 1: Object contains unknown field `masks`"),
    "a negative seq": (line(-1, 0.0), r"line 1: Expected `int` >= 0 - at `\$.seq`"),
    "an infinite time": (json.dumps(line(0, 0.0)).replace('"pts_s": 0.0', '"pts_s": 1e999'), "line 1: "),
    "a score above 1": (line(0, 0.0) | {"detections": [found(score=1.5)]}, r"<= 1.0 - at `\$.detections\[0\].score`"),
    "a box of three": (line(0, 0.0) | {"detections": [found(box_xyxy_px=[1, 2, 3])]}, "length 4"),
    "a box inside out": (
        line(0, 0.0) | {"detections": [found(box_xyxy_px=[9, 2, 3, 4])]},
        "left < right and top < bottom",
    ),
    "a box elsewhere": (line(0, 0.0) | {"detections": [found(box_xyxy_px=[400, 2, 410, 4])]}, "outside of the picture"),
    "a mask of another size": (
        line(0, 0.0) | {"detections": [found(mask_rle={"size": [10, 10], "counts": "T3"})]},
        r"mask_rle.size must be \[height, width\] \[180, 320\]",
    ),
    "a mask too long": (
        line(0, 0.0) | {"detections": [found(mask_rle={"size": [180, 320], "counts": "oooooo0"})]},
        "not a COCO run-length mask of 320x180 px",
    ),
    "a mask of nonsense": (
        line(0, 0.0) | {"detections": [found(mask_rle={"size": [180, 320], "counts": "é\x01~"})]},
        "not a COCO run-length mask",
    ),
    "a box from here to eternity": (
        line(0, 0.0) | {"detections": [found(box_xyxy_px=[-1e308, 0, 1e308, 9])]},
        "outside of the picture",
    ),
    "an outline without points": (line(0, 0.0) | {"detections": [found(outline_px=[[]])]}, "outline_px must be"),
    "an outline elsewhere": (
        line(0, 0.0) | {"detections": [found(outline_px=[[[1, 2], [3, 1e300]]])]},
        "outline_px must be",
    ),
    "a negative size": (
        line(0, 0.0) | {"detections": [found(extent={"area_px": 4, "length_px": -2, "width_px": 2})]},
        "extent must hold no negative size",
    ),
    "an unknown severity": (
        line(0, 0.0) | {"detections": [found(severity="grave")]},
        r"Invalid enum value 'grave' - at `\$.detections\[0\].severity`",
    ),
    "a name with a line feed": (line(0, 0.0) | {"detections": [found(defect="spot\n")]}, "ends with a line feed"),
    "a name that no defect can have": (line(0, 0.0) | {"detections": [found(defect="A b")]}, "at `\\$.detections"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_named_with_its_line(wrong, path):
    content, said = WRONG[wrong]
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text + "\n")
    with pytest.raises(FramesError, match=said) as refused:
        Recorded(path, config())
    assert str(refused.value).startswith(str(path))


def test_frames_out_of_order_are_refused(path):
    with pytest.raises(FramesError, match="line 3: seq 1 comes after 4: frames must be in decode order"):
        read(path, line(0, 0.0), line(4, 0.16), line(1, 0.04))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FramesError, match=r"absent\.jsonl cannot be read: No such file"):
        Recorded(tmp_path / "absent.jsonl", config())


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_whatever_do_anything_but_be_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    try:
        recorded = Recorded(path, config())
    except FramesError:
        return
    assert not data.strip()
    recorded.end(0)


# --- masks -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_the_check_of_masks_agrees_with_the_coco_library(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    assert _covered_px(rle(mask)["counts"]) == height * width
    large = np.zeros((700, 900), bool)
    large[seed % 600 : seed % 600 + height, 5 : 5 + width] = True
    assert _covered_px(rle(large)["counts"]) == large.size
    assert np.array_equal(masks.from_rle(Rle(**rle(large))), large)


@given(st.text(max_size=30))
def test_no_text_breaks_the_check_of_masks(counts):
    covered = _covered_px(counts)
    assert isinstance(covered, int)
    if any(not 48 <= ord(character) < 112 for character in counts):
        assert covered == -1


# --- the schema --------------------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_programs():
    assert json.loads(COMMITTED.read_text()) == json.loads(json.dumps(frames_schema())), "run `make docs`"


def test_the_schema_asks_for_no_more_than_the_least_keys():
    schema = frames_schema()
    shapes = schema["$defs"]
    assert set(shapes["JudgedFrame"]["required"]) == line(0, 0.0).keys()
    assert set(shapes["FoundDefect"]["required"]) == {"defect", "score", "box_xyxy_px"}
    assert shapes["JudgedFrame"]["properties"].keys() == set(JudgedFrame.__struct_fields__)
