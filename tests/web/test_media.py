"""Clips and pictures over HTTP, and why one is missing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from stream_inspect.config.models import RecorderConfig
from stream_inspect.messages import EventState
from stream_inspect.store.missing_clip import why_missing, write_missing
from stream_inspect.web import feed
from stream_inspect.web.media import clip_within_s, media_of
from tests.web.served import Served, condition, defect, eventually

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


# --- why one is missing ---


def card(served: Served, event_id: str = "cam-1-crack-1") -> dict[str, Any]:
    found = httpx.get(f"{served.url}/api/events").json()["events"]
    return next((one for one in found if one["id"] == event_id), {})


def missing(served: Served, event_id: str = "cam-1-crack-1") -> tuple[str, str]:
    found = card(served, event_id)
    return found.get("no_picture", "?"), found.get("no_clip", "?")


def aged(age_s: float, n: int = 1) -> Any:
    """A defect that was seen this long ago."""
    seen_utc_ns = time.time_ns() - round(age_s * 1e9)
    return msgspec.structs.replace(defect(n), first_seen_utc_ns=seen_utc_ns, last_seen_utc_ns=seen_utc_ns)


def test_what_is_missing_is_being_written_at_first_and_was_not_recorded_later(served: Served) -> None:
    recorder = RecorderConfig()
    served.happen(aged(0, n=1))
    served.happen(aged(clip_within_s(recorder) - 20, n=2))
    served.happen(aged(clip_within_s(recorder) + 20, n=3))
    served.happen(aged((recorder.max_age_days + 1) * 86_400, n=4))
    eventually(lambda: card(served, "cam-1-crack-4"), "the events are not listed")
    assert missing(served, "cam-1-crack-1") == ("being written", "being written")
    assert missing(served, "cam-1-crack-2") == ("not recorded, or removed", "being written")
    assert missing(served, "cam-1-crack-3") == ("not recorded, or removed",) * 2
    assert missing(served, "cam-1-crack-4") == ("removed after 30 days",) * 2


def test_a_text_changes_when_the_time_for_the_file_is_over(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOK_EVERY_S", 0.1)
    served.happen(aged(28.5))
    eventually(lambda: missing(served)[0] == "being written", "it is not awaited")
    eventually(lambda: missing(served)[0] == "not recorded, or removed", "it is awaited without end")
    assert missing(served)[1] == "being written"


def test_files_of_old_events_are_found_after_a_restart(served: Served) -> None:
    (served.state_dir / "pictures" / "cam-1-crack-1.jpg").write_bytes(b"jpeg")
    served.happen(aged(3600))
    eventually(lambda: card(served).get("picture"), "the picture is not looked for")
    assert missing(served) == ("", "not recorded, or removed")


def test_the_names_of_files_are_not_interned(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's table of interned strings only grows, see `KeptFiles`."""
    (served.state_dir / "pictures" / "cam-1-crack-1.jpg").write_bytes(b"jpeg")
    interned: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(sys, "intern", lambda text, intern=sys.intern: interned.append(text) or intern(text))
        served.happen(aged(3600))
        eventually(lambda: card(served).get("picture"), "the picture is not looked for")
        assert httpx.get(f"{served.url}/pictures/cam-1-crack-1.jpg").content == b"jpeg"
    assert [name for name in interned if "cam-1-crack-1" in name] == []


def test_a_recorder_that_is_off_or_has_stopped_is_named(tmp_path: Path) -> None:
    off = Served(tmp_path / "off", recorder={"enabled": False})
    off.happen(defect())
    eventually(lambda: missing(off) == ("not recorded: recorder off",) * 2, "it is not named")
    off.close()
    stopped = Served(tmp_path / "stopped")
    stop = msgspec.structs.replace(condition("recording_stopped", camera=""), source="recorder")
    stopped.happen(stop)
    stopped.happen(defect(1))
    eventually(lambda: missing(stopped) == ("not recorded: recording stopped",) * 2, "it is not named")
    time.sleep(0.01)
    stopped.happen(
        msgspec.structs.replace(
            stop, key=f"{stop.id}:cleared", state=EventState.CLEARED, last_seen_utc_ns=time.time_ns()
        )
    )
    time.sleep(0.01)
    stopped.happen(defect(2))
    eventually(lambda: missing(stopped, "cam-1-crack-2")[0] == "being written", "it is said of later events too")
    assert missing(stopped)[0] == "not recorded: recording stopped"
    stopped.close()


