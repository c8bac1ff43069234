"""What the page says: reasons, times, and how alarming it looks."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from stream_inspect.messages import Clock, ConditionKind, FrameRef
from tests.web.chromium import Watched
from tests.web.served import Served, active, condition, defect

pytestmark = pytest.mark.slow

REFUSED, TIMED_OUT = "10.0.0.5:554: Connection refused", "10.0.0.6:554: no answer within 5 s"


def test_a_camera_says_the_reason_that_the_log_has(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path, cameras=("left", "right"))
    watched = Watched(browser, served.url)
    why = watched.page.locator('[data-camera="left"] .why')
    served.report("degraded", active(ConditionKind.NO_SIGNAL, "left", REFUSED))
    expect(why).to_contain_text(REFUSED)
    expect(watched.page.locator(".banner")).to_contain_text(REFUSED)
    both = [active(ConditionKind.NO_SIGNAL, "left", REFUSED), active(ConditionKind.NO_SIGNAL, "right", TIMED_OUT)]
    served.report("degraded", *both)
    expect(watched.page.locator(".banner")).to_contain_text(f"left: {REFUSED}; right: {TIMED_OUT}")
    watched.page.close()
    served.close()


def test_a_mistake_in_the_configuration_is_not_as_red_as_a_dead_camera(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    page = watched.page
    reason = 'line.yaml:14:5: expected a number, got "abc"'
    served.report("degraded", active(ConditionKind.PROMPTS_REFUSED, "", reason, source="inspect.0"))
    served.show(1, fresh_for_s=60)
    slip = msgspec.structs.replace(condition("prompts_refused", camera=""), reason=reason, severity="major")
    served.happen(slip)
    banner = page.locator(".banner")
    expect(banner).to_have_class("banner impaired")
    expect(banner).to_contain_text("press-7: CONFIGURATION CHANGE REJECTED")
    expect(banner).to_contain_text("the earlier values stay in use")
    expect(banner).to_contain_text(reason)
    expect(page.locator("#state")).to_have_class("state impaired")
    expect(page.locator('[data-camera="cam"]')).to_have_attribute("data-state", "ok")
    card = page.locator(".event.condition")
    expect(card).to_contain_text("the earlier values stay in use")
    expect(card).not_to_have_class(re.compile("critical"))
    page.close()


def test_an_event_of_a_single_picture_names_its_file(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    frame = FrameRef(
        session=1, seq=3, pts=3, pts_s=0.0, width_px=9, height_px=9, capture_mono_ns=0, capture_utc_ns=0,
        clock=Clock.MEDIA, file="IMG_7.png",
    )  # fmt: skip
    served.happen(msgspec.structs.replace(defect(1), frame=frame, score_seq=3, clip=None))
    expect(watched.page.locator(".event .facts")).to_contain_text("IMG_7.png")
    expect(watched.page.locator(".event .facts")).not_to_contain_text("in frame")
    watched.page.close()


def test_every_time_is_utc_and_says_so(browser: Browser, served: Served) -> None:
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(served.url)
    served.report("degraded", active())
    event = defect(1)
    served.happen(event)
    expect(page.locator("#clock")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d UTC$"))
    expect(page.locator(".banner")).to_contain_text(re.compile(r"since \d\d:\d\d:\d\d UTC"))
    when = page.locator(".event .when")
    expect(when).to_contain_text(re.compile(r"\d\d:\d\d:\d\d UTC"))
    shown = page.evaluate("() => document.querySelector('.event .when').textContent.slice(0, 8)")
    assert shown == page.evaluate(f"() => new Date({event.first_seen_utc_ns // 1_000_000}).toISOString().slice(11, 19)")
    title = when.get_attribute("title") or ""
    assert "on this computer" in title
    assert "GMT+9" in title or "JST" in title
    context.close()


def test_a_recording_that_ended_well_is_no_alarm(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path, cameras=("film", "live"))
    watched = Watched(browser, served.url)
    page = watched.page
    served.show(1, "live", fresh_for_s=60)
    served.report("ok", ended=["film"])
    tile = page.locator('[data-camera="film"]')
    expect(tile).to_have_attribute("data-state", "ended")
    expect(tile.locator(".why")).to_have_text("end of the recording")
    expect(page.locator("#state")).to_have_text("OK")
    expect(page.locator(".banner")).to_have_count(0)
    served.report("stopping", ended=["film", "live"])
    expect(page.locator("#state")).to_contain_text("STOPPING")
    served.close()
    expect(page.locator("#state.waiting")).to_have_text("FINISHED", timeout=8000)
    expect(page.locator(".banner")).to_contain_text("all recordings have been read to their end")
    page.close()


def test_a_stopped_service_is_not_a_lost_connection(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    served.report("stopping")
    expect(watched.page.locator("#state")).to_contain_text("STOPPING")
    served.close()
    expect(watched.page.locator("#state.impaired")).to_have_text("STOPPED", timeout=8000)
    expect(watched.page.locator(".banner")).to_contain_text("parts pass without inspection")
    watched.page.close()


def test_figures_fade_with_the_connection_and_keep_their_values(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    served.stage._health.known = {"captured_fps": 25.0, "judged_fps": 8.0, "dropped": 3, "down": []}
    served.report("ok")
    figures = watched.page.locator("#figures")
    expect(watched.page.locator("#captured")).to_have_text("25.0")
    expect(figures).not_to_have_class("old")
    served.close()
    expect(figures).to_have_class("old", timeout=8000)
    expect(watched.page.locator("#captured")).to_have_text("25.0")
    assert float(figures.evaluate("node => getComputedStyle(node).opacity")) < 0.5
    watched.page.close()


def test_a_start_says_when_judging_begins(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    served.report("starting", judging_in_s=12.3)
    expect(watched.page.locator("#state")).to_have_text("STARTING: judging in about 13 s")
    served.report("starting")
    expect(watched.page.locator("#state")).to_have_text("STARTING")
    watched.page.close()
