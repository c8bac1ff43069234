"""Frames and processes as the supervisor counts them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_inspect.web import status
from tests.web.served import Served, eventually


class Supervisor:
    """Answers /healthz as `service/health.py` does."""

    def __init__(self) -> None:
        self.code = 200
        self.document: Any = {
            "status": "ok",
            "processes": {"track": {"running": True, "restarts": 0, "silence_s": 0.1}},
            "frames": {name: frames(captured=0, judged=0) for name in ("left", "right")},
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.code)
                self.end_headers()
                self.wfile.write(json.dumps(outer.document).encode())

            def log_message(self, *args: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def frames(captured: int, judged: int, dropped: int = 0) -> dict[str, object]:
    return {
        "captured": captured,
        "judged": judged,
        "not_due": captured - judged - dropped,
        "dropped": {"capture.superseded": dropped} if dropped else {},
        "in_flight": 0,
        "residual": 0,
    }


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


@pytest.fixture
def served(tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(status, "_POLL_EVERY_S", 0.1)
    served = Served(tmp_path, metrics={"port": supervisor.port})
    yield served
    served.close()


def health_of(served: Served) -> dict[str, Any] | None:
    health: dict[str, Any] | None = httpx.get(f"{served.url}/api/status").json()["health"]
    return health


def test_rates_and_drops_of_all_cameras_together(served: Served, supervisor: Supervisor) -> None:
    eventually(lambda: health_of(served), "nothing is known")
    supervisor.document["frames"] = {"left": frames(250, 80, dropped=3), "right": frames(250, 80, dropped=4)}
    eventually(lambda: (health_of(served) or {}).get("captured") == 500, "the new counts are not seen")
    health = health_of(served)
    assert health is not None
    assert (health["judged"], health["dropped"], health["residual"], health["down"]) == (160, 7, 0, [])
    assert health["captured_fps"] == pytest.approx(health["judged_fps"] * 500 / 160, rel=0.05)


def test_a_process_that_is_down_is_named_though_the_answer_is_503(served: Served, supervisor: Supervisor) -> None:
    supervisor.code = 503
    supervisor.document["processes"]["inspect.0"] = {"running": False, "restarts": 1, "silence_s": 4.0}
    eventually(lambda: (health_of(served) or {}).get("down") == ["inspect.0"], "it is not named")


@pytest.mark.parametrize("document", ["nonsense", [1], {"status": "ok"}, {"frames": []}, {"frames": {"cam": 1}}])
def test_a_strange_answer_is_no_answer(served: Served, supervisor: Supervisor, document: object) -> None:
    eventually(lambda: health_of(served), "nothing is known")
    supervisor.document = document
    eventually(lambda: health_of(served) is None, "it was taken for an answer")


def test_a_program_at_that_port_that_does_not_speak_http_is_no_answer(served: Served, supervisor: Supervisor) -> None:
    eventually(lambda: health_of(served), "nothing is known")
    port = supervisor.port
    supervisor.close()
    with socket.create_server(("127.0.0.1", port)) as stranger:
        stranger.settimeout(5)
        for _ in range(3):
            with stranger.accept()[0] as asking:
                asking.recv(4096)
                asking.sendall(b"220 mail ready\r\n")
        eventually(lambda: health_of(served) is None, "it was taken for an answer")
    list(served.stage.tick(0))  # raises where the page has ended


def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert status._fetch(f"http://127.0.0.1:{supervisor.port}/healthz") == supervisor.document


def test_without_metrics_nothing_is_known(tmp_path: Path) -> None:
    served = Served(tmp_path)
    assert health_of(served) is None
    served.close()
