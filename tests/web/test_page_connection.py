"""The page and its two streams in a real Chromium: what is not known to be the present is never green."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.web.chromium import Watched
from tests.web.holding import HoldingProxy
from tests.web.served import Served

pytestmark = pytest.mark.slow

STATUS, STREAM, PICTURES = "/api/status", "/api/events/stream", "/api/live"
NOT_KNOWN = "\u2013"
_NOTED_STATES = """() => {
    window.states = [];
    const note = () => window.states.at(-1) === state.textContent || window.states.push(state.textContent);
    new MutationObserver(note).observe(state, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture
def proxy(served: Served) -> Iterator[HoldingProxy]:
    proxy = HoldingProxy(served.port)
    served.report("ok")
    yield proxy
    proxy.close()


def test_a_status_stream_that_stalls_is_a_lost_connection_although_pictures_come(browser, served, proxy):
    page = Watched(browser, proxy.url).page
    expect(page.locator("#state")).to_have_text("OK")
    proxy.hold(STREAM)
    _show_until(page, served, "CONNECTION LOST")
    expect(page.locator("#judged")).to_have_text(NOT_KNOWN)
    page.evaluate(_NOTED_STATES)
    for number in range(30):  # two more attempts: /api/status answers each time, and proves nothing for the stream
        served.show(number, fresh_for_s=60)
        page.wait_for_timeout(500)
    assert page.evaluate("states") == []
    proxy.hold()
    expect(page.locator("#state")).to_have_text("OK", timeout=15_000)
    page.close()


def test_pictures_that_stall_are_a_lost_connection_although_the_status_comes(browser, served, proxy):
    served.show(1, fresh_for_s=60)
    page = Watched(browser, proxy.url).page
    expect(page.locator("#state")).to_have_text("OK")
    expect(page.locator(".camera.fresh")).to_have_count(1)
    proxy.hold(PICTURES)
    expect(page.locator("#state")).to_have_text("CONNECTION LOST", timeout=15_000)
    expect(page.locator(".camera.stale .notice")).to_have_text("connection lost")
    page.evaluate(_NOTED_STATES)
    page.wait_for_timeout(10_000)
    assert page.evaluate("states") == []
    proxy.hold()
    expect(page.locator("#state")).to_have_text("OK", timeout=15_000)
    served.show(2)
    expect(page.locator(".camera.fresh")).to_have_count(1)
    page.close()


def test_a_page_whose_status_stream_never_begins_is_not_green(browser, served, proxy):
    proxy.hold(STREAM)
    page = browser.new_page()
    page.add_init_script(f"addEventListener('DOMContentLoaded', {_NOTED_STATES})")
    page.goto(proxy.url)
    _show_until(page, served, "CONNECTION LOST")
    assert "OK" not in page.evaluate("states")
    page.close()


def test_a_tab_that_is_shown_again_shows_nothing_of_before(browser, served, proxy):
    served.show(1, fresh_for_s=600)
    page = Watched(browser, proxy.url).page
    expect(page.locator("#state")).to_have_text("OK")
    expect(page.locator(".camera.fresh")).to_have_count(1)
    page.evaluate("document.querySelector('#judged').textContent = '8.0'")
    _set_hidden(page, hidden=True)
    expect(page.locator("#state.waiting")).to_have_text("CONNECTING")
    expect(page.locator("#judged")).to_have_text(NOT_KNOWN)
    assert page.title().startswith("CONNECTING")
    proxy.hold(STATUS, STREAM, PICTURES)
    _set_hidden(page, hidden=False)
    expect(page.locator(".camera")).to_have_attribute("data-state", "unknown")
    expect(page.locator(".camera.stale .notice")).to_have_text("connecting")
    # The request for the status is never answered: it is given up, and made again.
    expect(page.locator("#state")).to_have_text("CONNECTION LOST", timeout=15_000)
    proxy.hold()
    expect(page.locator("#state")).to_have_text("OK", timeout=15_000)
    expect(page.locator(".camera.fresh")).to_have_count(1)
    page.close()


def _show_until(page: Page, served: Served, state: str) -> None:
    for number in range(60):
        served.show(number, fresh_for_s=60)
        page.wait_for_timeout(250)
        if page.locator("#state").text_content() == state:
            return
    raise AssertionError(f"the page still says {page.locator('#state').text_content()!r} and not {state!r}")


def _set_hidden(page: Page, *, hidden: bool) -> None:
    """As the browser reports it when the tab goes to the background; a headless one has no background."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
