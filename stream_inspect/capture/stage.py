"""The capture stage: one camera's frames into the ring, headers to all readers, due frames to the workers that ask."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from stream_inspect.capture.belt_sights import make_sights
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.conditions import Change, ConditionWatch, StillWatch, watch_for
from stream_inspect.capture.due_frames import DueFrames
from stream_inspect.capture.picture_fit import PictureFit
from stream_inspect.capture.reports import condition, frame_header
from stream_inspect.capture.ring_sink import RingSink
from stream_inspect.capture.rtsp import LONGEST_OPENING_S
from stream_inspect.capture.sampler import FrameSampler, make_sampler
from stream_inspect.capture.session import SessionCounter
from stream_inspect.capture.stills_ring import StillsRings
from stream_inspect.capture.worker import CorruptFrame, QueuedFrame, ReadLoop
from stream_inspect.config.models import CameraConfig, DecideConfig, LineConfig, TransportConfig
from stream_inspect.errors import StreamInspectError
from stream_inspect.levels import Levels
from stream_inspect.messages import CREDIT_VALID_S, AnyMessage, ConditionKind, Credit, DueFrame, FrameHeader, Output
from stream_inspect.transport.ledger import CELLS_PER_CAMERA, CameraLedger, DropCause

_HANG_LIMIT_S = 10.0
"""A call to the camera's library that lasts longer than this and twice the configured time-outs does not return. The
opening of an RTSP camera, each of whose calls FFmpeg can interrupt, may also wait for a slow camera's key frame."""
_S = 1e-9


class CameraHangsError(StreamInspectError):
    """A camera's library holds the read loop: the process has to be restarted."""


