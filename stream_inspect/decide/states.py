"""The life of a defect as a pure table: suspect -> confirmed -> cleared.

`advance` applies the signs of one judged frame, most urgent first, and says what to tell the world. It knows no clock,
no camera and no frame.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, StrEnum, auto

from stream_inspect.messages import EventState


class State(StrEnum):
    """Where a defect stands. Nobody is told of a suspect; a forgotten one never was."""

    SUSPECT = "suspect"
    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    FORGOTTEN = "forgotten"


class Observation(Enum):
    """What a judged frame says, most urgent first: a defect seen often enough counts even if it leaves at once."""

    ENOUGH = auto()  # seen in n of the last m judged frames that show it
    LEFT = auto()  # it went out of the picture
    LOST = auto()  # it was not seen for too long, or the session ended


_S, _G = State, Observation
TABLE: dict[State, dict[Observation, State]] = {
    _S.SUSPECT: {
        _G.ENOUGH: _S.CONFIRMED,
        _G.LEFT: _S.FORGOTTEN,
        _G.LOST: _S.FORGOTTEN,
    },
    _S.CONFIRMED: {
        _G.ENOUGH: _S.CONFIRMED,
        _G.LEFT: _S.CLEARED,
        _G.LOST: _S.CLEARED,
    },
    _S.CLEARED: dict.fromkeys(Observation, _S.CLEARED),
    _S.FORGOTTEN: dict.fromkeys(Observation, _S.FORGOTTEN),
}
"""The whole of it. The last two states are final."""

EVENT_OF_STATE: dict[State, EventState] = {State.CONFIRMED: EventState.CONFIRMED, State.CLEARED: EventState.CLEARED}
"""The states whose beginning is an event."""


def advance(state: State, signs: Collection[Observation]) -> tuple[State, list[tuple[EventState, Observation]]]:
    """The state after these signs, and the events on the way, each with the sign that caused it."""
    told: list[tuple[EventState, Observation]] = []
    for sign in Observation:
        if sign in signs:
            following = TABLE[state][sign]
            if following is not state and following in EVENT_OF_STATE:
                told.append((EVENT_OF_STATE[following], sign))
            state = following
    return state, told
