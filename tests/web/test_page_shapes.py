"""Cameras of any shape are shown whole, with the row that has their name, in windows of any shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from stream_inspect.messages import ConditionKind
from tests.web.chromium import Watched
from tests.web.served import Served, active

pytestmark = pytest.mark.slow

SHAPES = {"square": (512, 512), "portrait": (304, 540), "wide": (1920, 240), "hd": (960, 540)}
WINDOWS = [(1440, 900), (1024, 700), (1920, 1080), (800, 1200)]
_TILES = """() => [...document.querySelectorAll(".camera")].map((tile) => {
    const part = (name) => box(tile.querySelector(name));
    const box = (node) => { const b = node.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
    const canvas = tile.querySelector("canvas");
    const style = getComputedStyle(canvas);
    return {
        name: tile.dataset.camera, tile: box(tile), picture: box(canvas), caption: part("figcaption"),
        row: part(".label"), fit: style.objectFit, size: [canvas.width, canvas.height],
    };
})"""


def tiles_of(page: Page, count: int) -> list[dict[str, list[float]]]:
    page.wait_for_function(f"() => document.querySelectorAll('canvas[data-pictures]').length === {count}", timeout=8000)
    page.wait_for_timeout(200)
    return list(page.evaluate(_TILES))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("cameras", [("square",), ("portrait",), ("wide",), ("hd",), tuple(SHAPES)], ids=str)
def test_every_picture_is_whole_above_its_name_within_the_window(
    browser: Browser, tmp_path: Path, cameras: tuple[str, ...], window: tuple[int, int]
) -> None:
    served = Served(tmp_path, cameras=cameras)
    reason = "192.168.1.20:554: Connection refused, and some more words than there is room for"
    served.report("degraded", active(ConditionKind.NO_SIGNAL, cameras[0], reason))
    watched = Watched(browser, served.url, *window)
    for camera in cameras:
        served.show(1, camera, fresh_for_s=60, size_px=SHAPES[camera])
    page = watched.page
    tiles = tiles_of(page, len(cameras))
    is_stacked = window[0] <= 1000
    view_px = (
        window[1]
        if is_stacked
        else page.evaluate("() => document.querySelector('main').getBoundingClientRect().bottom")
    )
    for tile in tiles:
        left, top, right, bottom = tile["picture"]
        assert (tile["fit"], tuple(tile["size"])) == ("contain", SHAPES[str(tile["name"])])
        assert right - left > 120
        assert bottom - top > 40
        assert tile["tile"][0] <= left
        assert right <= tile["tile"][2]
        assert bottom <= tile["caption"][1] + 1, "the picture ends above the name"
        assert tile["row"][3] <= tile["tile"][3], "the name row is within the tile"
        assert tile["tile"][3] - tile["tile"][1] <= view_px, "a tile can be seen whole"
        if not is_stacked and len(cameras) == 1:
            assert tile["tile"][3] <= view_px, "without scrolling"
    assert watched.complaints == []
    page.close()
    served.close()


def test_a_single_picture_uses_the_room_that_it_has(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.report("ok")
    watched = Watched(browser, served.url)
    for size_px in ((512, 512), (304, 540), (960, 540)):  # the camera changes its shape
        served.show(1, fresh_for_s=60, size_px=size_px)
        watched.wait_for(
            f"() => document.querySelector('canvas').height === {size_px[1]} && "
            f"document.querySelector('canvas').width === {size_px[0]}"
        )
        (tile,) = tiles_of(watched.page, 1)
        main = watched.page.evaluate(
            "() => [document.querySelector('#cameras').clientWidth, document.querySelector('main').clientHeight]"
        )
        left, top, right, bottom = tile["picture"]
        assert abs((right - left) / (bottom - top) - size_px[0] / size_px[1]) < 0.02, "no black stripes"
        assert right - left > 0.9 * main[0] or bottom - top > 0.85 * main[1]
    watched.page.close()
    served.close()
