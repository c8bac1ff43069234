"""Clips and pictures over HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.web.served import Served

CLIP = bytes(range(256)) * 4


@pytest.fixture
def clip(served: Served) -> str:
    (served.state_dir / "clips" / "cam-1-crack-1.mp4").write_bytes(CLIP)
    return f"{served.url}/clips/cam-1-crack-1.mp4"


def test_a_clip_is_sent_whole(clip: str) -> None:
    answer = httpx.get(clip)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "video/mp4", CLIP)
    assert answer.headers["accept-ranges"] == "bytes"
    assert "private" in answer.headers["cache-control"]


@pytest.mark.parametrize(("asked", "first", "last"), [("0-9", 0, 9), ("1000-", 1000, 1023), ("-4", 1020, 1023)])
def test_a_player_can_ask_for_a_part(clip: str, asked: str, first: int, last: int) -> None:
    answer = httpx.get(clip, headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.content == CLIP[first : last + 1]


@pytest.mark.parametrize("asked", ["2000-", "9-3", "x", "-"])
def test_an_impossible_part_is_refused(clip: str, asked: str) -> None:
    assert httpx.get(clip, headers={"Range": f"bytes={asked}"}).status_code in (400, 416)


def test_a_missing_file_may_have_been_removed_by_retention(served: Served) -> None:
    for path in ("/clips/cam-1-crack-2.mp4", "/clips/cam-1-crack-2.json", "/pictures/cam-1-crack-2.jpg"):
        answer = httpx.get(served.url + path)
        assert (answer.status_code, "removed by retention" in answer.text) == (404, True)


def test_a_half_written_file_is_not_served(served: Served) -> None:
    (served.state_dir / "clips" / "cam-1-crack-1.mp4.part").write_bytes(b"half")
    assert httpx.get(f"{served.url}/clips/cam-1-crack-1.mp4").status_code == 404
    assert httpx.get(f"{served.url}/clips/cam-1-crack-1.mp4.part").status_code == 404
