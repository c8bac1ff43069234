"""`stream-inspect check`: tries everything that a configuration needs and reports the findings. Changes nothing.

Each item has a time limit; none blocks the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from stream_inspect.commands.check.cameras import CLOCK_WAIT_S, Seen, check_camera, check_fit
from stream_inspect.commands.check.host import check_ports, check_ring, check_state
from stream_inspect.commands.check.models import check_devices, check_model, check_prompts, check_scope, check_tracker
from stream_inspect.commands.check.outputs import check_alert
from stream_inspect.commands.check.report import Report
from stream_inspect.config.base import Model, secrets_in
from stream_inspect.config.models import Config
from stream_inspect.config.secret import HOW
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.redact import SHORTEST_HIDDEN, redact
from stream_inspect.service.run_dir import is_running

AT_ONCE = 8
"""Items checked at the same time: cameras decode, and some computers have two cores."""
LIMIT_S = 15.0
_MODEL_LIMIT_S = 120.0
"""Hashing the weights of a large model from a slow disk, or importing torch, may take this long."""


@dataclass(slots=True)
class _Item:
    """One thing to check, in a thread of its own."""

    name: str
    run: Callable[[], list[Finding]]
    limit_s: float = LIMIT_S
    findings: list[Finding] = field(default_factory=list)
    """The results."""


def check(config: Config, *, found: Callable[[Finding], None] = lambda _: None) -> Report:
    """Check everything and report. `found` is called with each finding as it comes in."""
    running = is_running(config.state_dir)
    hidden = [secret.get_secret_value() for _, secret in secrets_in(config)]
    seen: list[Seen | None] = [None] * len(config.cameras)
    everything = [_summary(config), *_weak_secrets(config)]
    for finding in everything:
        found(finding)

    def add(findings: list[Finding]) -> None:
        for finding in findings:
            # Errors of libraries and plug-ins may quote our passwords.
            finding = replace(finding, text=redact(finding.text, hidden))
            everything.append(finding)
            found(finding)

    def camera(index: int) -> Callable[[], list[Finding]]:
        def run() -> list[Finding]:
            findings, seen[index] = check_camera(config.cameras[index], running)
            return findings

        return run

    items = [
        _Item(f"camera {each.name}", camera(index), _camera_limit_s(each.source))
        for index, each in enumerate(config.cameras)
    ]
    items.append(_Item("detector", lambda: check_model("detector", config.inspect.detector), _MODEL_LIMIT_S))
    if (segmenter := config.inspect.segmenter) is not None:
        items.append(_Item("segmenter", lambda: check_model("segmenter", segmenter), _MODEL_LIMIT_S))
    items.append(_Item("prompts", lambda: check_prompts(config)))
    items.append(_Item("models", lambda: check_scope(config)))
    items.append(_Item("workers", lambda: check_devices(config), _MODEL_LIMIT_S))
    items.append(_Item("tracker", lambda: check_tracker(config)))
    items += [_Item(f"alert {each.name}", lambda each=each: check_alert(each, config)) for each in config.alerts]  # type: ignore[misc]
    items.append(_Item("state_dir", lambda: check_state(config, running)))
    items.append(_Item("ports", lambda: check_ports(config, running)))
    _run(items, add)
    # After the cameras: their picture sizes decide how long a belt shows a defect, and how much memory the rings need.
    _run(
        [
            _Item("fit", lambda: check_fit(config, seen)),
            _Item("ring", lambda: check_ring(config, seen, running)),
        ],
        add,
    )
    return Report(tuple(everything))


def _run(items: Sequence[_Item], add: Callable[[list[Finding]], None]) -> None:
    for begin in range(0, len(items), AT_ONCE):
        group = items[begin : begin + AT_ONCE]
        threads = []
        for item in group:
            thread = threading.Thread(target=_try, args=(item,), name=f"check {item.name}", daemon=True)
            thread.start()
            threads.append(thread)
        started_s = time.monotonic()
        for item, thread in zip(group, threads, strict=True):
            thread.join(max(0.0, started_s + item.limit_s - time.monotonic()))
            # A thread that hangs is abandoned: a call into a driver cannot be ended from outside.
            add([fail(item.name, f"no answer within {item.limit_s:g} s")] if thread.is_alive() else item.findings)


def _try(item: _Item) -> None:
    try:
        item.findings = item.run()
    except Exception as error:  # a plug-in or a driver may raise anything; the other items must still be checked
        item.findings = [fail(item.name, f"failed: {type(error).__name__}: {error}")]


def _camera_limit_s(source: Model) -> float:
    return LIMIT_S + CLOCK_WAIT_S + float(getattr(source, "open_timeout_s", 0.0))


def _summary(config: Config) -> Finding:
    parts = ((config.cameras, "camera"), (config.defects, "defect"), (config.alerts, "alert"))
    counts = [f"{len(items)} {word}{'s' if len(items) != 1 else ''}" for items, word in parts]
    return ok("configuration", f"line {config.line}: {', '.join(counts)}")


def _weak_secrets(config: Config) -> Iterator[Finding]:
    for key, secret in secrets_in(config):
        if len(secret.get_secret_value()) < SHORTEST_HIDDEN:
            text = f"{key} has fewer than {SHORTEST_HIDDEN} characters: too short to be safe or to be hidden in logs"
            yield warn("configuration", text, "use a longer one")
        if secret.origin is None:
            yield warn("configuration", f"{key} is stored in plain text", f"{HOW} instead, and change the secret")
