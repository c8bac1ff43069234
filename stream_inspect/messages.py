"""All wire types and their schema version; the table of topics is `topics.py`.

Everything that crosses a process boundary is one of these msgspec structs, tagged by name, encoded as MessagePack.
`decode` either returns a typed message or raises `MalformedMessageError`; nothing is ever unpickled.

A frame has two pictures. The *sensor picture* is the one that the camera sends; a file's is upright as its Exif or
display matrix says. The *judged picture* is the sensor picture turned as the configuration says: it lies in the ring,
and everything after capture means this one, whether its frame is judged or not.

Coordinates are pixels of the judged picture: x to the right, y down, boxes as (left, top, right, bottom) with right and
bottom exclusive. Times: `*_mono_ns` is CLOCK_MONOTONIC of the capturing host (comparable between processes of that
host, immune to NTP steps), `*_utc_ns` is the best wall clock there is, `pts` is in the container's time base.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

WIRE_VERSION = 3
"""Raised when a message changes so that an old reader would misunderstand it. A reader rejects every other version."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A larger message is rejected unread: headers, results and one live JPEG are all far smaller."""

Box = tuple[float, float, float, float]
Outline = list[list[tuple[float, float]]]
Severity = Literal["minor", "major", "critical"]
FrameOrder = tuple[int, int]
"""(session, seq): compares as a camera's frames were captured."""


class MalformedMessageError(ValueError):
    """Not a valid message of this wire version. The receiver counts and drops it."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages; the tag on the wire is the class's name."""


# --- frames ------------------------------------------------------------------------------------------------------


class FrameId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity of a frame: it never changes, is never reused, and depends on no clock.

    `session` counts the connections of this camera's source and never starts over (0 in a replay); `seq` counts from 0
    in decode order within the session; `pts` is in units of `time_base_num / time_base_den` seconds.
    """

    camera: str
    session: int
    seq: int
    pts: int
    time_base_num: int
    time_base_den: int

    @property
    def pts_s(self) -> float:
        """Presentation time in seconds of the container's clock."""
        return self.pts * self.time_base_num / self.time_base_den

    @property
    def order(self) -> FrameOrder:
        """Where this frame stands among its camera's frames."""
        return self.session, self.seq


class Clock(StrEnum):
    """Where a frame's UTC came from, best first."""

    RTCP = "rtcp"  # an RTCP sender report of the camera
    DEVICE = "device"  # a GigE Vision timestamp
    ARRIVAL = "arrival"  # the host's wall clock when the frame arrived
    MEDIA = "media"  # a replay: pts counted from zero, so that a second run gives the same


class RingSlot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a frame's planes lie: `generation` must still be the slot's own, before and after reading."""

    path: str
    index: int
    generation: int


class FrameHeader(Message, frozen=True, kw_only=True):
    """A frame without its pixels: they are in `slot`."""

    id: FrameId
    width_px: int
    height_px: int
    color_matrix: Literal["bt601", "bt709", "bt2020"]
    full_range: bool
    capture_mono_ns: int
    capture_utc_ns: int
    clock: Clock
    ledger_index: int
    due: int | None = None
    """Its number among its camera's due frames, from 0 and without a gap as long as the run lasts; None: not due."""
    slot: RingSlot | None = None
    file: str = ""
    """Name of the file that holds this frame alone; empty for a frame of a camera or a video."""


CREDIT_REPEAT_S = 1.0
"""An inspect worker repeats a credit that was not answered for this long: the camera may have been restarted."""
CREDIT_VALID_S = 3 * CREDIT_REPEAT_S
"""A camera ignores a credit older than this: a worker that still ran would have repeated it twice since."""


class Credit(Message, frozen=True, kw_only=True):
    """An inspect worker asks one camera for its freshest due frame. A newer ticket of a worker replaces its older one.

    `owner` is the worker's number in the ledger: which process, and which run of it.
    """

    worker: str
    owner: int
    ticket: int


class DueFrame(Message, frozen=True, kw_only=True):
    """The answer to a `Credit`: at most one for each ticket."""

    header: FrameHeader
    owner: int
    ticket: int


class Missed(Message, frozen=True, kw_only=True):
    """A due frame that will not be judged: `stage` dropped it for `cause`, as the ledger names them.

    Every due frame ends in an `Inspection` or in this, unless a capture process was killed before it could say so.
    """

    frame: FrameHeader
    stage: str
    cause: str


# --- inspection --------------------------------------------------------------------------------------------------


