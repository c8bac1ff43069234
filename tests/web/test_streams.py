"""Events and live pictures as they reach a browser."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from stream_inspect.config.models import RecorderConfig
from stream_inspect.decide.events import reference
from stream_inspect.messages import Event, LineStatus
from stream_inspect.store.database import StoreError
from stream_inspect.store.events import EventStore
from stream_inspect.web import feed
from stream_inspect.web import line as line_status
from stream_inspect.web.stage import WebStage
from tests.decide.scenes import header
from tests.web.served import Served, active, condition, config, defect, eventually


class Sse:
    """A browser's event source."""

    def __init__(self, served: Served) -> None:
        self._client = httpx.Client(timeout=5)
        self._response = self._client.stream("GET", f"{served.url}/api/events/stream")
        self._lines = self._response.__enter__().iter_lines()

    def next(self) -> tuple[str, dict[str, Any]]:
        name = ""
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        raise EOFError

    def next_change(self) -> dict[str, Any]:
        """The next message with cards in it."""
        while True:
            _, data = self.next()
            if data["events"]:
                return data

    def next_status(self, state: str) -> dict[str, Any]:
        """The status of the next message that has this state."""
        while True:
            _, data = self.next()
            if data["status"]["state"] == state:
                status: dict[str, Any] = data["status"]
                return status

    def close(self) -> None:
        self._response.__exit__(None, None, None)
        self._client.close()


@pytest.fixture
def sse(served: Served) -> Iterator[Sse]:
    source = Sse(served)
    yield source
    source.close()


