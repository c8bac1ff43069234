"""The viewer of one event: it waits for the clip, and marks the event's own defect."""

from __future__ import annotations

import json

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from tests.web.chromium import Watched
from tests.web.served import defect
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


def playing(browser: Browser, line: Line) -> Watched:
    """The page with the clip of the line's first defect, which has begun to play."""
    watched = Watched(browser, line.served.url)
    line.find_a_defect()
    expect(watched.page.locator(".event .play")).to_be_visible(timeout=15_000)
    watched.page.locator(".event.defect").click()
    watched.wait_for("() => document.querySelector('#video').currentTime > 0.3")
    return watched


def test_a_clip_that_plays_is_not_begun_again_by_news_of_its_event(browser: Browser, line: Line) -> None:
    page = playing(browser, line).page
    page.evaluate("() => { window.loads = 0; video.onloadstart = () => window.loads++; }")
    event = line.served.store.recent(1)[0][1]
    line.served.happen(event)  # the same event once more: its card has changed
    page.wait_for_timeout(1500)
    assert page.evaluate("() => window.loads") == 0
    page.close()


def test_an_event_without_a_clip_has_no_judged_frame_to_go_to(browser: Browser, line: Line) -> None:
    watched = playing(browser, line)
    page = watched.page
    line.served.happen(msgspec.structs.replace(defect(7), clip=None))
    expect(page.locator(".event.defect")).to_have_count(2)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer-facts")).to_contain_text("cam-1-crack-7")
    page.keyboard.press("j")
    page.wait_for_timeout(500)
    expect(page.locator("#viewer-message")).not_to_contain_text("judged frame")
    page.close()


def test_the_clip_marks_the_events_own_defect_where_it_is(browser: Browser, line: Line) -> None:
    watched = playing(browser, line)
    page = watched.page
    expect(page.locator("#viewer-facts")).to_contain_text("judged frame 1/")
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
