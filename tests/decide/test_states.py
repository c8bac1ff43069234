"""The table of a defect's life, walked through completely."""

from __future__ import annotations

from itertools import combinations

import pytest

from stream_inspect.decide.states import TABLE, Observation, State, advance
from stream_inspect.messages import EventState

SUBSETS = [set(signs) for size in range(len(Observation) + 1) for signs in combinations(Observation, size)]
C, X = (EventState.CONFIRMED, Observation.ENOUGH), EventState.CLEARED
EXPECTED = {
    (State.SUSPECT, Observation.ENOUGH): (State.CONFIRMED, [C]),
    (State.SUSPECT, Observation.LEFT): (State.FORGOTTEN, []),
    (State.SUSPECT, Observation.LOST): (State.FORGOTTEN, []),
    (State.CONFIRMED, Observation.ENOUGH): (State.CONFIRMED, []),
    (State.CONFIRMED, Observation.LEFT): (State.CLEARED, [(X, Observation.LEFT)]),
    (State.CONFIRMED, Observation.LOST): (State.CLEARED, [(X, Observation.LOST)]),
    **{(state, sign): (state, []) for state in (State.CLEARED, State.FORGOTTEN) for sign in Observation},
}


@pytest.mark.parametrize("sign", Observation)
@pytest.mark.parametrize("state", State)
def test_every_state_against_every_sign(state, sign):
    assert advance(state, {sign}) == EXPECTED[state, sign]


def test_the_table_has_a_row_and_a_column_for_everything():
    assert set(TABLE) == set(State)
    assert all(set(row) == set(Observation) for row in TABLE.values())


@pytest.mark.parametrize(
    "signs", SUBSETS, ids=lambda signs: "+".join(s.name for s in Observation if s in signs) or "nothing"
)
@pytest.mark.parametrize("state", State)
def test_every_state_against_every_set_of_signs(state, signs):
    after, told = advance(state, signs)
    if not signs:
        assert (after, told) == (state, [])
    if state in (State.CLEARED, State.FORGOTTEN):
        assert (after, told) == (state, [])
    ends = signs - {Observation.ENOUGH}
    if state is State.SUSPECT and Observation.ENOUGH in signs:
        assert told[0] == C, "what was seen often enough is told, even if it ends in the same frame"
        assert after is (State.CLEARED if ends else State.CONFIRMED)
    if state is State.SUSPECT and Observation.ENOUGH not in signs:
        assert (after, told) == (State.FORGOTTEN if ends else State.SUSPECT, [])
    if state is State.CONFIRMED:
        most_urgent = next((sign for sign in Observation if sign in ends), None)
        assert told == ([(X, most_urgent)] if most_urgent else [])
    states = [told_state for told_state, _ in told]
    assert states in ([], [EventState.CONFIRMED], [EventState.CLEARED], [EventState.CONFIRMED, EventState.CLEARED])
