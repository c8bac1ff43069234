"""The inspect stage: gives credit, takes due frames, judges them, and says what it found."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.config.load import ConfigError
from stream_inspect.config.models import Config
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect.batching import BatchLimit, Credits, JudgingRate, Waiting
from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError
from stream_inspect.inspect.inspector import CameraSettings, Inspector, build_inspector
from stream_inspect.inspect.prompts import PromptsError, compile_prompts, prompts_hash
from stream_inspect.inspect.wire_size import within_limit
from stream_inspect.log import get_logger
from stream_inspect.messages import (
    AnyMessage,
    Condition,
    ConditionKind,
    Detection,
    DueFrame,
    FrameHeader,
    Inspection,
    Output,
)
from stream_inspect.picture import UInt8Array
from stream_inspect.transport.ledger import DropCause, Ledger
from stream_inspect.transport.ring import RingError, RingReader, StaleFrameError

FIRST_RELOAD_NS = 1_000_000_000
LONGEST_RELOAD_NS = 30_000_000_000
"""A failed model is loaded again after 1 s, and after twice as long each time it fails again, up to 30 s."""
CONFIG_POLL_NS = 200_000_000
"""How often the configuration file is looked at for new prompts."""
CONDITIONS_NS = 2_000_000_000
"""How often the worker repeats how its conditions stand."""
FORGET_RINGS_NS = 1_000_000_000
"""How often rings whose files are gone are let go of."""


class _State:
    """Something that may be wrong, and since when it has been as it is."""

    def __init__(self) -> None:
        self._wrong = ""
        self._since_mono_ns, self._since_utc_ns = time.monotonic_ns(), time.time_ns()

    def change(self, wrong: str) -> bool:
        """It is like this now ("": nothing is wrong). Whether that is news; another reason for the same is none."""
        news = bool(wrong) != bool(self._wrong)
        self._wrong = wrong
        if news:
            self._since_mono_ns, self._since_utc_ns = time.monotonic_ns(), time.time_ns()
        return news

    def output(self, camera: str, kind: ConditionKind, source: str) -> Output:
        """The condition, as it stands."""
        condition = Condition(
            camera=camera,
            kind=kind,
            active=bool(self._wrong),
            source=source,
            detail=self._wrong,
            mono_ns=self._since_mono_ns,
            utc_ns=self._since_utc_ns,
        )
        return Output("conditions", condition)


class InspectStage:
    """One worker: a model, the frames sent to it, and nothing else that others would have to know.

    Frames grow old at their camera, where fresher ones replace them, and not here: no more are asked for than are
    judged next. A worker that keeps up with the cameras asks before it judges a batch, so that the next one is here
    when it ends; one that does not, asks afterwards.
    """

    def __init__(
        self,
        config: Config,
        *,
        worker: str,
        worker_index: int,
        owner: int,
        ledger: Ledger,
        ring_dir: Path,
        watcher: ConfigWatcher | None = None,
    ) -> None:
        self._config = config
        self._worker = worker
        self._worker_index = worker_index
        self._owner = owner
        self._ledger = ledger
        self._ring = RingReader(ring_dir)
        self._watcher = watcher
        self._log = get_logger(__name__, worker=worker)
        self._cameras = {camera.name: CameraSettings.of(camera) for camera in config.cameras}
        self._credits = Credits(worker, owner, list(self._cameras))
        self._waiting = Waiting()
        self._pace = JudgingRate(min(1 / camera.sampling.rate_hz for camera in config.cameras))
        self._limit = BatchLimit(config.inspect.batch_max_frames)
        self._inspector: Inspector | None = None
        self._unsent: deque[Inspection] = deque()
        self._undelivered = False
        self._model = _State()
        self._prompts = _State()
        self._told_mono_ns: int | None = None
        self._reload_wait_ns = FIRST_RELOAD_NS
        self._reload_at_mono_ns = 0
        self._failed_at_work = False
        """The model failed while judging: that it loads again is no sign yet that it works again."""
        self._polled_mono_ns = 0
        self._forgot_mono_ns = 0
        self._unusable = ""
        """Why the defects of the file, as last read, were refused; "": they are in use."""
        self.wake_fd: int | None = None

    # --- the stage contract --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model. One that cannot be loaded is a condition of the cameras, and is tried again."""
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._inspector = self._load()
        except (ModelError, PromptsError) as error:
            self._model_failed(error, time.monotonic_ns())

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Take in the frames sent to this life of the worker; those of an earlier one were accounted for."""
        for message in batch:
            if not isinstance(message, DueFrame) or message.owner != self._owner:
                continue
            header = message.header
            if header.id.camera not in self._cameras:
                continue
            self._credits.answered(message)
            if self._ledger.camera(header.id.camera).taken(header.ledger_index, self._owner):
                self._waiting.add(message)
        return ()

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """Send what is left over, take new prompts, ask for frames, and judge one batch of those that are here."""
        self._sleep()
        yield from self._send_left_over()
        self._take_new_prompts(now_mono_ns)
        if self._inspector is None:
            self._load_again(now_mono_ns)
        yield from self._tell_conditions(now_mono_ns)
        if now_mono_ns - self._forgot_mono_ns >= FORGET_RINGS_NS:
            self._forgot_mono_ns = now_mono_ns
            self._ring.forget_gone()
        if self._inspector is None:
            self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_FAILED)
            return
        if self._unsent:
            return  # nobody takes results: asking for more frames would only make them old
        yield from self._next_batch(now_mono_ns)
        yield from self._tell_conditions(now_mono_ns)

    def undelivered(self, output: Output) -> None:
        """A mailbox was full. Credits and conditions are repeated by themselves; results are kept and sent again."""
        if output.topic == "inspections":
            self._undelivered = True

    def close(self) -> None:
        """Frames still here were not judged, or nobody took their result."""
        self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_STOPPED)
        self._drop([inspection.frame for inspection in self._unsent], DropCause.INSPECT_STOPPED)
        self._unsent.clear()
        if self._inspector is not None:
            self._inspector.close()
            self._inspector = None
        self._ring.close()
        if self.wake_fd is not None:
            os.close(self.wake_fd)
            self.wake_fd = None

    # --- judging -------------------------------------------------------------------------------------------------

    def _next_batch(self, now_mono_ns: int) -> Iterable[Output]:
        most = self._limit.frames
        if self._pace.keeps_up(min(most, len(self._cameras))):
            batch = self._waiting.take(most)
            yield from self._ask(now_mono_ns, self._pace.room(most))
            yield from self._judge(batch)
            if len(self._waiting):
                self._wake()
            return
        yield from self._ask(now_mono_ns, most)
        if len(self._waiting) < most and self._credits.expected(now_mono_ns, self._pace.answer_timeout_ns):
            return  # it is a long batch: the frames that are about to come go into it
        batch = self._waiting.take(most)
        yield from self._judge(batch)
        if batch:
            self._wake()  # to take in what has come meanwhile, and then to ask

    def _ask(self, now_mono_ns: int, room: int) -> Iterable[Output]:
        yield from self._credits.ask(
            now_mono_ns, room - len(self._waiting), self._waiting, self._pace.answer_timeout_ns
        )

    def _judge(self, batch: Sequence[DueFrame]) -> Iterable[Output]:
        frames = self._read(batch)
        if frames:
            metrics.BATCH_FRAMES.observe(len(frames))
        while frames:
            part = frames[: self._limit.frames]
            assert self._inspector is not None
            began_mono_ns = time.monotonic_ns()
            try:
                found = self._inspector.judge(
                    [pixels for _, pixels in part],
                    [self._cameras[header.id.camera] for header, _ in part],
                )
            except OutOfMemoryError as error:
                if self._limit.out_of_memory(len(part), time.monotonic_ns()):
                    self._log.warning("out of memory, batch halved", frames=self._limit.frames)
                    continue
                self._give_up(error, frames)
                return
            except ModelError as error:
                self._give_up(error, frames)
                return
            frames = frames[len(part) :]
            now_mono_ns = time.monotonic_ns()
            self._pace.judged(len(part), now_mono_ns - began_mono_ns)
            self._limit.fitted(now_mono_ns)
            self._reload_wait_ns = FIRST_RELOAD_NS
            self._failed_at_work = False
            self._set(self._model, "")
            for (header, _), detections in zip(part, found, strict=True):
                yield from self._send(self._inspection(header, detections, now_mono_ns))

    def _read(self, batch: Sequence[DueFrame]) -> list[tuple[FrameHeader, UInt8Array]]:
        """The frames' pictures as RGB, made in the ring itself; frames whose slot was written again are dropped."""
        frames = []
        for due in batch:
            header = due.header
            waited_ns = time.monotonic_ns() - header.capture_mono_ns
            metrics.CAPTURE_TO_INSPECT.labels(header.id.camera).observe(waited_ns / 1e9)
            try:
                with self._ring.view(header) as picture:
                    pixels = picture.to_rgb()
            except StaleFrameError:
                self._drop([header], DropCause.INSPECT_OVERWRITTEN)
            except RingError as error:
                self._log.error("a frame cannot be read", camera=header.id.camera, error=str(error))
                self._drop([header], DropCause.INSPECT_FAILED)
            else:
                frames.append((header, pixels))
        return frames

    def _inspection(self, header: FrameHeader, detections: list[Detection], now_mono_ns: int) -> Inspection:
        assert self._inspector is not None
        return Inspection(
            frame=header,
            detections=within_limit(detections),
            model_hash=self._inspector.model_hash,
            prompts_hash=self._inspector.prompts_hash,
            judged_mono_ns=now_mono_ns,
        )

    def _send(self, inspection: Inspection) -> Iterable[Output]:
        """Hand a result to the loop, which says at once, by `undelivered`, when it could not be sent."""
        self._unsent.append(inspection)
        if len(self._unsent) == 1:  # else in order, behind those that could not be sent
            yield from self._send_left_over()

    def _send_left_over(self) -> Iterable[Output]:
        while self._unsent:
            self._undelivered = False
            yield Output("inspections", self._unsent[0])
            if self._undelivered:
                return
            header = self._unsent.popleft().frame
            self._ledger.camera(header.id.camera).judged(header.ledger_index)
            waited_ns = time.monotonic_ns() - header.capture_mono_ns
            metrics.CAPTURE_TO_JUDGED.labels(header.id.camera).observe(waited_ns / 1e9)

    def _drop(self, headers: Iterable[FrameHeader], cause: DropCause) -> None:
        for header in headers:
            self._ledger.camera(header.id.camera).drop(header.ledger_index, cause)

    # --- the model -----------------------------------------------------------------------------------------------

    def _load(self) -> Inspector:
        """The configured engine, ready to judge. Raises `ModelError`, or `PromptsError` for unusable defects."""
        began = time.monotonic()
        self._log.info("loading the models", detector=self._config.inspect.detector.model)
        inspector = build_inspector(self._config.inspect, self._config.inspect.workers[self._worker_index])
        try:
            inspector.open()
            inspector.set_defects(self._config.defects)
        except BaseException:
            inspector.close()
            raise
        self._limit = BatchLimit(min(self._config.inspect.batch_max_frames, inspector.useful_batch))
        self._log.info("models ready", seconds=round(time.monotonic() - began, 1), model_hash=inspector.model_hash[:12])
        return inspector

    def _give_up(self, error: ModelError, frames: Sequence[tuple[FrameHeader, UInt8Array]]) -> None:
        """The model failed: these frames are lost, and the model is loaded anew."""
        self._drop([header for header, _ in frames], DropCause.INSPECT_FAILED)
        assert self._inspector is not None
        self._inspector.close()
        self._inspector = None
        self._failed_at_work = bool(frames)  # else the words were at fault, and a model that takes them is well again
        self._model_failed(error, time.monotonic_ns())

    def _model_failed(self, error: ModelError | PromptsError, now_mono_ns: int) -> None:
        """Note the failure and plan the next attempt."""
        self._log.error("model failed", error=str(error), retry_s=self._reload_wait_ns / 1e9)
        self._reload_at_mono_ns = now_mono_ns + self._reload_wait_ns
        self._reload_wait_ns = min(2 * self._reload_wait_ns, LONGEST_RELOAD_NS)
        self._set(self._model, f"{self._worker}: {error}")

    def _load_again(self, now_mono_ns: int) -> None:
        if now_mono_ns < self._reload_at_mono_ns:
            return
        metrics.MODEL_RELOADS.labels(self._worker).inc()
        try:
            self._inspector = self._load()
        except (ModelError, PromptsError) as error:
            self._model_failed(error, time.monotonic_ns())
            return
        if not self._failed_at_work:
            self._set(self._model, "")

    # --- conditions ----------------------------------------------------------------------------------------------

    def _set(self, state: _State, wrong: str) -> None:
        """What is wrong ("": nothing): told in this turn where it is news, and repeated from then on."""
        if state.change(wrong):
            self._told_mono_ns = None

    def _tell_conditions(self, now_mono_ns: int) -> Iterable[Output]:
        if self._told_mono_ns is not None and now_mono_ns - self._told_mono_ns < CONDITIONS_NS:
            return
        self._told_mono_ns = now_mono_ns
        for camera in self._cameras:
            yield self._model.output(camera, ConditionKind.MODEL_FAILED, self._worker)
        if self._worker_index == 0:  # all workers read the same file: one of them says what is wrong with it
            yield self._prompts.output("", ConditionKind.PROMPTS_REFUSED, self._worker)

    # --- prompts -------------------------------------------------------------------------------------------------

    def _take_new_prompts(self, now_mono_ns: int) -> None:
        """Look at the configuration file; what changed in it counts from the next frame on, or not at all."""
        if self._watcher is None or now_mono_ns - self._polled_mono_ns < CONFIG_POLL_NS:
            return
        self._polled_mono_ns = now_mono_ns
        try:
            config = self._watcher.poll()
            if config is not None:
                self._adopt(config)
        except (ConfigError, PromptsError) as error:
            self._log.warning("changed configuration refused, the earlier one stays", error=str(error))
            self._set(self._prompts, str(error))
            if isinstance(error, PromptsError):
                self._unusable = str(error)
            return
        if config is not None:
            self._unusable = ""
        if not self._watcher.wrong:  # the file is well formed (again): what counts is what the defects in it are worth
            self._set(self._prompts, self._unusable)

    def _adopt(self, config: Config) -> None:
        """Take over the defects and the limits of what is found; everything else, cameras too, at the next start.

        Raises `PromptsError`, and then nothing has changed.
        """
        if self._inspector is None:
            compile_prompts(config.defects)
        else:
            try:
                self._inspector.set_defects(config.defects)
            except ModelError as error:
                self._give_up(error, [])
        inspect = self._config.inspect.model_copy(
            update={"fuse_overlap": config.inspect.fuse_overlap, "max_detections": config.inspect.max_detections}
        )
        self._config = self._config.model_copy(update={"defects": config.defects, "inspect": inspect})
        if self._inspector is not None:
            self._inspector.set_limits(fuse_overlap=inspect.fuse_overlap, max_detections=inspect.max_detections)
        self._log.info("changed configuration in use", prompts_hash=prompts_hash(config.defects)[:12])

    # --- waking --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Frames are waiting: the loop must not wait for a message before it calls `tick` again."""
        if self.wake_fd is not None:
            os.eventfd_write(self.wake_fd, 1)

    def _sleep(self) -> None:
        if self.wake_fd is not None:
            with suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)
