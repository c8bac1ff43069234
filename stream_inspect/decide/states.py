"""The states of a defect as a pure table: suspect -> confirmed -> cleared.

`advance` applies the observations of one judged frame, most urgent first, and returns the events on the way. It knows
no clock, no camera and no frame.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, StrEnum, auto

from stream_inspect.messages import EventState


class State(StrEnum):
    """Where a defect stands. A suspect is not reported; a forgotten one never was."""

    SUSPECT = "suspect"
    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    FORGOTTEN = "forgotten"


class Observation(Enum):
    """What a judged frame says, most urgent first: a defect seen often enough counts even if it leaves at once."""

    ENOUGH = auto()  # its rule is fulfilled
    LEFT = auto()  # it went out of the picture
    LOST = auto()  # it was not seen for too long, or the session ended


_S, _O = State, Observation
TABLE: dict[State, dict[Observation, State]] = {
    _S.SUSPECT: {
        _O.ENOUGH: _S.CONFIRMED,
        _O.LEFT: _S.FORGOTTEN,
        _O.LOST: _S.FORGOTTEN,
    },
    _S.CONFIRMED: {
        _O.ENOUGH: _S.CONFIRMED,
        _O.LEFT: _S.CLEARED,
        _O.LOST: _S.CLEARED,
    },
    _S.CLEARED: dict.fromkeys(Observation, _S.CLEARED),
    _S.FORGOTTEN: dict.fromkeys(Observation, _S.FORGOTTEN),
}
"""The whole of it. The last two states are final."""

EVENT_OF_STATE: dict[State, EventState] = {State.CONFIRMED: EventState.CONFIRMED, State.CLEARED: EventState.CLEARED}
"""The states whose beginning is an event."""


def advance(state: State, observations: Collection[Observation]) -> tuple[State, list[tuple[EventState, Observation]]]:
    """The state after these observations, and the events on the way, each with the observation that caused it."""
    events: list[tuple[EventState, Observation]] = []
    for observation in Observation:
        if observation in observations:
            following = TABLE[state][observation]
            if following is not state and following in EVENT_OF_STATE:
                events.append((EVENT_OF_STATE[following], observation))
            state = following
    return state, events
