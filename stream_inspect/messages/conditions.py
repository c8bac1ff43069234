"""What is wrong with a camera or the line, and how the line stands."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.frames import FrameHeader


class ConditionKind(StrEnum):
    """What can be wrong with a camera or an inspect worker, as the operator reads it."""

    NO_SIGNAL = "no_signal"
    BLACK = "black"
    FROZEN = "frozen"
    UNCHANGED = "unchanged"
    BAD_FRAMES = "bad_frames"
    STATIC_FIND = "static_find"
    NOT_FOLLOWED = "not_followed"
    SPEED_NOT_OBSERVABLE = "speed_not_observable"
    MODEL_FAILED = "model_failed"
    PROMPTS_REFUSED = "prompts_refused"
    CONFIG_MISFIT = "config_misfit"
    DEMO_MODELS = "demo_models"
    RECORDING_STOPPED = "recording_stopped"
    PROCESS_DOWN = "process_down"
    NOT_JUDGED = "not_judged"
    OVERLOAD = "overload"
    BELT_NOT_JUDGED = "belt_not_judged"
    TOO_FEW_VIEWS = "too_few_views"
    UNACCOUNTED = "unaccounted"
    OUTPUT_FAILING = "output_failing"
    EVENT_LOG_STUCK = "event_log_stuck"
    ALERTS_REJECTED = "alerts_rejected"
    INPUT_SILENT = "input_silent"
    ODOMETER_UNKNOWN = "odometer_unknown"
    ODOMETER_SLIP = "odometer_slip"
    BELT_NOT_LEARNED = "belt_not_learned"
    STATIC_PART = "static_part"
    PHOTO_EYE_FAULTY = "photo_eye_faulty"


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
    ended: list[str] = msgspec.field(default_factory=list)
    judging_in_s: float | None = None
    mono_ns: int
    utc_ns: int