class Rle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A COCO run-length mask: `size` is (height_px, width_px) of the whole picture, `counts` the compressed string."""

    size: tuple[int, int]
    counts: str


class Extent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How big a defect is. Lengths are those of the mask's minimum-area rectangle; mm where the scale is known."""

    area_px: float
    length_px: float
    width_px: float
    area_mm2: float | None = None
    length_mm: float | None = None
    width_mm: float | None = None


class Detection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One defect seen in one judged frame. With a mask the box is the mask's tight box."""

    defect: str
    score: float
    box_xyxy_px: Box
    severity: Severity = "major"
    mask_rle: Rle | None = None
    outline_px: Outline = []
    extent: Extent | None = None


class Inspection(Message, frozen=True, kw_only=True):
    """A judged frame: what the detector and the segmenter found in it (possibly nothing)."""

    frame: FrameHeader
    detections: list[Detection]
    model_hash: str
    prompts_hash: str
    judged_mono_ns: int


# --- tracks ------------------------------------------------------------------------------------------------------


class TrackUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A track as it stands after a judged frame. `track` is unique within (camera, session), over restarts too.

    `box_xyxy_px` is where the defect is believed to be in this frame (predicted when `seen` is false); `velocity_px_s`
    moves it to any frame near by. `left` says that it has gone out of the picture. `doubtful` says that it is not known
    yet whether the belt carries it: it may be dirt on the lens, and is not a sight of a defect so far.
    """

    track: int
    defect: str
    seen: bool
    left: bool
    score: float
    box_xyxy_px: Box
    velocity_px_s: tuple[float, float]
    first_pts_s: float
    last_pts_s: float
    doubtful: bool = False
    detection: Detection | None = None


class Tracked(Message, frozen=True, kw_only=True):
    """A judged frame with its tracks: the live ones, and once those that ended in it."""

    frame: FrameHeader
    tracks: list[TrackUpdate]
    ended: list[TrackUpdate] = []
    model_hash: str = ""
    prompts_hash: str = ""


# --- camera conditions -------------------------------------------------------------------------------------------


class ConditionKind(StrEnum):
    """What can be wrong with a camera or an inspect worker, as the operator reads it."""

    NO_SIGNAL = "no_signal"
    BLACK = "black"
    FROZEN = "frozen"
    UNCHANGED = "unchanged"
    BAD_FRAMES = "bad_frames"
    STATIC_FIND = "static_find"
    NOT_FOLLOWED = "not_followed"
    MODEL_FAILED = "model_failed"
    PROMPTS_REFUSED = "prompts_refused"
    CONFIG_MISFIT = "config_misfit"
    DEMO_MODELS = "demo_models"
    RECORDING_STOPPED = "recording_stopped"
    PROCESS_DOWN = "process_down"
    NOT_JUDGED = "not_judged"
    OVERLOAD = "overload"
    UNACCOUNTED = "unaccounted"
    OUTPUT_FAILING = "output_failing"
    EVENT_LOG_STUCK = "event_log_stuck"
    ALERTS_REJECTED = "alerts_rejected"


CONDITION_REPEAT_S = 2.0
"""How often each source repeats its conditions (`levels.Levels`): no level is lost for longer, whatever was killed."""


class Condition(Message, frozen=True, kw_only=True):
    """How a condition of a camera (or, with an empty camera, of the line) stands: a level, repeated, not an edge.

    Each source broadcasts a level when it changes, and repeats all that it knows, active or not, every
    `CONDITION_REPEAT_S`. `decide` makes events of them, and the supervisor the status of the line.
    """

    camera: str
    kind: ConditionKind
    active: bool
    source: str = ""
    """The process that reports it (`process_down`: the one that is down). Each has a condition of its own."""
    detail: str
    mono_ns: int
    utc_ns: int
    frame: FrameHeader | None = None


# --- the line ----------------------------------------------------------------------------------------------------


class ActiveCondition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition that holds now; `camera` is empty for one of the whole line."""

    kind: ConditionKind
    camera: str
    source: str
    detail: str
    since_utc_ns: int


LineState = Literal["starting", "ok", "degraded", "stopping"]


class LineStatus(Message, frozen=True, kw_only=True):
    """How the line stands, from the supervisor: sent when it changes and repeated every `CONDITION_REPEAT_S`.

    It lists every active condition of every source, as /healthz does. It needs no event log, so it also reports what
    keeps events from being made. `ok` only while every process works and no condition is active. `ended` are the
    cameras whose recording has been read to its end. `judging_in_s` is in about how many seconds judging begins, while
    it has not begun: None where it has, or where that was never measured.
    """

    state: LineState
    conditions: list[ActiveCondition]
    ended: list[str] = []
    judging_in_s: float | None = None
    mono_ns: int
    utc_ns: int


