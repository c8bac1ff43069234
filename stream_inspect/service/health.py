"""The one /metrics of a run, /healthz (what is wrong?) and /livez (would a restart help?), served by the supervisor so
that they outlive every stage."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

from stream_inspect.config.models import MetricsConfig
from stream_inspect.errors import StreamInspectError
from stream_inspect.service.supervisor import Supervisor
from stream_inspect.transport.ledger import Totals

_P = "stream_inspect_"
_WATCHED_WITHIN_S = 3.0
"""The supervisor checks everything ten times a second: what it last knew is not the present after this long."""
_LIVES_WITHIN_S = 30.0
"""A supervisor that has checked nothing for this long hangs. A system call on a disk may take seconds."""


class HealthError(StreamInspectError):
    """Cannot listen on the address. The text says what to set."""


class SupervisorCollector(Collector):
    """The ledger, the restarts and the heartbeats as Prometheus metrics."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        captured = CounterMetricFamily(_P + "frames_captured", "Frames captured.", labels=["camera"])
        judged = CounterMetricFamily(_P + "frames_judged", "Frames that went through the detector.", labels=["camera"])
        not_due = CounterMetricFamily(_P + "frames_not_due", "Frames that the sampler skipped.", labels=["camera"])
        dropped = CounterMetricFamily(
            _P + "frames_dropped", "Due frames not judged.", labels=["camera", "stage", "cause"]
        )
        in_flight = GaugeMetricFamily(_P + "frames_in_flight", "Frames on their way.", labels=["camera"])
        residual = GaugeMetricFamily(
            _P + "frames_residual", "captured - judged - not_due - dropped - in_flight; must be 0.", labels=["camera"]
        )
        for camera, totals in self._supervisor.totals.items():
            captured.add_metric([camera], totals.captured)
            judged.add_metric([camera], totals.judged)
            not_due.add_metric([camera], totals.not_due)
            for (stage, cause), count in totals.dropped.items():
                dropped.add_metric([camera, stage, cause], count)
            in_flight.add_metric([camera], totals.in_flight)
            residual.add_metric([camera], totals.residual)
        yield from (captured, judged, not_due, dropped, in_flight, residual)

        restarts = CounterMetricFamily(_P + "process_restarts", "Restarts of the process.", labels=["process"])
        up = GaugeMetricFamily(_P + "process_up", "1 while the process runs.", labels=["process"])
        silence = GaugeMetricFamily(
            _P + "process_silence_seconds", "Time since the last heartbeat.", labels=["process"]
        )
        for child in self._supervisor.children:
            restarts.add_metric([child.row.name], child.restarts)
            up.add_metric([child.row.name], child.running)
            silence.add_metric([child.row.name], self._supervisor.silence_s(child))
        for process in self._supervisor.line_processes:
            up.add_metric([process.row.name], process.running)
        yield from (restarts, up, silence)


def totals_as_dict(totals: Totals) -> dict[str, Any]:
    """captured = judged + not_due + dropped + in_flight + residual, as a dictionary for JSON and logs."""
    return {
        "captured": totals.captured,
        "judged": totals.judged,
        "not_due": totals.not_due,
        "dropped": {f"{stage}.{cause}": count for (stage, cause), count in sorted(totals.dropped.items())},
        "in_flight": totals.in_flight,
        "residual": totals.residual,
    }


def health(supervisor: Supervisor) -> dict[str, Any]:
    """The document of /healthz: `ok` if every process runs, no condition is active, and the ledger closes, as of now.

    `conditions` are the active ones of all sources, the same as in `LineStatus`.
    """
    processes: dict[str, dict[str, Any]] = {
        child.row.name: {
            "running": child.running,
            "restarts": child.restarts,
            "silence_s": round(supervisor.silence_s(child), 3),
        }
        for child in supervisor.children
    }
    processes |= {process.row.name: {"running": process.running} for process in supervisor.line_processes}
    ended = set(supervisor.ended)
    stuck = []
    frames = {}
    for camera, totals in supervisor.totals.items():
        captured_age_s, judged_age_s = supervisor.ages_s(camera)
        if camera not in ended and max(captured_age_s, judged_age_s) > supervisor.stuck_after_s(camera):
            stuck.append(camera)
        frames[camera] = {
            **totals_as_dict(totals),
            "captured_age_s": round(captured_age_s, 3),
            "judged_age_s": round(judged_age_s, 3),
            "ended": camera in ended,
        }
    watched_s = time.monotonic() - supervisor.watched_mono_s
    closes = all(totals.residual == 0 for totals in supervisor.totals.values())
    conditions = [msgspec.structs.asdict(one) for one in supervisor.conditions]
    ok = supervisor.all_running and closes and not stuck and not conditions and watched_s < _WATCHED_WITHIN_S
    return {
        "status": "ok" if ok else "degraded",
        "watched_age_s": round(watched_s, 3),
        "conditions": conditions,
        "stuck": stuck,
        "processes": processes,
        "frames": frames,
    }


class HealthServer:
    """Serves /metrics, /healthz and /livez from a thread until closed. `port` is the actual one."""

    def __init__(self, supervisor: Supervisor, config: MetricsConfig, metrics_dir: str) -> None:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=metrics_dir)  # type: ignore[no-untyped-call]
        registry.register(SupervisorCollector(supervisor))
        metrics_app = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                metrics: Iterable[bytes] = metrics_app(environ, start_response)
                return metrics
            if path == "/healthz":
                document = health(supervisor)
                status = "200 OK" if document["status"] == "ok" else "503 Service Unavailable"
                start_response(status, [("Content-Type", "application/json")])
                return [json.dumps(document, indent=1).encode()]
            if path == "/livez":
                lives = time.monotonic() - supervisor.watched_mono_s < _LIVES_WITHIN_S
                start_response("200 OK" if lives else "503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"ok\n" if lives else b"the supervisor hangs\n"]
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found; try /metrics, /healthz or /livez\n"]

        try:
            self._server = make_server(
                config.host, config.port, app, server_class=_Server, handler_class=_SilentHandler
            )
        except OSError as error:
            raise HealthError(
                f"cannot listen on {config.host}:{config.port} ({error.strerror}): set metrics.port (0: any free one)"
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away or sends nothing must not leave a traceback in the log."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _SilentHandler(WSGIRequestHandler):
    timeout = 10.0  # a connection that sends no request would keep its thread forever
    log_message: Callable[..., None] = lambda *_: None
