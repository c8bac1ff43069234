from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.file_names import in_number_order, printable

names = st.binary(min_size=1, max_size=20).filter(lambda raw: b"/" not in raw and b"\0" not in raw).map(os.fsdecode)


@given(names)
def test_every_name_becomes_text_that_can_be_written(name: str) -> None:
    assert json.loads(json.dumps(printable(name), ensure_ascii=False).encode()) == printable(name)


def test_a_name_of_another_encoding_is_still_told_from_others() -> None:
    assert printable(os.fsdecode(b"Pr\xfcfung.mp4")) == r"Pr\xfcfung.mp4"
    assert printable(Path("/clips/Prüfung.mp4")) == "/clips/Prüfung.mp4"


@given(st.lists(names, unique=True))
def test_any_names_have_one_order(found: list[str]) -> None:
    paths = [Path(name) for name in found if name not in (".", "..")]
    backwards = paths[::-1]
    assert sorted(paths, key=in_number_order) == sorted(backwards, key=in_number_order)


def test_numbers_are_compared_as_numbers() -> None:
    found = ["frame_10.png", "frame_2.png", "frame_1.png", "frame_02.png", "a1b12.png", "a1b3.png", "frame.png"]
    assert [path.name for path in sorted(map(Path, found), key=in_number_order)] == [
        "a1b3.png",
        "a1b12.png",
        "frame.png",
        "frame_1.png",
        "frame_02.png",
        "frame_2.png",
        "frame_10.png",
    ]
