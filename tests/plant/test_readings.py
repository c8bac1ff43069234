"""Each reading becomes the message that says what it is for."""

from __future__ import annotations

import pytest

from stream_inspect.messages import BeltReading, PlantValue, Trigger
from stream_inspect.plant.input import EncoderCount, Level, Text
from stream_inspect.plant.readings import message_of

OF = {"line": "line-a", "input": "plc"}


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (
            EncoderCount(-7, 16, 1000, 20),
            BeltReading(**OF, count=-7, bits=16, mono_ns=1000, round_trip_ns=20),
        ),
        (Level("infeed", True, 1000, 990), Trigger(**OF, name="infeed", value=True, mono_ns=1000, after_ns=990)),
        (Level("running", True, 1000, 990), PlantValue(**OF, name="running", value=True, mono_ns=1000)),
        (Text("lot", "L-4711", 1000), PlantValue(**OF, name="lot", value="L-4711", mono_ns=1000)),
    ],
)
def test_the_message_of_a_reading(reading, message):
    assert message_of(reading, line="line-a", source="plc", photo_eyes=frozenset({"infeed"})) == message
