"""The parts on the page: counters whose sum closes, and the last verdicts with their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from stream_inspect.messages import Interval, PartDefect, PartsStatus, PartVerdict, Reason, Verdict
from stream_inspect.web.parts import SHOWN, Parts
from tests.web.chromium import Watched
from tests.web.served import Served

LINE = {"name": "press-7", "parts": {"kind": "background"}}
BELT = {"direction": "left_to_right", "speed_mm_s": 200, "mm_per_px": 0.5}


def verdict(
    part: int, given: Verdict = Verdict.PASS, why: str = "14 usable views, 3 needed", serial: str = "", defect: str = ""
) -> PartVerdict:
    found = [PartDefect(camera="cam", track=1, defect=defect, score=0.7, confirmed=True)] if defect else []
    return PartVerdict(
        line="press-7",
        part=part,
        lane=0,
        serial=serial,
        along=Interval(0.0, 100.0),
        verdict=given,
        reason=Reason.DEFECT if found else Reason.ENOUGH_VIEWS,
        why=why,
        views=14,
        defects=found,
        is_final=True,
    )


def status(*last: PartVerdict, entered: int = 0) -> PartsStatus:
    """All are on the belt that have no verdict here."""
    given = [one.verdict for one in last]
    counts = {"passed": Verdict.PASS, "failed": Verdict.FAIL, "undecided": Verdict.UNDECIDED}
    sums = {name: given.count(kind) for name, kind in counts.items()}
    return PartsStatus(line="press-7", entered=entered, on_belt=entered - len(given), last=list(last), **sums)


def shown(parts: Parts) -> list[int]:
    (line,) = parts.known()
    return [one["part"] for one in line["last"]]


def test_a_line_has_no_counts_before_the_first_status_and_then_those_of_the_last() -> None:
    parts = Parts(["press-7"])
    assert parts.known() == [{"line": "press-7", "counts": None, "last": []}]
    assert parts.put(status(verdict(1), entered=3))
    assert not parts.put(status(verdict(1), entered=3)), "what is repeated is no news"
    (line,) = parts.known()
    assert line["counts"] == {"in": 3, "pass": 1, "fail": 0, "undecided": 0, "on_belt": 2}


def test_the_last_verdicts_outlive_a_restart_of_what_gives_them_and_not_a_new_count() -> None:
    parts = Parts(["press-7"])
    parts.put(status(*(verdict(number) for number in range(1, 21)), entered=22))
    parts.put(status(verdict(23), entered=25))
    assert shown(parts) == [23, *range(20, 0, -1)]
    parts.put(status(*(verdict(number) for number in range(24, 41)), entered=42))
    assert shown(parts) == [*range(40, 22, -1), *range(20, 14, -1)]
    assert len(shown(parts)) == SHOWN
    parts.put(status(verdict(1), entered=1))
    assert shown(parts) == [1]


@pytest.fixture
def on_belt(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, camera={"belt": BELT}, lines=[LINE])
    served.report("ok")
    served.show(1, fresh_for_s=60)
    yield served
    served.close()


def texts(page: Page) -> dict[str, str]:
    """The counters by their titles."""
    return dict(
        page.eval_on_selector_all("#parts dl div", "all => all.map((one) => [...one.children].map((c) => c.innerText))")
    )


@pytest.mark.slow
def test_the_page_shows_the_last_parts_and_counters_whose_sum_closes(browser: Browser, on_belt: Served) -> None:
    watched = Watched(browser, on_belt.url)
    page = watched.page
    expect(page.locator("#parts")).to_be_visible()
    expect(page.locator("#parts .in dd")).to_have_text("\u2013")
    last = [
        verdict(1, serial="A-17", defect="crack", given=Verdict.FAIL, why="crack 0.71"),
        verdict(2),
        verdict(3, Verdict.UNDECIDED, "2 usable views, 3 needed; 4 not judged"),
    ]
    list(on_belt.stage.process([status(*last, entered=5)]))
    cards = page.locator("#parts .part")
    expect(cards).to_have_count(3)
    assert texts(page) == {"in": "5", "PASS": "1", "FAIL": "1", "UNDECIDED": "1", "on the belt": "2"}
    expect(cards.nth(0)).to_contain_text("UNDECIDED")
    expect(cards.nth(0)).to_contain_text("2 usable views, 3 needed; 4 not judged")
    expect(cards.nth(1)).to_contain_text("✓ PASS")
    for text in ("✕ FAIL", "#1", "crack", "A-17"):
        expect(cards.nth(2)).to_contain_text(text)
    assert "crack 0.71" in str(cards.nth(2).get_attribute("title"))
    page.reload()
    expect(cards).to_have_count(3, timeout=3000)
    assert texts(page)["in"] == "5", "at once, without waiting for the next status"
    assert watched.complaints == []
    page.close()


@pytest.mark.slow
def test_on_a_phone_the_parts_are_between_picture_and_events_and_nothing_is_wider(
    browser: Browser, on_belt: Served
) -> None:
    watched = Watched(browser, on_belt.url, 360, 740)
    page = watched.page
    list(on_belt.stage.process([status(*(verdict(number) for number in range(1, 20)), entered=1_234_567)]))
    expect(page.locator("#parts .part")).to_have_count(19)
    tops = page.evaluate("() => ['cameras', 'parts', 'events'].map((id) => document.getElementById(id).offsetTop)")
    assert tops == sorted(tops)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.close()


@pytest.mark.slow
def test_a_line_whose_parts_are_not_accounted_for_shows_none_of_it(browser: Browser, served: Served) -> None:
    served.report("ok")
    watched = Watched(browser, served.url)
    expect(watched.page.locator("#state")).to_have_text("OK")
    expect(watched.page.locator("#parts")).to_be_hidden()
    watched.page.close()