# --- a disk that hangs ---


class HangingDisk:
    """Clips and pictures give no answer until `recover`: no test can make a real disk hang, so `os.stat` waits as
    it does there, in the thread that asks."""

    def __init__(self, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._recovered = threading.Event()
        real_stat = os.stat
        folders = (state_dir / "clips", state_dir / "pictures")

        def waiting(path: Any, *args: Any, **options: Any) -> os.stat_result:
            if isinstance(path, (str, os.PathLike)) and Path(path).parent in folders:
                self._recovered.wait(60)
            return real_stat(path, *args, **options)

        monkeypatch.setattr(os, "stat", waiting)

    def recover(self) -> None:
        self._recovered.set()


@pytest.fixture
def hanging(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingDisk]:
    disk = HangingDisk(served.state_dir, monkeypatch)
    yield disk
    disk.recover()


@pytest.mark.slow
def test_a_disk_that_hangs_stops_neither_the_live_pictures_nor_the_events(
    clip: str, served: Served, hanging: HangingDisk
) -> None:
    answers: list[int] = []
    asking = [
        threading.Thread(target=lambda: answers.append(httpx.get(clip, timeout=60).status_code)) for _ in range(60)
    ]
    for thread in asking:
        thread.start()
    served.happen(defect())
    eventually(lambda: card(served), "an event waits for the disk of its picture")
    for path in ("/", "/static/app.js", "/api/status"):
        assert httpx.get(served.url + path, timeout=3).status_code == 200
    with httpx.stream("GET", f"{served.url}/api/live", timeout=3) as response:
        chunks = response.iter_raw()
        for number in range(20):
            served.show(number)
            started_s = time.monotonic()
            next(chunks)
            assert time.monotonic() - started_s < 1.0
    eventually(lambda: answers.count(503) == 56, "those that need not wait get no answer", within_s=10)
    hanging.recover()
    for thread in asking:
        thread.join(10)
    assert sorted(set(answers)) == [200, 503]
    assert httpx.get(clip).status_code == 200, "the disk is back"


def test_a_browser_asks_again_each_time_and_is_not_sent_the_same_file_twice(served: Served) -> None:
    picture = served.state_dir / "pictures" / "cam-1-crack-1.jpg"
    picture.write_bytes(b"of the first event")
    url = f"{served.url}/pictures/cam-1-crack-1.jpg"
    first = httpx.get(url)
    assert "no-cache" in first.headers["cache-control"]
    again = httpx.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    picture.write_bytes(b"of another event that has the same id")
    other = httpx.get(url, headers={"If-None-Match": f'W/"of-a-proxy", {first.headers["etag"]}'})
    assert (other.status_code, other.content) == (200, b"of another event that has the same id")


def record_missing(served: Served, cause: str) -> None:
    with (served.state_dir / "clips" / "cam-1-crack-1.json").open("wb") as file:
        write_missing(file, defect(1), cause)


def test_a_clip_that_the_recorder_has_given_up_is_not_waited_for_and_has_its_reason(served: Served) -> None:
    served.happen(defect(1))
    record_missing(served, "stopped")
    eventually(lambda: missing(served)[1] == "not recorded: stopped", "the reason is not shown")


def test_a_clip_that_is_being_made_is_awaited_and_then_says_that_it_was_never_finished(
    served: Served, tmp_path: Path
) -> None:
    record_missing(served, "not_finished")
    served.happen(defect(1))
    eventually(lambda: missing(served)[1] == "being written", "it is not awaited")
    time.sleep(1.2)
    assert missing(served)[1] == "being written"
    old = media_of(aged(3600))
    old.clip_missing = "not_finished"
    card_of_old = old.card(RecorderConfig(), [])
    assert card_of_old["no_clip"] == "not recorded: the recorder was stopped before it was finished"


@pytest.mark.parametrize("content", [b"", b"{", b'{"version":1,"frames":[]}', b"x" * 100_000])
def test_a_list_of_frames_or_anything_else_is_no_record_of_a_missing_clip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "cam-1-crack-1.json").write_bytes(content)
    assert why_missing(tmp_path, "cam-1-crack-1") == ""
    assert why_missing(tmp_path, "cam-1-crack-2") == ""
