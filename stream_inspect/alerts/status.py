"""How the line stands, for receivers that show it while no event is made: the retained status of an MQTT output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from stream_inspect.messages import CONDITION_REPEAT_S, ActiveCondition, LineStatus

STATUS_SCHEMA_VERSION = 1

SILENT_AFTER_S = 3 * CONDITION_REPEAT_S
"""Without a report of the supervisor for this long, nothing is known."""


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the line stands, as JSON.

    `ok`: every process works, the due frames of every camera are judged, and every output delivers. `degraded`: not so;
    `conditions` says what is wrong. `starting` and `stopping`: frames may pass unjudged meanwhile. `unknown`: the
    service has not reported for 6 s, or not yet. `offline`: the service is not running, or not connected.
    """

    version: int = STATUS_SCHEMA_VERSION
    state: Literal["ok", "degraded", "starting", "stopping", "unknown", "offline"]
    line: str
    host: str
    conditions: list[ActiveCondition] = []


class StatusBoard:
    """What the supervisor reported last, together with what the alerts stage itself knows of its outputs."""

    def __init__(self, line: str, host: str) -> None:
        self._line = line
        self._host = host
        self._last: LineStatus | None = None

    def heard(self, status: LineStatus) -> None:
        """The supervisor has reported."""
        self._last = status

    def report(self, outputs: Sequence[ActiveCondition], now_mono_ns: int) -> StatusReport:
        """How the line stands now; `outputs` are the conditions of the outputs."""
        last = self._last
        if last is None or now_mono_ns - last.mono_ns > SILENT_AFTER_S * 1e9:
            return StatusReport(state="unknown", line=self._line, host=self._host, conditions=list(outputs))
        known = {(one.kind, one.camera, one.source) for one in last.conditions}
        more = [one for one in outputs if (one.kind, one.camera, one.source) not in known]
        state = "degraded" if last.state == "ok" and more else last.state
        return StatusReport(state=state, line=self._line, host=self._host, conditions=[*last.conditions, *more])


def status_json(report: StatusReport) -> bytes:
    """The report's versioned JSON."""
    return msgspec.json.encode(report)


def status_schema() -> dict[str, Any]:
    """The report's JSON Schema, for its readers. `docs/status.schema.json` is this, committed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"stream_inspect status, version {STATUS_SCHEMA_VERSION}",
        **msgspec.json.schema(StatusReport),
    }
