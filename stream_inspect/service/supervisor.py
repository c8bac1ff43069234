"""The local supervisor: starts the rows of the plan that live with the run, watches, restarts and stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stream_inspect import log
from stream_inspect.config.models import Config
from stream_inspect.messages import ActiveCondition, ConditionKind, LineState
from stream_inspect.service.conditions import SupervisorConditions
from stream_inspect.service.event_log import EventLogWatch
from stream_inspect.service.frame_rate import FrameRateWatch
from stream_inspect.service.heartbeats import HeartbeatTable, ProcessState
from stream_inspect.service.judging import WITHIN_S, JudgingWatch, stuck_after_s
from stream_inspect.service.last_error import exit_text, take_error
from stream_inspect.service.line_process import is_present, make_line_dir
from stream_inspect.service.overload import OverloadWatch
from stream_inspect.service.plan import SUPERVISOR, Row, plan
from stream_inspect.service.process import FAILURES_LOGGED, LOG_FD, LaunchSpec
from stream_inspect.service.process_down import Failures, absent_detail, unresponsive_detail
from stream_inspect.service.residual import ResidualWatch
from stream_inspect.service.run_dir import RunDir, heartbeats_path, last_error_path, ledger_path, metrics_path
from stream_inspect.service.start_time import StartTime
from stream_inspect.service.stray_output import StrayOutput
from stream_inspect.store.files import line_dir
from stream_inspect.tiny.scope import cameras_out_of_scope
from stream_inspect.transport.ledger import Ledger, LedgerKeeper, Totals, next_owner
from stream_inspect.transport.zmq import ZmqChannels

WATCH_EVERY_S = 0.1
KILLED_WITHIN_S = 2.0
"""A killed process has exited long before, even on a crowded machine, unless it is stuck in the kernel."""
SOURCES_WAIT_S = 30.0
"""Sources start when what their mailboxes lead to runs, or after this long: a missing model must not hide the picture.
"""
_STDERR = 2
_HANGS_AFTER_BATCHES, _HANGS_AFTER_S = 10, 10.0
"""A worker whose batches have been measured hangs without a heartbeat for this many of the longest, and this long."""


@dataclass(slots=True)
class CameraProgress:
    """When a camera last delivered a frame, and when one of its frames was last judged."""

    captured_mono_s: float
    judged_mono_s: float = 0.0
    _captured: int = 0
    _judged: int = 0

    def note(self, totals: Totals, now_s: float) -> None:
        """Compare with the totals of the last call."""
        if totals.captured != self._captured:
            self._captured, self.captured_mono_s = totals.captured, now_s
        if totals.judged != self._judged or not self.judged_mono_s:
            self._judged, self.judged_mono_s = totals.judged, now_s


@dataclass(slots=True)
class LineProcess:
    """A process that lives with the line, of which a run knows only whether it is there."""

    row: Row
    seen_mono_s: float
    running: bool = False


@dataclass(slots=True)
class Child:
    """The process of a row that lives with the run, across its restarts."""

    row: Row
    index: int
    process: subprocess.Popen[bytes] | None = None
    owner: int = 0
    started_mono_s: float = 0.0
    start_at_mono_s: float = 0.0
    died_mono_s: float = 0.0
    failures: Failures = field(default_factory=Failures)
    event_log: EventLogWatch = field(default_factory=EventLogWatch)
    restarts: int = 0
    running: bool = False
    running_mono_s: float = 0.0
    """Since when it runs, if it does."""
    ready_after_s: float | None = None
    """How long its last start took, a model's loading included."""
    ended: bool = False
    """Its finite source has been read to the end."""
    killed_because: str = ""
    """Why the supervisor has killed it."""


