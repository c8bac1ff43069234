"""The page in a real Chromium: what the operator sees."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from stream_inspect.live.stage import LiveStage
from stream_inspect.messages import AnyMessage, Event, EventState, LivePicture, Tracked
from stream_inspect.record.stage import RecorderStage
from tests.record.filmed import Belt
from tests.web.served import Served, condition, config, defect

pytestmark = pytest.mark.slow

_ARGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGS)
        yield browser
        browser.close()


_NUMBER_IN_VIDEO = """() => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    const block = canvas.width / 20;
    let number = 0;
    for (let bit = 0; bit < 16; bit++)
        if (context.getImageData((bit + 1.5) * block, 1.5 * block, 1, 1).data[1] > 128) number += 1 << bit;
    return number;
}"""
"""Reads what `Belt.picture` has drawn."""


class Watched:
    """A page, and everything it has complained of."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": 1440, "height": 900})
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note_foreign)
        self._url = url
        self.page.goto(url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note_foreign(self, request: object) -> None:
        address = str(getattr(request, "url", ""))
        if not address.startswith((self._url, "blob:")):
            self.complaints.append(f"asks elsewhere: {address}")

    def brightness(self, camera: str = "cam") -> float:
        """Of the middle of a live picture as drawn."""
        script = """camera => {
            const canvas = document.querySelector(`[data-camera="${camera}"] canvas`);
            const context = canvas.getContext("2d");
            return context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0];
        }"""
        return float(self.page.evaluate(script, camera))

    def wait_for(self, script: str, timeout_s: float = 8.0) -> None:
        self.page.wait_for_function(script, timeout=timeout_s * 1000)


class Line:
    """A small line in this process: belt, recorder, live picture and page, run by a thread at 25 frames a second."""

    def __init__(self, folder: Path) -> None:
        (folder / "ring").mkdir()
        self.served = Served(folder / "state")
        self.belt = Belt(folder / "ring", width_px=1280, height_px=720)
        settings = config(folder / "state", recorder={"pre_roll_s": 0.8, "post_roll_s": 0.8})
        self._stages = (
            LiveStage(settings, ring_dir=folder / "ring"),
            RecorderStage(settings, ring_dir=folder / "ring", state_dir=folder / "state"),
        )
        self._stages[1].open()
        self._confirm = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def find_a_defect(self) -> None:
        self._confirm.set()

    def _run(self) -> None:
        seen_since: int | None = None
        while not self._stop.is_set():
            header = self.belt.shoot()
            batch: list[AnyMessage] = [header]
            if header.id.seq % 3 == 0:
                if self._confirm.is_set() and seen_since is None:
                    seen_since = header.id.seq
                if seen_since is not None and header.id.seq < seen_since + 20:
                    batch.append(self.belt.tracked(header, seen_since / 25))
                else:
                    batch.append(Tracked(frame=header, tracks=[]))
                if header.id.seq == seen_since:
                    event = self.belt.event(header)
                    self.served.happen(event)
                    batch.append(event)
            for stage in self._stages:
                list(stage.process(batch))
                for output in stage.tick(time.monotonic_ns()):
                    if isinstance(output.message, LivePicture):
                        list(self.served.stage.process([output.message]))
            time.sleep(0.025)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for stage in self._stages:
            stage.close()
        self.served.close()
        self.belt.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


def test_the_picture_moves_an_event_appears_and_its_clip_plays(browser: Browser, line: Line) -> None:
    watched = Watched(browser, line.served.url)
    page = watched.page
    expect(page.locator("#line")).to_have_text("press-7")
    expect(page.locator("#state")).to_have_text("RUNNING")
    canvas = page.locator('[data-camera="cam"] canvas')
    watched.wait_for("() => Number(document.querySelector('canvas').dataset.pictures) > 5")
    first = canvas.screenshot()
    page.wait_for_timeout(400)
    assert canvas.screenshot() != first, "the live picture stands still"

    expect(page.locator(".event")).to_have_count(0)
    line.find_a_defect()
    card = page.locator(".event.defect")
    expect(card).to_have_count(1, timeout=3000)
    expect(card).to_contain_text("crack")
    expect(card).to_contain_text("critical")
    expect(card).to_contain_text("score 0.71")
    expect(card).to_contain_text("10.0 \u00d7 10.0 mm")
    title = card.locator(".when").get_attribute("title")
    assert title is not None
    assert title.endswith(" UTC")
    expect(card.locator("img")).to_have_js_property("naturalWidth", 1280, timeout=5000)
    expect(card.locator(".play")).to_be_visible(timeout=10_000)

    card.click()
    watched.wait_for("() => document.querySelector('#video').currentTime > 0.5")
    size = page.evaluate("() => [video.videoWidth, video.videoHeight, video.duration, video.error]")
    assert size[:2] == [1280, 720]
    assert 1.5 < size[2] < 4
    page.keyboard.press("j")
    expect(page.locator("#viewer-message")).to_have_text("This is the judged frame.")
    watched.wait_for("() => video.paused && !video.seeking")
    page.wait_for_timeout(200)  # until the frame sought is the one painted
    judged = next(event.frame for _, event in line.served.store.recent(1))
    assert judged is not None
    assert page.evaluate(_NUMBER_IN_VIDEO) == judged.seq, "the player stands at the very frame that was judged"
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert watched.complaints == []
    page.close()


def test_the_page_comes_back_by_itself_when_the_service_is_restarted(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.show(1)
    served.happen(defect(1))
    watched = Watched(browser, served.url)
    expect(watched.page.locator(".event")).to_have_count(1)
    port = served.port
    served.close()
    expect(watched.page.locator("#state")).to_have_text("CONNECTION LOST", timeout=8000)
    expect(watched.page.locator(".camera.stale .notice")).to_have_text("connection lost")
    served = Served(tmp_path, web={"port": port})
    served.happen(defect(2))
    served.show(2)
    expect(watched.page.locator("#state")).to_have_text("RUNNING", timeout=8000)
    expect(watched.page.locator(".event")).to_have_count(2)
    watched.wait_for("() => document.querySelector('.camera.fresh')")
    watched.page.close()
    served.close()


def test_a_condition_is_seen_from_afar_and_goes_when_it_ends(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    served.happen(condition())
    banner = watched.page.locator(".banner")
    expect(banner).to_contain_text("cam: NO SIGNAL")
    expect(banner).to_contain_text("no frame for 1.5 s")
    expect(watched.page.locator("#state")).to_have_text("1 PROBLEM")
    expect(watched.page.locator(".camera.problem")).to_have_count(1)
    served.happen(condition(state=EventState.CLEARED))
    expect(watched.page.locator(".event.condition .name")).to_have_text("no signal \u2013 cleared")
    expect(banner).to_have_count(0)
    expect(watched.page.locator("#state")).to_have_text("RUNNING")
    assert watched.complaints == []
    watched.page.close()


def test_pictures_that_stop_are_not_taken_for_the_present(browser: Browser, served: Served) -> None:
    served.show(1)
    watched = Watched(browser, served.url)
    watched.wait_for("() => document.querySelector('.camera.fresh')")
    expect(watched.page.locator(".notice")).to_have_text("no picture for 4 s", timeout=8000)
    watched.page.close()


def test_many_cameras_are_all_shown(browser: Browser, tmp_path: Path) -> None:
    cameras = tuple(f"cam{number}" for number in range(12))
    served = Served(tmp_path, cameras=cameras)
    watched = Watched(browser, served.url)
    for round_number in range(3):
        for number, camera in enumerate(cameras):
            served.show(number * 10 + round_number, camera)
        watched.page.wait_for_timeout(200)
    watched.wait_for("() => document.querySelectorAll('.camera.fresh').length === 12")
    for number, camera in enumerate(cameras):
        assert abs(watched.brightness(camera) - (20 + (number * 10 + 2) * 13 % 200)) < 4
    assert watched.complaints == []
    watched.page.close()
    served.close()


def test_names_and_texts_from_outside_are_shown_as_text(browser: Browser, served: Served) -> None:
    evil: Event = msgspec.structs.replace(condition(), reason="<img src=x onerror=document.title='owned'>")
    watched = Watched(browser, served.url)
    served.happen(evil)
    expect(watched.page.locator(".banner")).to_contain_text("<img src=x")
    assert "owned" not in watched.page.title()
    assert watched.complaints == []
    watched.page.close()


def test_logging_in(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path, web={"token": "open sesame"})
    watched = Watched(browser, served.url)
    page = watched.page
    expect(page).to_have_url(f"{served.url}/login")
    expect(page.locator("#wrong")).to_be_hidden()
    page.fill("#token", "open please")
    page.click("button")
    expect(page.locator("#wrong")).to_be_visible()
    page.fill("#token", "open sesame")
    page.click("button")
    expect(page.locator("#line")).to_have_text("press-7")
    expect(page.locator("#state")).to_have_text("RUNNING")
    page.click("#logout button")
    expect(page.locator("#token")).to_be_visible()
    assert watched.complaints == []
    page.close()
    served.close()