def cards(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{served.url}/api/events").json()["events"]
    return found


def test_events_of_before_the_start_are_listed_newest_first(tmp_path: Path) -> None:
    first = Served(tmp_path)
    for n in (1, 2, 3):
        first.happen(defect(n))
    first.close()
    again = Served(tmp_path)
    eventually(lambda: len(cards(again)) == 3, "the events are not listed")
    assert [card["id"] for card in cards(again)] == [f"cam-1-crack-{n}" for n in (3, 2, 1)]
    card = cards(again)[0]
    assert (card["severity"], card["score"], card["length_mm"], card["width_mm"]) == ("critical", 0.71, 12.34, 0.51)
    assert len(httpx.get(f"{again.url}/api/events?limit=2").json()["events"]) == 2
    again.close()


def test_an_event_reaches_the_browser_at_once_and_its_files_when_they_are_there(served: Served, sse: Sse) -> None:
    assert sse.next()[0] == "snapshot"
    started_s = time.monotonic()
    served.happen(defect())
    (card,) = sse.next_change()["events"]
    assert time.monotonic() - started_s < 0.5
    assert (card["id"], card["picture"], card["clip"]) == ("cam-1-crack-1", None, None)
    (served.state_dir / "pictures" / "cam-1-crack-1.jpg").write_bytes(b"jpeg")
    (card,) = sse.next_change()["events"]
    assert (card["picture"], card["clip"]) == ("pictures/cam-1-crack-1.jpg", None)
    (served.state_dir / "clips" / "cam-1-crack-1.mp4").write_bytes(b"mp4")
    (card,) = sse.next_change()["events"]
    assert card["clip"] == "clips/cam-1-crack-1.mp4"


def test_an_event_with_a_frame_is_a_card_whether_or_not_the_frame_is_a_file(served: Served) -> None:
    for n, file in enumerate(("", "part_7.png"), start=1):
        frame = reference(msgspec.structs.replace(header(n), file=file))
        served.happen(msgspec.structs.replace(defect(n), frame=frame))
    cards = httpx.get(f"{served.url}/api/events").json()["events"]
    assert [(card["frame"], card["file"]) for card in reversed(cards)] == [([3, 1], None), ([3, 2], "part_7.png")]


def test_an_event_whose_message_is_lost_comes_from_the_log(served: Served, sse: Sse) -> None:
    sse.next()
    served.store.append([defect()])
    (card,) = sse.next_change()["events"]
    assert card["id"] == "cam-1-crack-1"


def test_the_state_and_the_conditions_are_those_of_the_status_and_come_at_once(served: Served, sse: Sse) -> None:
    assert sse.next()[1]["status"]["state"] == "unknown", "nothing is known yet"
    served.report("degraded", active())
    started_s = time.monotonic()
    (one,) = sse.next_status("degraded")["conditions"]
    assert time.monotonic() - started_s < 0.5
    assert (one["kind"], one["camera"]) == ("no_signal", "cam")
    assert (one["source"], one["detail"]) == ("capture.cam", "no frames")
    assert time.time() * 1000 - one["since_ms"] == pytest.approx(60_000, abs=2000)
    served.report("ok")
    assert sse.next_status("ok")["conditions"] == []


def test_a_status_that_stays_away_is_unknown_and_its_conditions_stay_listed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.report("ok", active())
    assert httpx.get(f"{served.url}/api/status").json()["state"] == "ok"
    served.fall_silent()
    monkeypatch.setattr(line_status, "SILENT_AFTER_S", 0.5)
    time.sleep(0.6)
    status = httpx.get(f"{served.url}/api/status").json()
    assert (status["state"], len(status["conditions"])) == ("unknown", 1)
    assert status["silent_s"] >= 0


def test_the_list_is_bounded(served: Served) -> None:
    served.store.append([defect(n) for n in range(1, 1501)])
    eventually(lambda: cards(served) and cards(served)[0]["id"] == "cam-1-crack-1500", "the newest is missing")
    assert len(httpx.get(f"{served.url}/api/events?limit=100000").json()["events"]) == 200


def live_parts(response: httpx.Response) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What the page's live.js reads."""
    held = b""
    chunks = response.iter_raw()

    def take(count: int) -> bytes:
        nonlocal held
        while len(held) < count:
            held += next(chunks)
        taken, held = held[:count], held[count:]
        return taken

    while True:
        head = json.loads(take(struct.unpack(">I", take(4))[0]))
        yield head, take(head["bytes"])


def test_one_stream_carries_the_pictures_of_all_cameras(tmp_path: Path) -> None:
    served = Served(tmp_path, cameras=("left", "right"))
    served.show(1, "left")
    served.show(2, "right")
    with httpx.stream("GET", f"{served.url}/api/live", timeout=5) as response:
        parts = live_parts(response)
        assert next(parts)[0]["camera"] is None, "a stream begins with a sign of itself, whatever the cameras do"
        assert [next(parts)[0]["camera"] for _ in range(2)] == ["left", "right"]
        served.show(3, "right")
        head, jpeg = next(parts)
        assert head["camera"] == "right"
        assert jpeg.startswith(b"\xff\xd8")
        assert next(parts) == ({"camera": None, "utc_ms": None, "fresh_ms": None, "bytes": 0}, b""), (
            "a sign of life without pictures"
        )
    served.close()


def test_a_camera_as_mjpeg(served: Served) -> None:
    served.show(1)
    with httpx.stream("GET", f"{served.url}/live/cam.mjpeg", timeout=5) as response:
        kind = response.headers["content-type"]
        assert kind.startswith("multipart/x-mixed-replace")
        boundary = b"--" + kind.partition("boundary=")[2].encode()
        held = b""
        for number, chunk in enumerate(response.iter_raw(), start=2):
            held += chunk
            if held.count(b"\xff\xd9") >= 3:
                break
            served.show(number)
    assert held.count(boundary) == 3
    assert httpx.get(f"{served.url}/live/nobody.mjpeg").status_code == 404


def test_a_slow_browser_sees_the_present_and_costs_no_memory(served: Served) -> None:
    raw = socket.create_connection(("127.0.0.1", served.port), timeout=5)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    raw.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.2)
    process = psutil.Process()
    before = process.memory_info().rss
    for number in range(400):
        served.show(number, size_bytes=500_000)  # 200 MB if they were kept
        time.sleep(0.001)
    assert process.memory_info().rss - before < 30_000_000
    held = b""
    raw.settimeout(3)
    while b'"bytes": 500001' not in held[-2_000_000:]:
        if len(held) > 100_000 and number == 399:
            number = 400
            served.show(number, size_bytes=500_001)
        held += raw.recv(1 << 20)
    assert len(held) < 5_000_000, "the newest picture comes after a few old ones, not after hundreds"
    raw.close()


