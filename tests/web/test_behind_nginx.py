"""The page below a path of a real nginx with its defaults, in a real Chromium."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.web.chromium import Watched
from tests.web.served import Served, defect, eventually

pytestmark = pytest.mark.slow

_EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
_CONF = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_read_timeout 4s;  # instead of the default 60 s: a stream that is silent for longer is cut
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "another page"; }}
{locations}
  }}
}}
"""


class Nginx:
    """nginx on a port of 127.0.0.1, with these locations."""

    def __init__(self, folder: Path, *locations: str) -> None:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("nginx is not installed")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder.mkdir()
        conf = folder / "nginx.conf"
        conf.write_text(_CONF.format(folder=folder, port=port, locations="\n".join(locations)))
        self.url = f"http://localhost:{port}"
        self._process = subprocess.Popen([program, "-c", str(conf), "-e", str(folder / "error.log")])
        eventually(self._answers, "nginx does not answer")

    def _answers(self) -> bool:
        assert self._process.poll() is None, "nginx exited"
        try:
            return httpx.get(self.url).text == "another page"
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def plain(served: Served, path: str = "/inspect/") -> str:
    """What anybody writes first."""
    return f"location {path} {{ proxy_pass http://127.0.0.1:{served.port}/; }}"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "state", web={"token": "open sesame"})
    yield served
    served.close()


def test_the_page_works_below_a_path_with_login_streams_pictures_and_clips(
    browser: Browser, guarded: Served, tmp_path: Path
) -> None:
    nginx = Nginx(tmp_path / "nginx", plain(guarded))
    guarded.report("ok")
    watched = Watched(browser, f"{nginx.url}/inspect/")
    page = watched.page
    expect(page).to_have_url(f"{nginx.url}/inspect/login")
    page.fill("#token", "open please")
    page.click("button")
    expect(page.locator("#wrong")).to_be_visible()
    page.fill("#token", "open sesame")
    page.click("button")
    expect(page).to_have_url(f"{nginx.url}/inspect/")
    expect(page.locator("#state")).to_have_text("OK")

    for number in range(3):  # each comes by itself: nothing waits for a buffer to fill
        guarded.show(number)
        watched.wait_for(f"() => Number(document.querySelector('canvas').dataset.pictures) > {number}", timeout_s=3)
    for path in ("pictures/cam-1-crack-1.jpg", "clips/cam-1-crack-1.mp4"):
        (guarded.state_dir / path).write_bytes(b"not a picture")
    guarded.happen(defect(1))
    card = page.locator(".event.defect")
    expect(card).to_have_count(1, timeout=3000)
    expect(card.locator(".play")).to_be_visible()
    with page.expect_response(f"{nginx.url}/inspect/clips/cam-1-crack-1.mp4") as response:
        card.click()
    assert response.value.ok
    page.keyboard.press("Escape")
    page.wait_for_timeout(6000)  # longer than the proxy waits for a silent stream
    expect(page.locator("#state")).to_have_text("OK", timeout=10)
    page.click("#logout button")
    expect(page).to_have_url(f"{nginx.url}/inspect/login")
    page.close()
    nginx.close()


def test_two_lines_below_one_host_do_not_log_each_other_out(browser: Browser, tmp_path: Path) -> None:
    lines = [Served(tmp_path / name, web={"token": name}) for name in ("left", "right")]
    nginx = Nginx(tmp_path / "nginx", plain(lines[0], "/left/"), plain(lines[1], "/left/right/"))
    context = browser.new_context()
    page = context.new_page()
    for path, token in (("left/right", "right"), ("left", "left"), ("left/right", "right")):
        page.goto(f"{nginx.url}/{path}/")
        if page.url.endswith("/login"):
            page.fill("#token", token)
            page.click("button")
        expect(page).to_have_url(f"{nginx.url}/{path}/")
    assert len(context.cookies()) == 2
    context.close()
    nginx.close()
    for line in lines:
        line.close()


def test_the_example_in_deploy_is_good(guarded: Served, tmp_path: Path) -> None:
    example = _EXAMPLE.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{guarded.port}")
    nginx = Nginx(tmp_path / "nginx", example)
    with httpx.Client(base_url=f"{nginx.url}/inspect/", follow_redirects=True) as client:
        assert client.get("", headers={"Accept": "text/html"}).url.path == "/inspect/login"
        assert client.post("login", data={"token": "open sesame"}).url.path == "/inspect/"
        assert client.get("api/status").json()["line"] == "press-7"
        for stream in ("api/events/stream", "api/live", "live/cam.mjpeg"):
            guarded.show(1)
            with client.stream("GET", stream) as answer:
                assert next(answer.iter_raw()), stream
        no_slash = client.get(f"{nginx.url}/inspect")
        assert no_slash.url.path == "/inspect/"
    nginx.close()


@pytest.mark.parametrize("header", ["proxy_set_header Host $host;", ""])
def test_the_host_header_that_a_proxy_sends_makes_no_difference_with_a_token(
    guarded: Served, tmp_path: Path, header: str
) -> None:
    location = f"location /inspect/ {{ proxy_pass http://127.0.0.1:{guarded.port}/; {header} }}"
    nginx = Nginx(tmp_path / "nginx", location)
    as_portal = {"Host": "portal.example", "Origin": "http://portal.example"}
    answer = httpx.post(f"{nginx.url}/inspect/login", data={"token": "open sesame"}, headers=as_portal)
    assert (answer.status_code, answer.headers["location"]) == (303, "login?logged-in")
    nginx.close()