class CaptureStage:
    """Reads one camera. Fulfils `service.stage.Stage`.

    Frames pass through as fast as the source delivers them; of the due ones only the freshest waits for a credit, and
    the one it overtakes is dropped{capture, superseded}. A source with `pace: fast`, or of pictures, loses none: it is
    not read any further while a due frame waits. Pictures that stand alone are all due.
    """

    wake_fd: int | None = None

    def __init__(
        self,
        camera: CameraConfig,
        *,
        ring_dir: Path,
        ring_prefix: str,
        ledger: CameraLedger,
        owner: int,
        state_dir: Path,
        transport: TransportConfig,
        decide: DecideConfig,
        line: LineConfig | None = None,
        records: Path | None = None,
    ) -> None:
        """`line` is how the parts of the camera's line are found, where they are accounted for. `records` is a folder
        in memory that outlives the process, see `BeltSights`.
        """
        self._config = camera
        self._ledger = ledger
        self._owner = owner
        self._lossless = camera.waits_for_judging
        timeouts_s = [getattr(camera.source, name, 0.0) for name in ("open_timeout_s", "read_timeout_s")]
        opening_s = LONGEST_OPENING_S if camera.source.kind == "rtsp" else 0.0
        self._hang_limit_s = _HANG_LIMIT_S + 2 * sum(timeouts_s) + opening_s
        self._sink = (
            StillsRings(ring_dir, ring_prefix, transport, self._holds_frames)
            if camera.stills
            else RingSink(ring_dir, ring_prefix, transport)
        )
        self._sessions = SessionCounter(state_dir, camera.name)
        self._reader: ReadLoop | None = None
        self._watch: ConditionWatch | StillWatch | None = None
        self._line = line
        self._sampler: FrameSampler | None = None
        self._fit = PictureFit(camera, decide, line)
        self._belt = make_sights(camera, line, memory=records / f"empty_belt.{camera.name}" if records else None)
        self._session = -1
        self._due = DueFrames(ledger)
        self._waiting: FrameHeader | None = None
        self._tickets: dict[str, tuple[Credit, int]] = {}
        self._levels = Levels(f"capture.{camera.name}")
        self._latest: FrameHeader | None = None

    @property
    def ended(self) -> bool:
        """A finite source has been read to its end, and each of its frames has been dealt with."""
        return self._reader is not None and self._reader.ended and self._watch is None and self._waiting is None

    @property
    def stated_rate_mhz(self) -> int:
        """Frames in 1000 s that the camera states to send; 0 where it states nothing, or has not been connected yet."""
        return round((self._stated_fps or 0) * 1000)

    @property
    def _stated_fps(self) -> float | None:
        info = self._reader.info if self._reader else None
        return info.fps if info else None

    def open(self) -> None:
        """Start reading. A camera that cannot be reached is not an error here: connecting is retried until stopped."""
        source = self._config.source
        self._sink.remove_left_behind()
        self._reader = ReadLoop(
            self._config.name,
            make_camera(self._config),
            self._sink,
            self._sessions.next,
            loop=bool(getattr(source, "loop", False)),
            paced=getattr(source, "pace", "real_time") != "fast",
            depth=1 if self._lossless else 8,
        )
        self._watch = watch_for(self._config, expect_frames=not self._lossless, now_s=time.monotonic())
        self.wake_fd = self._reader.wake.fd
        self._reader.start()

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        """Credits from the inspect workers."""
        now_mono_ns = time.monotonic_ns()
        for message in batch:
            if isinstance(message, Credit):
                self._tickets.pop(message.worker, None)
                self._tickets[message.worker] = (message, now_mono_ns)
        yield from self._answer(now_mono_ns)

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        """What the reader has brought since."""
        reader = self._reader
        assert reader is not None
        reader.wake.clear()
        ended = reader.ended  # before taking: what was handed over before the end is taken below
        emptied = False
        while not (self._lossless and self._waiting is not None):
            item = reader.take()
            if item is None:
                emptied = True
                break
            yield from self._handle(item, now_mono_ns)
        yield from self._due.missed()
        if reader.failure is not None:
            raise reader.failure
        if (blocked_s := reader.blocked_s(time.monotonic())) > self._hang_limit_s:
            # Nothing but the end of the process frees a thread that hangs in a library (a V4L2 driver, a vendor's SDK).
            raise CameraHangsError(f"the library of camera {self._config.name} has not returned for {blocked_s:.0f} s")
        if self._watch is not None:
            if ended and emptied:
                yield from self._changed(self._watch.finish(), now_mono_ns)
                self._watch = None
            else:
                self._watch.fps = self._stated_fps
                yield from self._changed(self._watch.tick(time.monotonic(), reader.error), now_mono_ns)
                self._levels.explain(ConditionKind.NO_SIGNAL, self._config.name, reader.error)
        yield from self._levels.due(now_mono_ns)

    def held(self) -> dict[str, tuple[int, int]]:
        """Frames that were read and not handled yet, and due frames that are neither judged nor dropped yet."""
        if self._reader is None:
            return {}
        return {"frames": self._reader.queued, "due_frames": (len(self._due), CELLS_PER_CAMERA)}

    def _holds_frames(self) -> bool:
        """Whether a frame was read and is neither judged nor dropped. Called by the reader's thread."""
        return bool(len(self._due) or (self._reader is not None and self._reader.queued[0]))

    def undelivered(self, output: Output) -> None:
        """A due frame whose worker's mailbox is full is dropped.

        What was missed is not sent again: `track` then waits for it, but not without a limit.
        """
        if isinstance(output.message, DueFrame):
            self._ledger.drop(output.message.header.ledger_index, DropCause.TRANSPORT_MAILBOX_FULL)

    def close(self) -> None:
        """Stop reading, and account for what still waits.

        The ring stays: the recorder, which stops last, makes the clips of the last seconds of it. It goes with the
        run's folder, or when this camera's process starts again.
        """
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.stop()
        while (item := reader.take()) is not None:
            cause = DropCause.CAPTURE_BAD_FRAME if isinstance(item, CorruptFrame) else DropCause.CAPTURE_STOPPED
            self._ledger.drop(self._ledger.captured(self._owner), cause)
        if self._waiting is not None:
            self._ledger.drop(self._waiting.ledger_index, DropCause.CAPTURE_STOPPED)
            self._waiting = None
        self.wake_fd = None

    def _handle(self, item: QueuedFrame | CorruptFrame, now_mono_ns: int) -> Iterable[Output]:
        index = self._ledger.captured(self._owner)
        if isinstance(item, CorruptFrame):
            self._ledger.drop(index, DropCause.CAPTURE_BAD_FRAME)
            if self._watch is not None and not item.before_first:
                self._watch.damaged(item.mono_ns * _S)
            return
        if item.session != self._session:
            self._session = item.session
            self._sampler = None
        header = frame_header(
            item.frame,
            camera=self._config.name,
            session=item.session,
            seq=item.seq,
            ledger_index=index,
            slot=item.slot,
        )
        sight = self._belt.see(header, item.frame.picture) if self._belt is not None else None
        if self._sampler is None:
            self._sampler = make_sampler(self._config, self._line, (header.width_px, header.height_px))
        due = self._sampler.due(header.id.pts_s, sight.way_mm if sight is not None else None)
        if due:
            header = self._due.add(header)
        else:
            self._ledger.not_due(index)
        self._latest = header
        if (reason := self._fit.reason((header.width_px, header.height_px), self._stated_fps)) is not None:
            self._levels.set(ConditionKind.CONFIG_MISFIT, bool(reason), reason, camera=self._config.name)
        yield Output("frames", header)
        if sight is not None:
            yield Output("belt", msgspec.structs.replace(sight, frame=header))
        if self._watch is not None:
            luma, captured_s = item.frame.picture.luma, header.capture_mono_ns * _S
            changes = self._watch.frame(luma, captured_s, key=item.frame.is_key, taken_as=item.frame.taken_as)
            yield from self._changed(changes, now_mono_ns)
        if due:
            if self._waiting is not None:
                self._ledger.drop(self._waiting.ledger_index, DropCause.CAPTURE_SUPERSEDED)
            self._waiting = header
            yield from self._answer(now_mono_ns)

    def _answer(self, now_mono_ns: int) -> Iterable[Output]:
        """Give the waiting frame to the worker that has waited longest."""
        while self._waiting is not None and self._tickets:
            worker = next(iter(self._tickets))
            credit, arrived_mono_ns = self._tickets.pop(worker)
            if now_mono_ns - arrived_mono_ns > CREDIT_VALID_S / _S:
                continue
            header, self._waiting = self._waiting, None
            if self._ledger.sent(header.ledger_index, credit.owner):
                yield Output("due", DueFrame(header=header, owner=credit.owner, ticket=credit.ticket), key=worker)
            else:  # the ledger was full when the frame came: it is counted there
                self._tickets[worker] = (credit, arrived_mono_ns)

    def _changed(self, changes: list[Change], now_mono_ns: int) -> Iterable[Output]:
        """Report what has changed in the conditions: here and not once a tick, so that none is passed over."""
        utc_offset_ns = time.time_ns() - time.monotonic_ns()
        for change in changes:
            camera = self._config.name
            self._levels.put(condition(change, camera=camera, frame=self._latest, utc_offset_ns=utc_offset_ns))
            yield from self._levels.due(now_mono_ns)
