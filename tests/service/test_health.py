"""/metrics and /healthz, and clients that are none."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stream_inspect.config.models import MetricsConfig
from stream_inspect.messages import ActiveCondition, ConditionKind
from stream_inspect.service import health
from stream_inspect.service.health import HealthServer
from stream_inspect.transport.ledger import Totals


class Idle:
    """A supervisor without processes and cameras."""

    all_running = True
    children: tuple[()] = ()
    line_processes: tuple[()] = ()
    ended: tuple[()] = ()
    totals: ClassVar[dict[str, Any]] = {}
    conditions: tuple[ActiveCondition, ...] = ()
    judged_ages_s: ClassVar[dict[str, float]] = {}

    def __init__(self) -> None:
        self.watched_mono_s = time.monotonic() + 3600

    def ages_s(self, camera: str) -> tuple[float, float]:
        return 0.1, self.judged_ages_s[camera]

    def stuck_after_s(self, camera: str) -> float:
        return {"top": 10.0, "belt": 100.0}[camera]


@pytest.fixture
def supervisor() -> Idle:
    return Idle()


@pytest.fixture
def server(supervisor: Idle, tmp_path: Path) -> Iterator[HealthServer]:
    served = HealthServer(supervisor, MetricsConfig(port=0), str(tmp_path))  # type: ignore[arg-type]
    yield served
    served.close()


def connect(server: HealthServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def is_well(server: HealthServer) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as answer:
        return json.load(answer)["status"] == "ok"


def test_a_client_that_goes_away_leaves_nothing_in_the_log(server, capfd):
    rude = connect(server)
    rude.send(b"GET /metr")
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
    rude.close()
    time.sleep(0.3)
    assert is_well(server)
    assert capfd.readouterr().err == ""


def test_a_client_that_asks_nothing_is_let_go(server, monkeypatch, capfd):
    monkeypatch.setattr(health._SilentHandler, "timeout", 0.2)
    with connect(server) as silent:
        silent.send(b"GET /")
        assert silent.recv(1) == b"", "still connected"
    assert is_well(server)
    assert capfd.readouterr().err == ""


def test_a_camera_that_is_not_judged_degrades_the_health_and_is_named():
    supervisor = Idle()
    supervisor.conditions = (
        ActiveCondition(
            kind=ConditionKind.NOT_JUDGED,
            camera="top",
            source="supervisor",
            detail="0 of 24 due frames",
            since_utc_ns=1,
        ),
    )
    document = json.loads(json.dumps(health.health(supervisor)))  # type: ignore[arg-type]
    assert document["status"] == "degraded"
    assert document["conditions"] == [
        {
            "kind": "not_judged",
            "camera": "top",
            "source": "supervisor",
            "detail": "0 of 24 due frames",
            "since_utc_ns": 1,
        }
    ]


def test_a_camera_is_stuck_when_none_of_its_frames_has_been_judged_for_too_long_for_that_camera():
    supervisor = Idle()
    supervisor.totals = {"top": Totals(), "belt": Totals()}
    supervisor.judged_ages_s = {"top": 11.0, "belt": 90.0}
    document = health.health(supervisor)  # type: ignore[arg-type]
    assert (document["stuck"], document["status"]) == (["top"], "degraded")


def code(server: HealthServer, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_condition_is_no_reason_to_restart_the_service_and_a_supervisor_that_hangs_is_one(server, supervisor):
    assert (code(server, "/healthz"), code(server, "/livez")) == (200, 200)
    supervisor.conditions = (
        ActiveCondition(kind=ConditionKind.OUTPUT_FAILING, camera="", source="mqtt", detail="refused", since_utc_ns=1),
    )
    assert (code(server, "/healthz"), code(server, "/livez")) == (503, 200)
    supervisor.conditions = ()
    supervisor.watched_mono_s = time.monotonic() - 5
    assert (code(server, "/healthz"), code(server, "/livez")) == (503, 200), "the last lists are not the present"
    supervisor.watched_mono_s = time.monotonic() - 60
    assert (code(server, "/healthz"), code(server, "/livez")) == (503, 503)


def test_the_containers_health_check_asks_whether_a_restart_would_help():
    dockerfile = (Path(__file__).parents[2] / "deploy" / "Dockerfile").read_text()
    (address,) = re.findall(r"^ *CMD .*urlopen\('([^']+)'", dockerfile, re.MULTILINE)
    assert address == f"http://127.0.0.1:{MetricsConfig().port}/livez"
