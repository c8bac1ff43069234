"""A scripted line in one process and in its own time: pictures in, verdicts out, and everything that can fail between.

The parts of the product are the real ones: what looks at the belt (`BeltSights`), the ledger of frames with its sweeps,
the numbers of due frames, and the chain that tracks and decides. What is simulated is what is between them: the time
that judging takes, messages, and processes that are killed. Thousands of parts take minutes so, not hours.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from stream_inspect.capture.belt_sights import make_sights
from stream_inspect.capture.camera import CapturedFrame
from stream_inspect.capture.due_frames import DueFrames
from stream_inspect.capture.reports import frame_header
from stream_inspect.capture.sampler import Sampler
from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import (
    AnyMessage,
    BeltReading,
    Clock,
    Detection,
    FrameHeader,
    FrameOrder,
    Inspection,
    Interval,
    Output,
    PartsSeen,
    PartVerdict,
    PlantReadings,
)
from stream_inspect.picture import Picture
from stream_inspect.service.chain import Chain, judging_chain
from stream_inspect.transport.ledger import DropCause, Ledger, LedgerKeeper
from tests.plant.rigs.modbus import ENCODER
from tests.scripted_line.account import Counted, Disturbance, Truth
from tests.scripted_line.picture import Drawing, marks, read
from tests.scripted_line.script import (
    FPS,
    HEIGHT_PX,
    LANES_MM,
    MM_PER_PX,
    PART_MM,
    PICTURE_MM,
    SPEED_MM_S,
    WIDTH_PX,
    Script,
)

S = 1_000_000_000
CAMERA, LINE, VIEWS, RATE_HZ = "top", "line1", 3, 8
MM_PER_COUNT = 0.5
COUNTS_HZ = 40
START_UTC_NS = 1_700_000_000 * S
_JUDGED_IN_S, _OVERLOADED_IN_S = 0.06, 0.5
_RESTARTED_IN_S = {"capture": (0.6, 1.5), "inspect": (1.0, 2.5), "track": (0.6, 1.5), "service": (3.0, 5.0)}


def line_config(
    odometer: str,
    source: dict[str, Any] | None = None,
    port: int | None = None,
    trigger_mm: float | None = None,
    stretch: float = 1.0,
    **more: Any,
) -> Config:
    """The configuration of a scripted line; `odometer` is `picture` or `encoder`, `port` that of its PLC.

    `stretch` is how many seconds a second of the script takes.
    """
    encoder = {"kind": "encoder", "input": "plc", "mm_per_count": MM_PER_COUNT}
    plc = {"kind": "modbus", "name": "plc", "host": "127.0.0.1", "rate_hz": COUNTS_HZ, "encoder": {"address": ENCODER}}
    if port is not None:
        plc["port"] = port
    return Config.model_validate(
        {
            "version": 1,
            "line": LINE,
            "cameras": [
                {
                    "name": CAMERA,
                    "source": source or {"kind": "synthetic"},
                    "sampling": {"rate_hz": RATE_HZ / stretch},
                    "belt": {"direction": "left_to_right", "speed_mm_s": SPEED_MM_S / stretch, "mm_per_px": MM_PER_PX},
                }
            ],
            "defects": [{"name": "mark", "prompts": ["mark"]}],
            "lines": [
                {
                    "name": LINE,
                    "odometer": {"kind": "picture"} if odometer == "picture" else encoder,
                    "parts": {"kind": "background"},
                    "lanes": [{"from_mm": low, "to_mm": high} for low, high in LANES_MM],
                    "views": VIEWS,
                    "trigger_mm": trigger_mm,
                }
            ],
            **({} if odometer == "picture" else {"inputs": [plc]}),
            **more,
        }
    )


@dataclass
class Failures:
    """What fails on the way, by lot."""

    bad_frames: float = 0.01
    """Share of the frames that the camera does not deliver."""
    outage_every_s: float = 30.0
    overload_every_s: float = 15.0
    kills: dict[str, int] = field(default_factory=dict)
    """How often each process is killed, at moments that the seed picks."""


NO_FAILURES = Failures(bad_frames=0.0, outage_every_s=1e9, overload_every_s=1e9)


@dataclass
class History:
    """What the line has shown and what was said of it, for `account.py`."""

    odometer: str
    given: dict[int, PartVerdict] = field(default_factory=dict)
    """The first verdict of each of our parts."""
    changed: list[tuple[PartVerdict, PartVerdict]] = field(default_factory=list)
    """Verdicts that were not the same when given once more."""
    places: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Of each of our parts its lane and the true way of the belt at its centre, as it was known first."""
    views: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    watched: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    disturbances: list[Disturbance] = field(default_factory=list)
    """As in `account.Truth`."""
    sums: list[str] = field(default_factory=list)
    """Sums that did not close, and when."""

    def truth(self, script: Script) -> Truth:
        """What the run shows of the script."""
        return Truth(script, self.views, self.watched, self.disturbances, VIEWS, self.odometer)

    def counted(self) -> list[Counted]:
        """Our parts with their verdicts and places."""
        return [
            Counted((one.run, one.part), one.verdict, one.reason, one.why, *self.places[one.part])
            for one in self.given.values()
        ]