# --- events ------------------------------------------------------------------------------------------------------

EVENT_SCHEMA_VERSION = 1


class EventState(StrEnum):
    """The states an event is sent in. `suspect` is known inside `decide` only and never sent."""

    CONFIRMED = "confirmed"
    CLEARED = "cleared"


class FrameRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The identity and times of the judged frame that an event rests on."""

    session: int
    seq: int
    pts: int
    pts_s: float
    width_px: int
    height_px: int
    capture_mono_ns: int
    capture_utc_ns: int
    clock: Clock
    file: str | msgspec.UnsetType = msgspec.UNSET
    """Name of the picture file, where the frame is one."""

    @property
    def order(self) -> FrameOrder:
        """Where this frame stands among its camera's frames."""
        return self.session, self.seq


def event_id(camera: str, session: int, name: str, n: int) -> str:
    """The id of the nth event of this name in this session; `camera` is empty for a condition of the whole line.

    Two events never share one. Read from its right end, an id is a number, the name, a number, and the rest is the
    camera: no name holds a number alone between dashes (`config.models.DefectName`, `ConditionKind`).
    """
    return f"{camera}-{session}-{name}-{n}"


class Event(Message, frozen=True, kw_only=True):
    """A confirmed defect, or a condition of a camera or the line: what an alert carries and the store keeps.

    `id` is derived from (camera, session, defect or condition, n), never from a clock or a random number: it is unique
    within one event log. `key` is the idempotency key: id + state in the log and in a replay, and the log's identity +
    id + state in every alert (`as_sent`). The identity is a random number made with the log and kept in it, so that no
    two lines, hosts or state folders send the same key. `source` is the process that reports a condition
    (`process_down`: the one that is down); each has an event of its own. `track` is unique within (camera, session).
    `score` is the highest of all views, that of the judged frame `score_seq` of the session of `frame`. Times are
    nanoseconds since 1970, UTC. `late_s` is only in an alert: how many seconds after it was seen this event
    is sent, a fraction of one unless the output was down. A receiver that moves something compares it with what it can
    still reach. Sent once more, the same event has the same key and another `late_s`.
    """

    version: int = EVENT_SCHEMA_VERSION
    id: str
    key: str
    kind: Literal["defect", "condition"]
    state: EventState
    line: str
    camera: str
    name: str
    source: str = ""
    severity: str
    first_seen_utc_ns: int
    last_seen_utc_ns: int
    score: float | None = None
    score_seq: int | None = None
    box_xyxy_px: Box | None = None
    outline_px: Outline = []
    extent: Extent | None = None
    track: int | None = None
    views: int = 0
    frame: FrameRef | None = None
    picture: str | None = None
    clip: str | None = None
    model_hash: str = ""
    prompts_hash: str = ""
    reason: str = ""
    late_s: float | msgspec.UnsetType = msgspec.UNSET


def as_sent(event: Event, log_identity: str, late_s: float | msgspec.UnsetType = msgspec.UNSET) -> Event:
    """The event of the log with this identity as an alert carries it: under a key that no other log sends."""
    late_s = late_s if late_s is msgspec.UNSET else round(late_s, 3)
    return msgspec.structs.replace(event, key=f"{log_identity}:{event.key}", late_s=late_s)


def event_json(event: Event) -> bytes:
    """The event's versioned JSON: what is stored, and what every alert carries."""
    return msgspec.json.encode(event)


class LivePicture(Message, frozen=True, kw_only=True):
    """One annotated JPEG for the live page.

    It shows the present for `fresh_for_s`: by then another one follows, or the camera is silent.
    """

    camera: str
    frame_seq: int
    capture_mono_ns: int
    capture_utc_ns: int
    fresh_for_s: float
    jpeg: bytes


AnyMessage = (
    FrameHeader | Credit | DueFrame | Missed | Inspection | Tracked | Condition | LineStatus | Event | LivePicture
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a stage hands to the loop: this message, to this topic (and, for a keyed topic, to this key)."""

    topic: str
    message: AnyMessage
    key: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """The message as MessagePack, led by one byte that carries `WIRE_VERSION`."""
    return bytes((WIRE_VERSION,)) + _encoder.encode(message)


def decode(data: bytes | memoryview) -> AnyMessage:
    """Parse what came over a wire, or raise `MalformedMessageError` saying what is wrong with it."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedMessageError(f"message of {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    if len(data) < 2:
        raise MalformedMessageError("message without a body")
    if data[0] != WIRE_VERSION:
        raise MalformedMessageError(f"message of wire version {data[0]}, this program speaks {WIRE_VERSION}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessageError(str(error)) from error
