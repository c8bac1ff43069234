"""The inspect stage: gives credit, takes due frames, judges them, and sends what it found."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from stream_inspect import metrics
from stream_inspect.config.adopted import Adopted
from stream_inspect.config.models import Config
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect.batching import Credits, JudgingRate, Waiting
from stream_inspect.inspect.defects_follower import DefectsFollower
from stream_inspect.inspect.detect.detector import ModelError, OutOfMemoryError
from stream_inspect.inspect.inspector import CameraSettings, Inspector
from stream_inspect.inspect.model_slot import ModelSlot
from stream_inspect.inspect.results import Results
from stream_inspect.inspect.wire_size import within_limit
from stream_inspect.levels import Levels
from stream_inspect.log import get_logger
from stream_inspect.messages import AnyMessage, ConditionKind, DueFrame, FrameHeader, Inspection, Output
from stream_inspect.picture import UInt8Array
from stream_inspect.transport.ledger import DropCause, Ledger
from stream_inspect.transport.ring import RingError, RingReader, StaleFrameError
from stream_inspect.transport.wake import Wake

_BATCHES_REMEMBERED = 64


class InspectStage:
    """One worker: a model, the frames sent to it, and nothing else that others would have to know.

    Frames wait at their camera, where newer ones replace them, and never here: a worker requests only what it judges
    next. One that keeps up with the cameras requests before it judges a batch, so that the next one has arrived by the
    end; one that does not requests afterwards.
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
        adopted: Adopted | None = None,
    ) -> None:
        self._worker = worker
        self._worker_index = worker_index
        self._owner = owner
        self._ledger = ledger
        self._ring = RingReader(ring_dir)
        self._cameras = {camera.name: camera for camera in config.cameras}
        self._lines = {name: config.parts_of(config.line_of(name)) for name in self._cameras}
        self._credits = Credits(worker, owner, list(self._cameras))
        self._waiting = Waiting()
        self._rate = JudgingRate(min(1 / camera.sampling.rate_hz for camera in config.cameras))
        self._model = ModelSlot(config, worker=worker, worker_index=worker_index)
        self._defects = DefectsFollower(watcher, self._model, worker=worker, adopted=adopted)
        self._results = Results(ledger)
        self._batches_ns: deque[int] = deque(maxlen=_BATCHES_REMEMBERED)
        self._levels = Levels(worker)
        self._log = get_logger(__name__, worker=worker)
        self._wake = Wake()
        """Set while frames are waiting: the loop must not wait for a message before it calls `tick` again."""
        self.wake_fd = self._wake.fd

    @property
    def longest_batch_ns(self) -> int:
        """Of the recent batches, each with the work around it; 0 where the next turn may take longer than any of them.

        The supervisor derives from it when this process no longer responds. A model that has to be loaded again takes
        as long as it did at the start.
        """
        return max(self._batches_ns, default=0) if self._model.inspector is not None else 0

    # --- the stage contract --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model. One that cannot be loaded is a condition of the cameras, and is tried again."""
        self._model.load()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Take in the frames sent to this process run; those sent to an earlier one were accounted for."""
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
        """Send what is left over, adopt new defects, ask for frames, and judge one batch of those that are here."""
        self._wake.clear()
        yield from self._results.send_left_over()
        self._defects.poll(now_mono_ns)
        self._model.load_if_due(now_mono_ns)
        yield from self._report_conditions(now_mono_ns)
        if self._model.inspector is None:
            self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_FAILED)
            return
        if len(self._results):
            return  # the mailbox of results is full: asking for more frames would only make them old
        yield from self._next_batch(now_mono_ns, self._model.inspector)
        yield from self._report_conditions(now_mono_ns)

    def undelivered(self, output: Output) -> None:
        """A mailbox was full. Credits are repeated by themselves; results are kept and sent again."""
        if output.topic == "inspections":
            self._results.undelivered()

    def close(self) -> None:
        """Account for frames that were not judged, or whose result was not sent."""
        self._drop([due.header for due in self._waiting.drain()], DropCause.INSPECT_STOPPED)
        self._drop(self._results.drain(), DropCause.INSPECT_STOPPED)
        self._model.close()
        self._ring.close()
        self._wake.close()
        self.wake_fd = None

    # --- judging -------------------------------------------------------------------------------------------------

    def _next_batch(self, now_mono_ns: int, inspector: Inspector) -> Iterable[Output]:
        most = self._model.limit.frames
        if self._rate.keeps_up(min(most, len(self._cameras))):
            batch = self._waiting.take(most)
            yield from self._ask(now_mono_ns, self._rate.room(most))
            yield from self._judge(batch, inspector)
            if len(self._waiting):
                self._wake.set()
            return
        yield from self._ask(now_mono_ns, most)
        if len(self._waiting) < most and self._credits.expected(now_mono_ns, self._rate.answer_timeout_ns):
            return  # it is a long batch: the frames that are about to come go into it
        batch = self._waiting.take(most)
        yield from self._judge(batch, inspector)
        if batch:
            self._wake.set()  # to take in what has arrived meanwhile, and then to ask

    def _ask(self, now_mono_ns: int, room: int) -> Iterable[Output]:
        yield from self._credits.ask(
            now_mono_ns, room - len(self._waiting), self._waiting, self._rate.answer_timeout_ns
        )

    def _judge(self, batch: Sequence[DueFrame], inspector: Inspector) -> Iterable[Output]:
        began_mono_ns = time.monotonic_ns()
        yield from self._judge_chunks(batch, inspector)
        if batch:
            self._batches_ns.append(time.monotonic_ns() - began_mono_ns)

    def _judge_chunks(self, batch: Sequence[DueFrame], inspector: Inspector) -> Iterable[Output]:
        frames = self._read(batch)
        if frames:
            metrics.BATCH_FRAMES.observe(len(frames))
        limit = self._model.limit
        while frames:
            chunk = frames[: limit.frames]
            began_mono_ns = time.monotonic_ns()
            try:
                found = inspector.find([pixels for _, pixels in chunk], [self._settings(header) for header, _ in chunk])
            except ModelError as error:
                if isinstance(error, OutOfMemoryError) and limit.out_of_memory(len(chunk), time.monotonic_ns()):
                    self._log.warning("out of memory; batch halved", frames=limit.frames)
                    continue
                self._drop([header for header, _ in frames], DropCause.INSPECT_FAILED)
                self._model.failed_judging(error)
                return
            frames = frames[len(chunk) :]
            now_mono_ns = time.monotonic_ns()
            self._rate.judged(len(chunk), now_mono_ns - began_mono_ns)
            self._model.judged(now_mono_ns)
            for (header, _), one in zip(chunk, found, strict=True):
                inspection = Inspection(
                    frame=header,
                    detections=within_limit(one.detections),
                    parts=one.parts,
                    model_hash=inspector.model_hash,
                    prompts_hash=inspector.prompts_hash,
                    judged_mono_ns=now_mono_ns,
                )
                yield from self._results.send(inspection)

    def _settings(self, header: FrameHeader) -> CameraSettings:
        name = header.id.camera
        return CameraSettings.of(self._cameras[name], header.width_px, header.height_px, self._lines[name])

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
                self._log.error("cannot read frame from the ring", camera=header.id.camera, error=str(error))
                self._drop([header], DropCause.INSPECT_FAILED)
            else:
                frames.append((header, pixels))
        return frames

    def _drop(self, headers: Iterable[FrameHeader], cause: DropCause) -> None:
        for header in headers:
            self._ledger.camera(header.id.camera).drop(header.ledger_index, cause)

    # --- conditions ----------------------------------------------------------------------------------------------

    def _report_conditions(self, now_mono_ns: int) -> Iterable[Output]:
        failure, rejected = self._model.failure, self._defects.rejected
        for camera in self._cameras:
            self._levels.set(ConditionKind.MODEL_FAILED, bool(failure), failure, camera=camera)
        if self._worker_index == 0:  # all workers read the same file: the first reports what is wrong with it
            self._levels.set(ConditionKind.PROMPTS_REFUSED, bool(rejected), rejected)
        return self._levels.due(now_mono_ns)