class InProcess:
    """One run: `run`, then read `history`."""

    def __init__(
        self, script: Script, failures: Failures, folder: Path, *, odometer: str = "picture", seed: int = 0
    ) -> None:
        self.script, self.history = script, History(odometer)
        self._dice = random.Random(f"failures {seed}")
        self._failures = failures
        self._drawing = Drawing(script)
        self._config = line_config(odometer)
        self._folder = folder
        self._start_ledger()
        self._log = MemoryLog()
        self._now_s = 0.0
        self._owners = 0
        self._inbox: list[AnyMessage] = []
        self._numbers = self._moments()
        # capture
        self._session, self._seq = 0, 0
        self._dark_until_s = 0.0
        self._start_capture()
        # inspect
        self._waiting: FrameHeader | None = None
        self._in_hand: tuple[FrameHeader, float] | None = None
        self._overload_until_s = 0.0
        self._inspect = self._next_owner()
        # track
        self._offset_mm: float | None = None
        self._placed_by: dict[int, int] = {}
        """Of each of our parts the process that found it."""
        self._unlearned: set[FrameOrder] = set()
        """Frames in which parts could not be found, for the empty belt was not known."""
        self._in_a_row: Counter[int] = Counter()
        self._start_track()
        self._down_until_s = {"capture": 0.0, "inspect": 0.0, "track": 0.0}

    @property
    def _now_ns(self) -> int:
        return round(self._now_s * S) + S

    def run(self) -> History:
        """The whole script, and a while longer."""
        while self._now_s < self.script.end_s + 3.0:
            self._fail()
            self._count()
            self._capture()
            self._judge()
            self._follow()
            self._now_s += 1 / FPS
        self._deliver(list(self._chain.finish()))
        return self.history

    # --- what fails ---

    def _moments(self) -> list[tuple[float, str]]:
        """When which process is killed, the last first."""
        end_s = self.script.end_s
        return sorted(
            (
                (self._dice.uniform(2.5, end_s), name)
                for name, count in self._failures.kills.items()
                for _ in range(count)
            ),
            reverse=True,
        )

    def _fail(self) -> None:
        dice, step_s = self._dice, 1 / FPS
        if dice.random() < step_s / self._failures.outage_every_s and self._now_s > 4:
            self._dark_until_s = self._now_s + dice.choice([0.3, 1.0, 3.0])
            self._session, self._seq = self._session + 1, 0
            self._note("outage", self._dark_until_s)
        if dice.random() < step_s / self._failures.overload_every_s:
            self._overload_until_s = self._now_s + dice.uniform(0.5, 4.0)
            self._note("overload", self._overload_until_s)
        while self._numbers and self._numbers[-1][0] <= self._now_s:
            self._kill(self._numbers.pop()[1])

    def _note(self, what: str, until_s: float) -> None:
        self.history.disturbances.append(Disturbance(what, self._now_s, until_s))

    def _kill(self, name: str) -> None:
        until_s = self._now_s + self._dice.uniform(*_RESTARTED_IN_S[name])
        self._note(name, until_s)
        for one in self._down_until_s if name == "service" else [name]:
            self._down_until_s[one] = max(until_s, self._down_until_s[one])
        if name == "capture":
            self._keeper.sweep_owner(self._capturer)
            self._waiting = None
        elif name == "inspect":
            self._keeper.sweep_owner(self._inspect)
            self._in_hand = None
        elif name == "service":
            self._chain = self._in_hand = self._waiting = None
            self._inbox.clear()
            self._start_ledger()
        else:
            self._chain = None
            if self._dice.random() < 0.5:  # what was in its own memory, and not in that of a sender
                del self._inbox[: self._dice.randint(0, len(self._inbox))]

    def _is_down(self, name: str) -> bool:
        return self._now_s < self._down_until_s[name]

    def _next_owner(self) -> int:
        self._owners += 1
        return self._owners

    def _start_ledger(self) -> None:
        """A run of the service has a ledger of its own, and what is in `records` of all runs."""
        self._keeper = LedgerKeeper(Ledger.create(self._folder / "ledger", [CAMERA], cells=4096))

    # --- capture ---

    def _start_capture(self) -> None:
        self._capturer = self._next_owner()
        self._frames = Ledger.attach(self._folder / "ledger").camera(CAMERA)
        sights = make_sights(self._config.cameras[0], self._config.lines[0], self._folder / "empty_belt")
        assert sights is not None
        self._sights = sights
        self._sampler = Sampler(RATE_HZ)
        self._due = DueFrames(self._frames)
        self._session, self._seq = self._session + 1, 0
        self._looked_at = self._session

    def _capture(self) -> None:
        if self._is_down("capture"):
            return
        if self._down_until_s["capture"] > 0:
            self._down_until_s["capture"] = 0.0
            self._start_capture()
        if self._now_s >= self._dark_until_s and self._dice.random() >= self._failures.bad_frames:
            self._capture_frame()
        self._inbox += [output.message for output in self._due.missed()]

    def _capture_frame(self) -> None:
        mm = self.script.mm(self._now_s)
        picture = Picture(self._drawing.picture(mm, round(self._now_s * FPS)), WIDTH_PX, HEIGHT_PX)
        pts = round(self._now_s * FPS)
        frame = CapturedFrame(picture, pts, Fraction(1, FPS), self._now_ns, START_UTC_NS + self._now_ns, Clock.ARRIVAL)
        index = self._frames.captured(self._capturer)
        if self._looked_at != self._session:
            self._looked_at = self._session
            self._sampler = Sampler(RATE_HZ)
        header = frame_header(frame, camera=CAMERA, session=self._session, seq=self._seq, ledger_index=index)
        self._seq += 1
        is_due = self._sampler.due(header.id.pts_s)
        if is_due:
            header = self._due.add(header)
        else:
            self._frames.not_due(index)
        sight = self._sights.see(header, picture)
        if sight.learning:
            self._unlearned.add(header.id.order)
        self._inbox.append(sight)
        if is_due:
            if self._waiting is not None:
                self._frames.drop(self._waiting.ledger_index, DropCause.CAPTURE_SUPERSEDED)
            self._waiting = header

    def _count(self) -> None:
        """The encoder's counts since the last frame, as the plant's process reads them."""
        if not self._config.inputs:
            return
        for step in range(COUNTS_HZ // FPS):
            at_s = self._now_s - (COUNTS_HZ // FPS - 1 - step) / COUNTS_HZ
            count = round(self.script.mm(max(0.0, at_s)) / MM_PER_COUNT)
            at_ns = round(at_s * S) + S
            reading = BeltReading(line=LINE, input="plc", count=count, bits=32, mono_ns=at_ns, round_trip_ns=0)
            self._inbox.append(PlantReadings(readings=[reading]))

    # --- inspect ---

    def _judge(self) -> None:
        if self._is_down("inspect"):
            return
        if self._down_until_s["inspect"] > 0:
            self._down_until_s["inspect"] = 0.0
            self._inspect = self._next_owner()
        if self._in_hand is not None and self._now_s >= self._in_hand[1]:
            self._finish(self._in_hand[0])
            self._in_hand = None
        if self._in_hand is None and self._waiting is not None:
            header, self._waiting = self._waiting, None
            self._frames.sent(header.ledger_index, self._inspect)
            self._frames.taken(header.ledger_index, self._inspect)
            takes_s = _OVERLOADED_IN_S if self._now_s < self._overload_until_s else _JUDGED_IN_S
            self._in_hand = header, self._now_s + takes_s

    def _finish(self, header: FrameHeader) -> None:
        at_s = (header.capture_mono_ns - S) / S
        planes = self._drawing.picture(self.script.mm(at_s), round(at_s * FPS))
        rgb = Picture(planes, WIDTH_PX, HEIGHT_PX).to_rgb()
        for plate in read(rgb):
            self.history.views[plate.number] += 1
        found = [Detection(defect="mark", score=0.9, box_xyxy_px=tuple(map(float, box))) for box in marks(rgb)]
        self._inbox.append(
            Inspection(frame=header, detections=found, model_hash="m", prompts_hash="p", judged_mono_ns=self._now_ns)
        )
        self._frames.judged(header.ledger_index)

    # --- track ---

    def _start_track(self) -> None:
        self._offset_mm = None
        self._in_a_row.clear()
        self._tracker = self._next_owner()
        self._chain: Chain | None = judging_chain(
            self._config,
            self._log,
            clock=lambda: self._now_ns,
            process_run=self._tracker,
            ledger=Ledger.attach(self._folder / "ledger"),
            records=self._folder,
        )
        self._chain.open()

    def _follow(self) -> None:
        self._keeper.collect()
        if self._is_down("track"):
            return
        if self._chain is None:
            self._start_track()
        messages, self._inbox = self._inbox, []
        for message in messages:
            self._deliver(list(self._chain.process([message])))
        self._deliver(list(self._chain.tick(self._now_ns)))

    def _deliver(self, outputs: list[Output]) -> None:
        """What the chain has said: `verdicts` is what is out of the process, `parts` what it knows of the belt."""
        for output in outputs:
            message = output.message
            if isinstance(message, PartsSeen):
                self._note_seen(message)
            elif isinstance(message, PartVerdict):
                self._place(message.part, message.lane, message.along)
                before = self.history.given.setdefault(message.part, message)
                if (before.verdict, before.reason, before.why) != (message.verdict, message.reason, message.why):
                    self.history.changed.append((before, message))
        self._note_sums()

    def _note_seen(self, seen: PartsSeen) -> None:
        at_s = (seen.frame.capture_mono_ns - S) / S
        mm = self.script.mm(at_s)
        if seen.odometer_mm is not None:
            self._offset_mm = mm - seen.odometer_mm
        if seen.odometer_mm is None or seen.frame.id.order in self._unlearned:
            self._in_a_row.clear()
            return
        for part in self.script.shown(mm):
            self._in_a_row[part.number] += part.low + 20 < mm and part.high - 20 > mm - PICTURE_MM
            self.history.watched[part.number] = max(self.history.watched[part.number], self._in_a_row[part.number])

    def _note_sums(self) -> None:
        ledger = self._parts_ledger()
        if ledger is None:
            return
        for lane, sums in ledger.counts().items():
            if sums.residual:
                self.history.sums.append(f"{self._now_s:.2f} s, lane {lane}: {sums}")
        for part in ledger._parts.values():
            self._place(part.id, part.lane, part.along)

    def _place(self, part: int, lane: int, along: Interval) -> None:
        """Where a part lies, as its process knew it first: an id that a killed process did not keep is used again."""
        is_known = part in self.history.given or self._placed_by.get(part) == self._tracker
        if is_known or self._offset_mm is None:
            return
        self._placed_by[part] = self._tracker
        centre_mm = along.high - PART_MM / 2 if along.low_cut and not along.high_cut else along.low + PART_MM / 2
        self.history.places[part] = lane, centre_mm + self._offset_mm

    def _parts_ledger(self) -> Any:
        return self._chain._then._lines[0]._ledger
