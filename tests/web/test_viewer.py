"""The viewer of one event: it waits for the clip, and marks the event's own defect."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, expect

from tests.web.chromium import Watched
from tests.web.small_line import Line

pytestmark = pytest.mark.slow


def test_a_viewer_opened_on_a_fresh_event_plays_the_clip_as_soon_as_it_is_there(browser: Browser, line: Line) -> None:
    watched = Watched(browser, line.served.url)
    page = watched.page
    line.find_a_defect()
    page.locator(".event.defect").click(timeout=5000)
    expect(page.locator("#viewer-message")).to_contain_text("Clip being written")
    expect(page.locator("#video")).to_be_hidden()
    expect(page.locator("#video")).to_be_visible(timeout=15_000)
    watched.wait_for("() => document.querySelector('#video').currentTime > 0.3")
    expect(page.locator("#viewer-message")).to_be_empty()
    expect(page.locator("#judged-frame")).to_be_enabled()
    assert watched.complaints == []
    page.close()


def test_a_clip_that_plays_is_not_begun_again_by_news_of_its_event(browser: Browser, line: Line) -> None:
    watched = Watched(browser, line.served.url)
    page = watched.page
    line.find_a_defect()
    expect(page.locator(".event .play")).to_be_visible(timeout=15_000)
    page.locator(".event.defect").click()
    watched.wait_for("() => document.querySelector('#video').currentTime > 0.3")
    page.evaluate("() => { window.loads = 0; video.onloadstart = () => window.loads++; }")
    event = line.served.store.recent(1)[0][1]
    line.served.happen(event)  # the same event once more: its card has changed
    page.wait_for_timeout(1500)
    assert page.evaluate("() => window.loads") == 0
    page.close()


def test_the_clip_marks_the_events_own_defect_where_it_is(browser: Browser, line: Line) -> None:
    watched = Watched(browser, line.served.url)
    page = watched.page
    line.find_a_defect()
    expect(page.locator(".event .play")).to_be_visible(timeout=15_000)
    page.locator(".event.defect").click()
    expect(page.locator("#viewer-facts")).to_contain_text("judged frame 1/")
    watched.wait_for("() => document.querySelector('#video').currentTime > 0.3")
    page.keyboard.press("j")
    watched.wait_for("() => video.paused && !video.seeking")
    expect(page.locator("#own")).to_be_visible()
    event = line.served.store.recent(1)[0][1]
    assert event.box_xyxy_px is not None
    place = page.evaluate("""() => {
        const own = document.querySelector("#own").getBoundingClientRect();
        const video = document.querySelector("#video").getBoundingClientRect();
        const scale = Math.min(video.width / 1280, video.height / 720);
        const left = video.left + (video.width - 1280 * scale) / 2;
        const top = video.top + (video.height - 720 * scale) / 2;
        return [own.left - left, own.top - top, own.right - left, own.bottom - top].map((px) => px / scale);
    }""")
    assert place == pytest.approx(event.box_xyxy_px, abs=3)
    listed = json.loads((line.served.state_dir / "clips" / f"{event.id}.json").read_bytes())
    (judged,) = (frame for frame in listed["frames"] if frame.get("judged"))
    assert judged["box_xyxy_px"] == pytest.approx(event.box_xyxy_px, abs=1)
    page.keyboard.press("Escape")
    page.close()