def test_browsers_that_vanish_are_forgotten(served: Served) -> None:
    server = served.stage._server
    assert server is not None
    browsers = []
    for _ in range(30):
        raw = socket.create_connection(("127.0.0.1", served.port))
        raw.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        browsers.append(raw)
    eventually(lambda: len(server.server_state.tasks) >= 30, "the browsers are not served")
    for raw in browsers:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, as a crash would
        raw.close()
    for number in range(3):
        served.show(number)
    eventually(lambda: not server.server_state.tasks and not server.server_state.connections, "they are still served")


def test_stopping_does_not_wait_for_browsers(served: Served) -> None:
    threads = [
        threading.Thread(target=_look, args=(served.url + path,)) for path in ("/api/live", "/api/events/stream")
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    started_s = time.monotonic()
    served.stage.close()
    assert time.monotonic() - started_s < 1.0
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive(), "a browser is told that it is over"


def _look(url: str) -> None:
    try:
        with httpx.stream("GET", url, timeout=10) as response:
            for _ in response.iter_raw():
                pass
    except httpx.HTTPError:
        return


def test_a_log_that_cannot_be_read_is_said_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"not a database at all, for sure" * 400)
    stage = WebStage(config(tmp_path), store_path=path, state_dir=tmp_path)
    stage.open()
    list(stage.process([LineStatus(state="ok", conditions=[], mono_ns=time.monotonic_ns(), utc_ns=time.time_ns())]))
    eventually(lambda: httpx.get(f"{stage.url}healthz").status_code == 503, "a broken log is not noticed")
    assert httpx.get(f"{stage.url}api/status").json()["event_log"]
    path.unlink()
    store = EventStore(path)
    store.append([defect()])
    eventually(lambda: httpx.get(f"{stage.url}api/status").json()["event_log"] == "", "a mended log is not noticed")
    eventually(lambda: httpx.get(f"{stage.url}api/events").json()["events"], "its events are not read")
    store.close()
    stage.close()


class LateStore(EventStore):
    """Cannot be read at first, as while its disk is busy for too long; notes from where it was read afterwards."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_late = True
        self.cursors: list[int] = []

    def recent(self, limit: int, before: int | None = None, *, parts: bool = True) -> list[tuple[int, Event]]:
        if self.is_late:
            self.is_late = False
            raise StoreError("not now")
        return super().recent(limit, before, parts=parts)

    def after(self, cursor: int, limit: int) -> list[tuple[int, Event]]:
        self.cursors.append(cursor)
        return super().after(cursor, limit)


def test_a_log_that_cannot_be_read_at_first_is_not_read_from_its_beginning_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_LOOK_EVERY_S", 0.01)
    store = LateStore(tmp_path / "events.sqlite")
    store.append([defect(n) for n in (1, 2, 3)])

    async def follow() -> list[dict[str, Any]]:
        following = feed.EventFeed(lambda: store, tmp_path, RecorderConfig())
        task = asyncio.create_task(following.run())
        async with asyncio.timeout(10):
            while not store.cursors:
                await asyncio.sleep(0.01)
        task.cancel()
        return following.newest(10)

    assert [card["id"] for card in asyncio.run(follow())] == [f"cam-1-crack-{n}" for n in (3, 2, 1)]
    assert store.cursors[0] == 3


def test_after_a_restart_an_open_condition_stands_where_it_began(tmp_path: Path) -> None:
    first = Served(tmp_path)
    first.store.append([defect(1), condition(), defect(2)])
    first.close()
    again = Served(tmp_path)
    eventually(lambda: len(cards(again)) == 3, "the events are not listed")
    assert [card["name"] for card in cards(again)] == ["crack", "no_signal", "crack"]
    again.close()


def test_the_health_of_the_page_is_that_of_the_line(served: Served) -> None:
    def answer() -> tuple[int, str]:
        health = httpx.get(f"{served.url}/healthz")
        return health.status_code, health.json()["status"]

    assert answer() == (503, "unknown")
    served.report("starting")
    assert answer() == (503, "starting")
    served.report("ok")
    eventually(lambda: answer() == (200, "ok"), "it is not ok")
    served.report("degraded", active())
    assert answer() == (503, "degraded")
    (one,) = httpx.get(f"{served.url}/healthz").json()["conditions"]
    assert (one["kind"], one["camera"]) == ("no_signal", "cam")
    served.report("ok")
    served.fall_silent()
    eventually(lambda: answer() == (503, "unknown"), "a status of long ago is taken for the present", within_s=15)
