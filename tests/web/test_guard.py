"""Who may see the page."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stream_inspect.config.models import Config
from stream_inspect.web import guard
from stream_inspect.web.guard import Token
from stream_inspect.web.stage import WebError, WebStage
from tests.web.served import Served, config, defect


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("guarded"), web={"token": "open sesame"})
    yield served
    served.close()


EVERYTHING = ["/", "/api/status", "/api/events", "/api/events/stream", "/api/live", "/live/cam.mjpeg", "/healthz"]
EVERYTHING += ["/clips/cam-1-crack-1.mp4", "/clips/cam-1-crack-1.json", "/pictures/cam-1-crack-1.jpg", "/static/app.js"]


def stage_for(settings: Config, folder: Path) -> WebStage:
    return WebStage(settings, store_path=folder / "events.sqlite", state_dir=folder)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "plant-pc"])
def test_an_address_that_others_reach_is_refused_without_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(WebError, match=r"set web\.token"):
        stage_for(config(tmp_path, web={"host": host}), tmp_path)


def test_a_blank_token_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(WebError, match=r"web\.token"):
        stage_for(config(tmp_path, web={"host": "0.0.0.0", "token": " "}), tmp_path)


def test_a_taken_port_is_named_with_what_to_set(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stage = stage_for(config(tmp_path, web={"port": port}), tmp_path)
        with pytest.raises(WebError, match=rf"port {port} .* set web\.port"):
            stage.open()
        stage.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.", "[::1", "a@localhost.x"]
)
def test_a_foreign_page_cannot_reach_us_by_its_own_name(served: Served, host: str) -> None:
    for path in ("/", "/api/events"):
        answer = httpx.get(served.url + path, headers={"Host": host})
        assert answer.status_code in (400, 421), f"{path} was given to {host!r}"
        assert "press-7" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]:80", "LOCALHOST"])
def test_this_computers_own_names_are_answered(served: Served, host: str) -> None:
    assert httpx.get(f"{served.url}/api/status", headers={"Host": host}).json()["line"] == "press-7"


@pytest.mark.parametrize("path", EVERYTHING)
def test_with_a_token_nothing_is_shown_without_it(guarded: Served, path: str) -> None:
    assert httpx.get(guarded.url + path).status_code == 401
    with_cookie = httpx.get(guarded.url + path, cookies={guard.COOKIE: "1795263501.00ff"})
    assert with_cookie.status_code == 401


def test_a_browser_without_the_token_gets_the_form(guarded: Served) -> None:
    answer = httpx.get(f"{guarded.url}/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "login")
    deeper = httpx.get(f"{guarded.url}/clips/cam-1-crack-1.mp4", headers={"Accept": "text/html"})
    assert (deeper.status_code, deeper.headers["location"]) == (303, "../login")
    form = httpx.get(f"{guarded.url}/login")
    assert 'type="password"' in form.text
    assert httpx.get(f"{guarded.url}/static/style.css").status_code == 200


def test_the_token_as_bearer(guarded: Served) -> None:
    right = httpx.get(f"{guarded.url}/api/status", headers={"Authorization": "Bearer open sesame"})
    assert right.json()["has_login"] is True
    for wrong in ("Bearer open", "Bearer", "Basic open sesame", "bearer \xe9"):
        answer = httpx.get(f"{guarded.url}/api/status", headers={"Authorization": wrong.encode("latin-1")})
        assert answer.status_code == 401
        assert answer.headers["connection"] == "close", "a refused client must not hold a connection"


def test_the_form_sets_a_cookie_that_opens_the_page_and_survives_a_restart(guarded: Served, tmp_path: Path) -> None:
    with httpx.Client(base_url=guarded.url) as browser:
        answer = browser.post("/login", data={"token": "open sesame"})
        assert (answer.status_code, answer.headers["location"]) == (303, "login?logged-in")
        set_cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in set_cookie.split(";")}
        assert "Path" not in set_cookie, "the browser takes the folder of the form, whatever it is under"
        assert "sesame" not in set_cookie
        assert browser.get("/api/status").status_code == 200
        cookie = browser.cookies[guard.COOKIE]
    same_token = Served(tmp_path / "again", web={"token": "open sesame"})
    other_token = Served(tmp_path / "other", web={"token": "changed"})
    assert httpx.get(f"{same_token.url}/api/status", cookies={guard.COOKIE: cookie}).status_code == 200
    assert httpx.get(f"{other_token.url}/api/status", cookies={guard.COOKIE: cookie}).status_code == 401
    same_token.close()
    other_token.close()


def test_a_wrong_token_in_the_form_is_told(guarded: Served) -> None:
    for body in ("token=wrong", "", "x=1", "token=%ff%fe"):
        answer = httpx.post(f"{guarded.url}/login", content=body)
        assert (answer.status_code, answer.headers["location"]) == (303, "login#wrong")
        assert "set-cookie" not in answer.headers
    assert httpx.post(f"{guarded.url}/login", content="token=" + "a" * 10_000).status_code == 413
    for site in ("cross-site", "same-site"):
        foreign = httpx.post(f"{guarded.url}/login", data={"token": "open sesame"}, headers={"Sec-Fetch-Site": site})
        assert (foreign.status_code, foreign.headers["location"]) == (303, "login#foreign")
        assert "set-cookie" not in foreign.headers


def test_a_browser_that_keeps_no_cookie_is_sent_back_with_the_reason(guarded: Served) -> None:
    answer = httpx.post(f"{guarded.url}/login", data={"token": "open sesame"})
    answer = httpx.get(f"{guarded.url}/{answer.headers['location']}")
    assert (answer.status_code, answer.headers["location"]) == (303, "login#no-cookie")


def test_the_cookie_of_a_page_further_up_the_path_does_not_hide_ours(guarded: Served) -> None:
    ours = Token("open sesame").new_cookie()
    for cookies in (
        f"{guard.COOKIE}={ours}; {guard.COOKIE}=1795263501.00ff",
        f"{guard.COOKIE}=x; {guard.COOKIE}={ours}",
    ):
        assert httpx.get(f"{guarded.url}/api/status", headers={"Cookie": cookies}).status_code == 200


def test_a_foreign_host_name_is_answered_with_what_to_set_and_needs_the_token_where_there_is_one(
    served: Served, guarded: Served
) -> None:
    foreign = {"Host": "portal.example"}
    answer = httpx.get(f"{served.url}/", headers=foreign)
    assert answer.status_code == 421
    assert "Set web.token" in answer.text
    assert httpx.get(f"{guarded.url}/api/status", headers=foreign).status_code == 401
    with_token = foreign | {"Authorization": "Bearer open sesame"}
    assert httpx.get(f"{guarded.url}/api/status", headers=with_token).status_code == 200


def test_logging_out_takes_the_cookie_away(guarded: Served) -> None:
    with httpx.Client(base_url=guarded.url) as browser:
        browser.post("/login", data={"token": "open sesame"})
        browser.post("/logout")
        assert browser.get("/api/status").status_code == 401


def test_a_cookie_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token("secret")
    cookie = token.new_cookie()
    assert token.accepts_cookie(cookie)
    issued, _, signature = cookie.partition(".")
    assert not token.accepts_cookie(f"{int(issued) + 1}.{signature}"), "the time is signed"
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 31 * 86400)
    assert not token.accepts_cookie(cookie)


def test_a_clock_that_is_set_back_logs_out_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    token = Token("secret")
    cookie = token.new_cookie()
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s - 3 * 3600)
    assert token.accepts_cookie(cookie)


@pytest.mark.parametrize("path", [*EVERYTHING[:3], "/nothing/here", "/clips/none.mp4", "/static/none.js"])
def test_every_answer_tells_the_browser_what_to_refuse(served: Served, path: str) -> None:
    headers = httpx.get(served.url + path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/clips/../events.sqlite",
        "/clips/..%2fevents.sqlite",
        "/clips/..%2f..%2fsecret.mp4",
        "/clips/%2e%2e/secret.mp4",
        "/clips/....//secret.mp4",
        "/clips//etc/passwd.mp4",
        "/clips/secret%00.mp4",
        "/clips/secret.mp4%00.mp4",
        "/pictures/..%5csecret.jpg",
        "/pictures/%c0%ae%c0%ae/secret.jpg",
        "/static/../stage.py",
        "/static/..%2fstage.py",
        "/static/%2e%2e/%2e%2e/topics.py",
    ],
)
def test_no_path_leads_out_of_the_folders(served: Served, path: str) -> None:
    for place in (
        served.state_dir / "secret.mp4",
        served.state_dir / "secret.jpg",
        served.state_dir.parent / "secret.mp4",
    ):
        place.write_bytes(b"SECRET")
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as raw:  # a client library would tidy the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    status, body = answer.split(b" ")[1], answer.partition(b"\r\n\r\n")[2]
    assert status in (b"404", b"400"), answer[:200]
    assert b"SECRET" not in body
    assert b"SQLite" not in body
    assert b"import" not in body


def test_the_token_is_nowhere_in_logs_and_pages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served = Served(tmp_path, web={"token": "open sesame"})
    served.happen(defect())
    headers = {"Authorization": "Bearer open sesame"}
    texts = [
        httpx.get(served.url + path, headers=headers).text for path in ("/", "/api/status", "/api/events", "/nothing")
    ]
    served.close()
    assert "sesame" not in "".join(texts) + caplog.text + repr(vars(served.stage))
