"""The page in a real Chromium: what the operator sees."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from stream_inspect.messages import ConditionKind
from stream_inspect.service.plan import plan
from stream_inspect.web.app import STATIC
from tests.web.chromium import Watched
from tests.web.served import Served, active, condition, config, defect
from tests.web.small_line import Line

pytestmark = pytest.mark.slow

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


def test_the_picture_moves_an_event_appears_and_its_clip_plays(browser: Browser, line: Line) -> None:
    watched = Watched(browser, line.served.url)
    page = watched.page
    expect(page.locator("#line")).to_have_text("press-7")
    expect(page.locator("#state")).to_have_text("OK")
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
    served.report("ok")
    served.happen(defect(2))
    served.show(2)
    expect(watched.page.locator("#state")).to_have_text("OK", timeout=8000)
    expect(watched.page.locator(".event")).to_have_count(2)
    watched.wait_for("() => document.querySelector('.camera.fresh')")
    watched.page.close()
    served.close()


def test_a_condition_is_seen_from_afar_and_goes_when_it_ends(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    page = watched.page
    served.report("degraded", active())
    banner = page.locator(".banner.bad")
    expect(banner).to_contain_text("cam: NO SIGNAL")
    expect(banner).to_contain_text("no frames")
    expect(banner).to_contain_text("since ")
    expect(page.locator("#state.bad")).to_have_text("DEGRADED")
    assert page.title().startswith("DEGRADED")
    expect(page.locator('[data-camera="cam"]')).to_have_attribute("data-state", "bad")
    expect(page.locator('[data-camera="cam"] .why')).to_contain_text("no signal since ")
    served.report("ok")
    served.show(1)
    expect(banner).to_have_count(0)
    expect(page.locator("#state")).to_have_text("OK")
    expect(page.locator('[data-camera="cam"]')).to_have_attribute("data-state", "ok")
    assert watched.complaints == []
    page.close()


def test_state_banners_and_lamps_agree_in_every_state_of_the_line(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path, cameras=("left", "right"))
    watched = Watched(browser, served.url)
    page = watched.page

    def expect_line(state: str, kind: str, left: str, right: str, banners: list[str]) -> None:
        served.show(1, "left", fresh_for_s=60)
        served.show(1, "right", fresh_for_s=60)
        expect(page.locator(f"#state.{kind}")).to_have_text(state)
        expect(page.locator('[data-camera="left"]')).to_have_attribute("data-state", left)
        expect(page.locator('[data-camera="right"]')).to_have_attribute("data-state", right)
        expect(page.locator(".banner strong")).to_have_text(banners)

    served.report("starting")
    expect_line("STARTING", "waiting", "unknown", "unknown", [])
    served.report("ok")
    expect_line("OK", "ok", "ok", "ok", [])
    served.report(
        "degraded", active(ConditionKind.NOT_JUDGED, "left", "0 of 24 due frames of the last 3 s were judged")
    )
    expect_line("DEGRADED", "bad", "bad", "ok", ["left: NOT JUDGED"])
    served.report("degraded", active(ConditionKind.OVERLOAD, "right", "32 % of the due frames are dropped"))
    expect_line("DEGRADED", "impaired", "ok", "impaired", ["right: OVERLOAD"])
    expect(page.locator(".banner")).to_contain_text("32 % of the due frames are dropped")
    down = active(ConditionKind.PROCESS_DOWN, "", "track has failed 2 times in a row", source="track")
    served.report("degraded", down)
    expect_line("DEGRADED", "bad", "bad", "bad", ["track: PROCESS DOWN"])
    expect(page.locator(".banner")).to_contain_text("parts pass without inspection")
    crashing = active(ConditionKind.PROCESS_DOWN, "left", "capture.left has failed 2 times in a row")
    served.report("degraded", crashing)
    expect_line("DEGRADED", "bad", "bad", "ok", ["left: PROCESS DOWN"])
    worker = active(ConditionKind.PROCESS_DOWN, "", "inspect.1 has failed 2 times in a row", source="inspect.1")
    served.report("degraded", worker)
    expect_line("DEGRADED", "bad", "impaired", "impaired", ["inspect.1: PROCESS DOWN"])
    recorder = active(ConditionKind.PROCESS_DOWN, "", "recorder has failed 2 times in a row", source="recorder")
    served.report("degraded", recorder)
    expect_line("DEGRADED", "impaired", "ok", "ok", ["recorder: PROCESS DOWN"])
    expect(page.locator(".banner")).to_contain_text("new events have no picture and no clip")
    served.report("degraded", recorder, crashing)
    expect_line("DEGRADED", "bad", "bad", "ok", ["left: PROCESS DOWN", "recorder: PROCESS DOWN"])
    output = active(ConditionKind.OUTPUT_FAILING, "", "16 events waiting: connection refused", source="mqtt")
    served.report("degraded", output)
    expect_line("DEGRADED", "impaired", "ok", "ok", ["mqtt: OUTPUT FAILING"])
    both = [active(ConditionKind.NO_SIGNAL, camera) for camera in ("left", "right")]
    served.report("degraded", output, *both)
    expect_line("DEGRADED", "bad", "bad", "bad", ["left, right: NO SIGNAL", "mqtt: OUTPUT FAILING"])
    served.report("degraded")
    expect_line("DEGRADED", "impaired", "ok", "ok", ["a process: RESTARTING"])
    served.report("ok")
    expect_line("OK", "ok", "ok", "ok", [])
    assert watched.complaints == []
    page.close()
    served.close()


def test_without_a_status_nothing_is_green(browser: Browser, served: Served) -> None:
    watched = Watched(browser, served.url)
    served.show(1, fresh_for_s=60)
    tile = watched.page.locator('[data-camera="cam"]')
    expect(tile).to_have_attribute("data-state", "unknown")
    served.report("ok")
    expect(tile).to_have_attribute("data-state", "ok")
    served.fall_silent()
    expect(watched.page.locator("#state.lost")).to_contain_text("NO STATUS FOR", timeout=15_000)
    expect(tile).to_have_attribute("data-state", "unknown")
    expect(watched.page.locator(".banner")).to_contain_text("press-7: NO STATUS")
    watched.page.close()


def test_every_kind_of_condition_has_words_on_the_page() -> None:
    script = (STATIC / "conditions.js").read_text()
    assert [kind for kind in ConditionKind if f"  {kind}: {{ title: " not in script] == []


def test_every_process_that_judging_can_do_without_is_named_on_the_page(tmp_path: Path) -> None:
    script = (STATIC / "conditions.js").read_text()
    named = set(re.findall(r"  (\w+): \{ title: \"process down\"", script)) - {ConditionKind.PROCESS_DOWN}
    outputs = {
        row.name for row in plan(config(tmp_path, alerts=[{"kind": "file"}])).rows if row.stop_group == "outputs"
    }
    assert named == outputs | {"inspect", "plant"}


def test_pictures_that_stop_are_not_taken_for_the_present(browser: Browser, served: Served) -> None:
    served.report("ok")
    served.show(1)
    watched = Watched(browser, served.url)
    watched.wait_for("() => document.querySelector('.camera.fresh')")
    expect(watched.page.locator(".notice")).to_have_text("no picture for 3 s", timeout=8000)
    expect(watched.page.locator('[data-camera="cam"]')).not_to_have_attribute("data-state", "ok")
    watched.page.close()


def test_the_picture_of_a_slow_camera_stays_the_present_for_its_own_time(browser: Browser, served: Served) -> None:
    served.show(1, fresh_for_s=8)
    watched = Watched(browser, served.url)
    watched.wait_for("() => document.querySelector('.camera.fresh')")
    watched.page.wait_for_timeout(5000)
    expect(watched.page.locator(".camera.fresh")).to_have_count(1, timeout=10)
    expect(watched.page.locator(".camera.stale")).to_have_count(1, timeout=8000)
    watched.page.close()


def test_a_slow_computer_shows_the_newest_picture_and_not_a_queue_of_old_ones(browser: Browser, served: Served) -> None:
    page = browser.new_page()
    page.add_init_script("""
        const real = createImageBitmap;
        window.createImageBitmap = async (blob) => {
            await new Promise((done) => setTimeout(done, 400));
            return real(blob);
        };
    """)
    page.goto(served.url)
    for number in range(60):
        served.show(number)
        page.wait_for_timeout(30)
    gray = 20 + 59 * 13 % 200
    page.wait_for_function(
        f"""() => {{
            const canvas = document.querySelector("canvas");
            return Math.abs(canvas.getContext("2d").getImageData(9, 9, 1, 1).data[0] - {gray}) < 4;
        }}""",
        timeout=3000,
    )
    page.close()


def test_a_picture_that_is_missing_says_why_on_its_card_and_in_the_viewer(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path, recorder={"enabled": False})
    served.happen(defect(1))
    picture = served.state_dir / "pictures" / "cam-1-crack-2.jpg"
    picture.write_bytes(b"to be removed")
    served.happen(defect(2))
    watched = Watched(browser, served.url)
    page = watched.page
    never, removed = (page.locator(f'[data-id="cam-1-crack-{n}"] .missing') for n in (1, 2))
    expect(never).to_have_text("picture not recorded: recorder off")
    expect(removed).to_have_text("picture could not be loaded")
    page.locator('[data-id="cam-1-crack-1"]').click()
    expect(page.locator("#viewer-message")).to_have_text(
        "Picture not recorded: recorder off. Clip not recorded: recorder off."
    )
    picture.unlink()
    page.reload()
    expect(removed).to_have_text("picture removed")
    page.close()
    served.close()


def test_the_picture_of_an_event_is_not_that_of_an_earlier_one_with_its_id(browser: Browser, tmp_path: Path) -> None:
    """Ids are unique within one state folder, and another may take its place: the demo starts with a new one."""
    page, port = browser.new_page(), 0
    for number, width_px in enumerate((64, 96)):
        served = Served(tmp_path / str(number), web={"port": port})
        port = served.port
        (served.state_dir / "pictures" / "cam-1-crack-1.jpg").write_bytes(jpeg(width_px))
        served.happen(defect(1))
        page.goto(served.url)
        expect(page.locator(".event img")).to_have_js_property("naturalWidth", width_px)
        served.close()
    page.close()


def test_a_picture_that_could_not_be_loaded_for_a_while_is_shown_afterwards(browser: Browser, served: Served) -> None:
    picture = served.state_dir / "pictures" / "cam-1-crack-1.jpg"
    picture.write_bytes(b"what a failing disk answers")
    served.happen(defect(1))
    page = browser.new_page()
    page.goto(served.url)
    expect(page.locator(".event .missing")).to_have_text("picture could not be loaded")
    picture.write_bytes(jpeg(64))
    expect(page.locator(".event img")).to_have_js_property("naturalWidth", 64, timeout=15_000)
    expect(page.locator(".event .missing")).to_have_count(0)
    page.close()


def jpeg(width_px: int) -> bytes:
    return cv2.imencode(".jpg", np.zeros((48, width_px, 3), np.uint8))[1].tobytes()


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
    evil = "<img src=x onerror=document.title='owned'>"
    watched = Watched(browser, served.url)
    served.report("degraded", active(detail=evil))
    served.happen(msgspec.structs.replace(condition(), reason=evil))
    expect(watched.page.locator(".banner")).to_contain_text("<img src=x")
    expect(watched.page.locator(".event.condition")).to_contain_text("<img src=x")
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
    served.report("ok")
    expect(page.locator("#state")).to_have_text("OK")
    page.click("#logout button")
    expect(page.locator("#token")).to_be_visible()
    assert watched.complaints == []
    page.close()
    served.close()
