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
from stream_inspect.inspect.batching import BatchLimit, Credits, Waiting
from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError
from stream_inspect.inspect.engine import CameraSettings, InspectionEngine, build_engine
from stream_inspect.inspect.prompts import PromptsError, compile_prompts, prompts_hash
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


class InspectStage:
    """One worker: a model, the frames sent to it, and nothing else that others would have to know.

    The next frames are asked for before a batch is judged, so that they are here when it ends; a camera is asked only
    while less than a batch is waiting, so that frames grow old at their camera, where fresher ones replace them.
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
        self._limit = BatchLimit(config.inspect.batch_max_frames)
        self._engine: InspectionEngine | None = None
        self._unsent: deque[Output] = deque()
        self._undelivered = False
        self._failed = False
        self._reload_wait_ns = FIRST_RELOAD_NS
        self._reload_at_mono_ns = 0
        self._polled_mono_ns = 0
        self._refused: type[Exception] | None = None
        self.wake_fd: int | None = None

    # --- the stage contract --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model. One that cannot be loaded is a condition of the cameras, and is tried again."""
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._engine = self._load()
        except (ModelError, PromptsError) as error:
            self._unsent.extend(self._model_failed(error, time.monotonic_ns()))
            return
        # An earlier life of this worker may have reported a failure and died before it could take that back.
        self._unsent.extend(self._conditions(ConditionKind.MODEL_FAILED, active=False, detail=""))
        if self._speaks_for_the_line:
            self._unsent.append(self._prompts_condition(active=False, detail=""))

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
        yield from self._take_new_prompts(now_mono_ns)
        if self._failed:
            yield from self._load_again(now_mono_ns)
        if self._engine is None:
            self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_FAILED)
            return
        if self._unsent:
            return  # nobody takes results: asking for more frames would only make them old
        batch = self._waiting.take(self._limit.frames)
        if len(self._waiting) < self._limit.frames:
            yield from self._credits.ask(now_mono_ns)
        if batch:
            yield from self._judge(batch)
        if len(self._waiting):
            self._wake()

    def undelivered(self, output: Output) -> None:
        """A mailbox was full. Credits are given anew by themselves; results and conditions are kept and sent again."""
        if output.topic != "credit":
            self._undelivered = True

    def close(self) -> None:
        """Frames still here were not judged, or nobody took their result."""
        self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_STOPPED)
        kept = [output.message.frame for output in self._unsent if isinstance(output.message, Inspection)]
        self._drop(kept, DropCause.INSPECT_STOPPED)
        self._unsent.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._ring.close()
        if self.wake_fd is not None:
            os.close(self.wake_fd)
            self.wake_fd = None

    # --- judging -------------------------------------------------------------------------------------------------

    def _judge(self, batch: Sequence[DueFrame]) -> Iterable[Output]:
        frames = self._read(batch)
        if frames:
            metrics.BATCH_FRAMES.observe(len(frames))
        while frames:
            part = frames[: self._limit.frames]
            assert self._engine is not None
            try:
                found = self._engine.judge(
                    [pixels for _, pixels in part],
                    [self._cameras.get(header.id.camera, CameraSettings()) for header, _ in part],
                )
            except OutOfMemoryError as error:
                if self._limit.out_of_memory(len(part), time.monotonic_ns()):
                    self._log.warning("out of memory, batch halved", frames=self._limit.frames)
                    continue
                yield from self._give_up(error, frames)
                return
            except ModelError as error:
                yield from self._give_up(error, frames)
                return
            frames = frames[len(part) :]
            now_mono_ns = time.monotonic_ns()
            self._limit.fitted(now_mono_ns)
            self._reload_wait_ns = FIRST_RELOAD_NS
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

    def _inspection(self, header: FrameHeader, detections: list[Detection], now_mono_ns: int) -> Output:
        assert self._engine is not None
        inspection = Inspection(
            frame=header,
            detections=detections,
            model_hash=self._engine.model_hash,
            prompts_hash=self._engine.prompts_hash,
            judged_mono_ns=now_mono_ns,
        )
        return Output("inspections", inspection)

    def _send(self, output: Output) -> Iterable[Output]:
        """Hand an output to the loop, which says at once, by `undelivered`, when it could not be sent."""
        if self._unsent:
            self._unsent.append(output)  # in order, behind those that could not be sent
            return
        self._undelivered = False
        yield output
        if self._undelivered:
            self._unsent.append(output)
        else:
            self._delivered(output)

    def _send_left_over(self) -> Iterable[Output]:
        while self._unsent:
            self._undelivered = False
            yield self._unsent[0]
            if self._undelivered:
                return
            self._delivered(self._unsent.popleft())

    def _delivered(self, output: Output) -> None:
        if isinstance(output.message, Inspection):
            header = output.message.frame
            self._ledger.camera(header.id.camera).judged(header.ledger_index)
            waited_ns = time.monotonic_ns() - header.capture_mono_ns
            metrics.CAPTURE_TO_JUDGED.labels(header.id.camera).observe(waited_ns / 1e9)

    def _drop(self, headers: Iterable[FrameHeader], cause: DropCause) -> None:
        for header in headers:
            self._ledger.camera(header.id.camera).drop(header.ledger_index, cause)

    # --- the model -----------------------------------------------------------------------------------------------

    def _load(self) -> InspectionEngine:
        """The configured engine, ready to judge. Raises `ModelError`, or `PromptsError` for unusable defects."""
        began = time.monotonic()
        self._log.info("loading the models", detector=self._config.inspect.detector.model)
        engine = build_engine(self._config.inspect, self._config.inspect.workers[self._worker_index])
        try:
            engine.open()
            engine.look_for(self._config.defects)
        except BaseException:
            engine.close()
            raise
        self._limit = BatchLimit(min(self._config.inspect.batch_max_frames, engine.useful_batch))
        self._log.info("models ready", seconds=round(time.monotonic() - began, 1), model_hash=engine.model_hash[:12])
        return engine

    def _give_up(self, error: ModelError, frames: Sequence[tuple[FrameHeader, UInt8Array]]) -> Iterable[Output]:
        """The model failed: these frames are lost, and the model is loaded anew."""
        self._drop([header for header, _ in frames], DropCause.INSPECT_FAILED)
        assert self._engine is not None
        self._engine.close()
        self._engine = None
        for output in self._model_failed(error, time.monotonic_ns()):
            yield from self._send(output)

    def _model_failed(self, error: ModelError | PromptsError, now_mono_ns: int) -> list[Output]:
        """Note the failure, plan the next attempt, and give the conditions to send (once until it works again)."""
        self._log.error("model failed", error=str(error), retry_s=self._reload_wait_ns / 1e9)
        self._reload_at_mono_ns = now_mono_ns + self._reload_wait_ns
        self._reload_wait_ns = min(2 * self._reload_wait_ns, LONGEST_RELOAD_NS)
        if self._failed:
            return []
        self._failed = True
        return self._conditions(ConditionKind.MODEL_FAILED, active=True, detail=f"{self._worker}: {error}")

    def _load_again(self, now_mono_ns: int) -> Iterable[Output]:
        if now_mono_ns < self._reload_at_mono_ns:
            return
        metrics.MODEL_RELOADS.labels(self._worker).inc()
        try:
            self._engine = self._load()
        except (ModelError, PromptsError) as error:
            self._model_failed(error, time.monotonic_ns())
            return
        self._failed = False
        for output in self._conditions(ConditionKind.MODEL_FAILED, active=False, detail=""):
            yield from self._send(output)

    def _conditions(self, kind: ConditionKind, *, active: bool, detail: str) -> list[Output]:
        """One condition for each camera that this worker serves."""
        return [_condition(camera, kind, active, detail) for camera in self._cameras]

    # --- prompts -------------------------------------------------------------------------------------------------

    @property
    def _speaks_for_the_line(self) -> bool:
        """All workers read the same file: one of them reports what is wrong with it."""
        return self._worker_index == 0

    def _take_new_prompts(self, now_mono_ns: int) -> Iterable[Output]:
        """Look at the configuration file; what changed in it counts from the next frame on, or not at all."""
        if self._watcher is None or now_mono_ns - self._polled_mono_ns < CONFIG_POLL_NS:
            return
        self._polled_mono_ns = now_mono_ns
        try:
            config = self._watcher.poll()
            if config is not None:
                yield from self._adopt(config)
        except (ConfigError, PromptsError) as error:
            self._log.warning("changed configuration refused, the earlier one stays", error=str(error))
            self._refused = type(error)
            if self._speaks_for_the_line:
                yield from self._send(self._prompts_condition(active=True, detail=str(error)))
            return
        put_back = self._refused is ConfigError and not self._watcher.wrong
        if self._refused is not None and (config is not None or put_back):
            self._refused = None
            if self._speaks_for_the_line:
                yield from self._send(self._prompts_condition(active=False, detail=""))

    def _adopt(self, config: Config) -> Iterable[Output]:
        """Take over all of inspection but the models and the list of cameras, which need a restart.

        Raises `PromptsError`, and then nothing has changed.
        """
        if self._engine is None:
            compile_prompts(config.defects)
        else:
            try:
                self._engine.look_for(config.defects)
            except ModelError as error:
                yield from self._give_up(error, [])
        inspect = self._config.inspect.model_copy(
            update={"fuse_overlap": config.inspect.fuse_overlap, "max_detections": config.inspect.max_detections}
        )
        self._config = self._config.model_copy(update={"defects": config.defects, "inspect": inspect})
        for camera in config.cameras:
            if camera.name in self._cameras:
                self._cameras[camera.name] = CameraSettings.of(camera)
        if self._engine is not None:
            self._engine.set_limits(fuse_overlap=inspect.fuse_overlap, max_detections=inspect.max_detections)
        self._log.info("changed configuration in use", prompts_hash=prompts_hash(config.defects)[:12])

    @staticmethod
    def _prompts_condition(*, active: bool, detail: str) -> Output:
        return _condition("", ConditionKind.PROMPTS_REFUSED, active, detail)

    # --- waking --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Frames are waiting: the loop must not wait for a message before it calls `tick` again."""
        if self.wake_fd is not None:
            os.eventfd_write(self.wake_fd, 1)

    def _sleep(self) -> None:
        if self.wake_fd is not None:
            with suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)


def _condition(camera: str, kind: ConditionKind, active: bool, detail: str) -> Output:
    condition = Condition(
        camera=camera,
        kind=kind,
        active=active,
        detail=detail,
        mono_ns=time.monotonic_ns(),
        utc_ns=time.time_ns(),
    )
    return Output("conditions", condition)