class Supervisor:
    """Runs a plan on this host: `start`, then `watch` every `WATCH_EVERY_S`, then `stop`.

    It owns the ledger and the heartbeats, so that counters survive the death of any process but its own.
    """

    def __init__(
        self, config: Config, run_dir: RunDir, *, config_path: Path | None = None, overrides: tuple[str, ...] = ()
    ) -> None:
        self.plan = plan(config)
        self.children = [Child(row, index) for index, row in enumerate(self.plan.rows) if row.lives == "run"]
        self.line_processes = [LineProcess(row, time.monotonic()) for row in self.plan.rows if row.lives == "line"]
        self.totals: dict[str, Totals] = {}
        self._config, self._config_path, self._overrides, self._run_dir = config, config_path, overrides, run_dir
        self._log = log.get_logger("supervisor")
        self._stray_output = StrayOutput()
        cameras = [camera.name for camera in config.cameras]
        self._heartbeats = HeartbeatTable(heartbeats_path(run_dir.path), len(self.plan.rows), create=True)
        self._ledger = LedgerKeeper(Ledger.create(ledger_path(run_dir.path), cameras))
        if self.line_processes:
            make_line_dir(config.state_dir)
        line_sockets = dict.fromkeys(self.plan.line_topics(), line_dir(config.state_dir))
        self._conditions = SupervisorConditions(
            ZmqChannels(run_dir.path, SUPERVISOR, self.plan.writers(), line_sockets)
        )
        self._demonstrated = cameras_out_of_scope(config)
        self._judging: dict[str, JudgingWatch] = {}
        self._frame_rate: dict[str, FrameRateWatch] = {}
        self._overload: dict[str, OverloadWatch] = {}
        self._residual = {camera: ResidualWatch() for camera in cameras}
        for camera in config.cameras:
            lossless = camera.waits_for_judging
            self._judging[camera.name] = JudgingWatch(camera.sampling.rate_hz, lossless=lossless)
            self._frame_rate[camera.name] = FrameRateWatch(
                camera.sampling.rate_hz, camera.conditions.no_signal_after_s, lossless=lossless
            )
            self._overload[camera.name] = OverloadWatch(camera.sampling.rate_hz, lossless=lossless)
        self._progress: dict[str, CameraProgress] = {}
        self._last_owner = 0
        self._sources_start_mono_s = 0.0
        self.watched_mono_s = time.monotonic()
        """When every process and the ledger were last checked."""
        self.start_time = StartTime(config.state_dir)
        self._were_running = False
        """Whether all processes have run at the same time since the start."""

    @property
    def all_running(self) -> bool:
        """Every process has opened its stage, and those that live with the line are there."""
        return all(child.running for child in self.children) and all(one.running for one in self.line_processes)

    @property
    def all_ended(self) -> bool:
        """Every source is finite and has been read to its end, and nothing is in flight."""
        sources = [child for child in self.children if child.row.source]
        return all(child.ended for child in sources) and not any(one.in_flight for one in self.totals.values())

    @property
    def stop_within_s(self) -> float:
        """A stop takes no longer than this; mostly a small part of it."""
        return round(sum(max(row.stop_share_s for row in rows) for rows in self.plan.stop_groups()), 1)

    @property
    def ended(self) -> list[str]:
        """The cameras whose recording has been read to its end."""
        return [child.row.unit for child in self.children if child.ended]

    @property
    def conditions(self) -> list[ActiveCondition]:
        """The active conditions of all sources, oldest first."""
        return self._conditions.active

    def channels(self, name: str) -> ZmqChannels:
        """Channels for a reader of broadcasts outside of the plan, of this name."""
        return ZmqChannels(self._run_dir.path, name, self.plan.writers())

    def ages_s(self, camera: str) -> tuple[float, float]:
        """Seconds since this camera's last captured frame, and since its last judged one."""
        now_s = time.monotonic()
        progress = self._progress.get(camera, CameraProgress(now_s, now_s))
        return now_s - progress.captured_mono_s, now_s - progress.judged_mono_s

    def stuck_after_s(self, camera: str) -> float:
        """Either of these ages is too high from here on."""
        (silent_after_s,) = [one.conditions.no_signal_after_s for one in self._config.cameras if one.name == camera]
        return stuck_after_s(self._frame_rate[camera].expected_hz, silent_after_s, self._longest_batch_s)

    def silence_s(self, child: Child) -> float:
        """Seconds since this process last gave a heartbeat."""
        return self._heartbeats.silence_s(child.index)

    def start(self) -> None:
        """Start every row but the sources; `watch` starts those when their readers run."""
        self._sources_start_mono_s = time.monotonic() + SOURCES_WAIT_S
        for child in self.children:
            if not child.row.source:
                self._start(child)

    def watch(self) -> None:
        """Check every process and the ledger once; never blocks."""
        now_s = time.monotonic()
        for child in self.children:
            if child.process is None:
                if self._may_start(child, now_s):
                    self._start(child)
            elif (code := child.process.poll()) is not None:
                left = take_error(last_error_path(self._run_dir.path, child.row.name), code)
                cause = child.killed_because or left
                self._failed(child, now_s, cause, "process exited; restarting", exit=exit_text(code))
            elif because := self._hangs(child, now_s):
                self._kill_hung(child, because)
            else:
                self._note_running(child, now_s)
        for process in self.line_processes:
            self._note_presence(process, now_s)
        self.totals = self._ledger.collect()
        for camera, totals in self.totals.items():
            self._progress.setdefault(camera, CameraProgress(now_s)).note(totals, now_s)
        self._report_conditions(now_s)
        self.watched_mono_s = time.monotonic()

    def stop(self) -> None:
        """Stop the groups of the plan one after the other, and kill what takes longer than its group's share."""
        self._conditions.send_status("stopping", self.ended)
        for rows in self.plan.stop_groups():
            group = [child for child in self.children if child.process is not None and child.row in rows]
            for child in group:
                assert child.process is not None
                child.process.send_signal(signal.SIGTERM)
            late = self._not_ended(group, max(row.stop_share_s for row in rows))
            for child in late:
                self._log.warning("process did not stop in time; killing it", process=child.row.name)
            self._end(late)
            self._swept(group)
        self._conditions.close()
        self._stray_output.close()
        self.totals = self._ledger.collect()

    def kill(self) -> None:
        """Kill whatever still runs."""
        running = [child for child in self.children if child.process is not None]
        self._end(running)
        self._swept(running)
        self._conditions.close()
        self._stray_output.close()
        self.totals = self._ledger.collect()

    def memory_pss_bytes(self) -> int:
        """Proportional set size of this process and all of its children together."""
        pids = [os.getpid(), *(child.process.pid for child in self.children if child.process is not None)]
        total = 0
        for pid in pids:
            try:
                total += psutil.Process(pid).memory_full_info().pss
            except psutil.Error:
                continue  # it has just exited
        return total

    def _report_conditions(self, now_s: float) -> None:
        log_is_stuck = False
        for child in self.children:
            name = child.row.name
            detail = child.failures.detail(name, now_s, running=child.running)
            if child.running and not detail:
                detail = unresponsive_detail(name, self.silence_s(child), self._silent_limit_s(child))
            camera = child.row.unit if child.row.source else ""
            self._conditions.set(ConditionKind.PROCESS_DOWN, detail, source=name, camera=camera)
            stuck = child.event_log.update(
                self._heartbeats.vital(child.index, "waiting"),
                self._heartbeats.vital(child.index, "waiting_since_mono_ns") / 1e9,
                now_s,
                now_s - child.running_mono_s if child.running else None,
            )
            self._conditions.set(ConditionKind.EVENT_LOG_STUCK, stuck, source=name)
            log_is_stuck = log_is_stuck or bool(stuck)
        for process in self.line_processes:
            detail = absent_detail(process.row.name, now_s - process.seen_mono_s)
            self._conditions.set(ConditionKind.PROCESS_DOWN, detail, source=process.row.name)
        for camera, detail in self._demonstrated.items():
            self._conditions.set(ConditionKind.DEMO_MODELS, detail, source="models", camera=camera)
        stated_mhz = {
            child.row.unit: self._heartbeats.vital(child.index, "stated_rate_mhz")
            for child in self.children
            if child.row.source
        }
        for camera, totals in self.totals.items():
            too_slow = self._frame_rate[camera].update(totals, now_s, stated_mhz.get(camera, 0) / 1000)
            detail = self._judging[camera].update(totals, now_s, self._longest_batch_s) or too_slow
            self._conditions.set(ConditionKind.NOT_JUDGED, detail, source="supervisor", camera=camera)
            detail = self._overload[camera].update(totals, now_s, judging=not detail)
            self._conditions.set(ConditionKind.OVERLOAD, detail, source="supervisor", camera=camera)
            detail = self._residual[camera].update(totals, now_s)
            self._conditions.set(ConditionKind.UNACCOUNTED, detail, source="supervisor", camera=camera)
        working = {one.row.name for one in self.children if one.running and self.silence_s(one) < WITHIN_S}
        working |= {one.row.name for one in self.line_processes if one.running}
        self._conditions.receive(working)
        are_read = self.plan.readers("conditions") <= working
        self._conditions.send(are_read=are_read, are_recorded=are_read and not log_is_stuck)
        self.start_time.note(all_running=self.all_running, judged=sum(one.judged for one in self.totals.values()))
        self._conditions.send_status(self._line_state(now_s), self.ended, self.start_time.judging_in_s)

    def _line_state(self, now_s: float) -> LineState:
        self._were_running = self._were_running or self.all_running
        if self.all_running and not self.conditions:
            return "ok"
        # A start that does not end is a fault: a process that never runs must not hide what is wrong with the others.
        starts = not self._were_running and not self.conditions and now_s < self._sources_start_mono_s
        return "starting" if starts else "degraded"

    @property
    def _longest_batch_s(self) -> float:
        return max(self._heartbeats.longest_batch_s(child.index) for child in self.children)

    def _silent_limit_s(self, child: Child) -> float:
        """Without a heartbeat for this long, the process hangs."""
        if batch_s := self._heartbeats.longest_batch_s(child.index):
            return max(_HANGS_AFTER_S, _HANGS_AFTER_BATCHES * batch_s)
        return child.row.silent_limit_s

    def _may_start(self, child: Child, now_s: float) -> bool:
        if child.row.source and child.owner == 0 and now_s < self._sources_start_mono_s:
            needed = self.plan.downstream(child.row)
            return all(other.running for other in self.children if other.row.name in needed)
        return now_s >= child.start_at_mono_s

    def _start(self, child: Child) -> None:
        self._last_owner = next_owner(self._last_owner, {other.owner for other in self.children})
        child.owner, child.running, child.started_mono_s = self._last_owner, False, time.monotonic()
        child.killed_because = ""
        self._heartbeats.start(child.index, child.owner)
        spec = LaunchSpec(
            row=child.row.name,
            owner=child.owner,
            failures_in_a_row=child.failures.in_a_row,
            run_dir=self._run_dir.path,
            config=self._config,
            config_path=self._config_path,
            overrides=self._overrides,
        )
        try:
            child.process = self._spawn(child.row, spec)
        except OSError as error:  # no memory, or too many processes: that may pass
            self._failed(child, time.monotonic(), str(error), "cannot start process; retrying", error=str(error))

    def _spawn(self, row: Row, spec: LaunchSpec) -> subprocess.Popen[bytes]:
        # A file in memory: a pipe holds 64 kB, and would block us until the process has got as far as reading it.
        with os.fdopen(os.memfd_create("launch spec"), "w+") as stdin, ExitStack() as opened:
            stdin.write(spec.to_json())
            stdin.seek(0)
            log_fd, stderr = os.dup(_STDERR), self._stray_output.pipe(row.name)
            opened.callback(os.close, log_fd)
            opened.callback(os.close, stderr)
            return subprocess.Popen(
                [sys.executable, "-m", "stream_inspect.service.process", str(os.getpid()), f"row={row.name}"],
                stdin=stdin,
                stderr=stderr,
                pass_fds=[log_fd],
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor alone
                env={
                    **os.environ,
                    "PROMETHEUS_MULTIPROC_DIR": str(metrics_path(self._run_dir.path)),
                    "STREAM_INSPECT_PROCESS": row.name,
                    LOG_FD: str(log_fd),
                    "OMP_NUM_THREADS": "1",
                    **row.environment,
                },
            )

    def _note_running(self, child: Child, now_s: float) -> None:
        state = self._heartbeats.state(child.index)
        child.ended = state is ProcessState.ENDED
        if not child.running and state in (ProcessState.RUNNING, ProcessState.ENDED):
            child.running, child.running_mono_s = True, now_s
            child.ready_after_s = round(now_s - child.started_mono_s, 1)
            if child.restarts and child.failures.in_a_row <= FAILURES_LOGGED:
                self._log.info("process restarted", process=child.row.name, after_s=round(now_s - child.died_mono_s, 1))
        failures = child.failures.in_a_row
        if child.running and child.failures.ran(now_s - child.running_mono_s) and failures > FAILURES_LOGGED:
            self._log.info("process runs steadily again", process=child.row.name, failures=failures)

    def _note_presence(self, process: LineProcess, now_s: float) -> None:
        running = is_present(self._config.state_dir, process.row.name)
        if running and not process.running:
            self._log.info("process of the line is running", process=process.row.name)
        elif process.running and not running:
            self._log.error("process of the line has exited; its own unit restarts it", process=process.row.name)
        process.running = running
        if running:
            process.seen_mono_s = now_s

    def _hangs(self, child: Child, now_s: float) -> str:
        """Why this process has to be killed, "" where it need not."""
        if child.running and self.silence_s(child) > self._silent_limit_s(child):
            return f"no response for {self._silent_limit_s(child):.0f} s, killed"
        if not child.running and now_s - child.started_mono_s > child.row.start_limit_s:
            return f"not ready within {child.row.start_limit_s:.0f} s of its start, killed"
        return ""

    def _kill_hung(self, child: Child, because: str) -> None:
        assert child.process is not None
        child.process.kill()
        if not child.killed_because:  # one that is stuck in the kernel stays for a while
            self._log.error("process not responding; killing it", process=child.row.name, error=because)
        child.killed_because = because

    def _failed(self, child: Child, now_s: float, cause: str, message: str, **details: object) -> None:
        """A child has exited, or could not be started: log it, and start it again after the back-off."""
        earlier_failures = child.failures.in_a_row
        delay_s = child.failures.failed(now_s, cause)
        if child.ready_after_s is not None:
            details["ready_in_s"] = round(delay_s + child.ready_after_s, 1)
        if earlier_failures < FAILURES_LOGGED:
            self._log.error(message, process=child.row.name, **details, in_s=delay_s)
        elif earlier_failures == FAILURES_LOGGED:
            self._log.error("still failing; retrying without further log messages", process=child.row.name, error=cause)
        child.process, child.running = None, False
        child.died_mono_s = now_s
        child.restarts += 1
        child.start_at_mono_s = now_s + delay_s
        self._ledger.sweep_owner(child.owner)

    def _not_ended(self, group: Sequence[Child], within_s: float) -> list[Child]:
        """Those of the group that still run after this time, which is for all of them together."""
        deadline_s = time.monotonic() + within_s
        late = []
        for child in group:
            assert child.process is not None
            try:
                child.process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(child)
        return late

    def _end(self, group: Sequence[Child]) -> None:
        """Kill them all, then wait for all of them."""
        for child in group:
            assert child.process is not None
            child.process.kill()
        for child in self._not_ended(group, KILLED_WITHIN_S):
            # A driver holds it in the kernel, which must not hold us up as well.
            self._log.error("process survived SIGKILL (stuck in the kernel); abandoning it", process=child.row.name)

    def _swept(self, group: Sequence[Child]) -> None:
        for child in group:
            child.process, child.running = None, False
            self._ledger.sweep_owner(child.owner, stopped=True)
