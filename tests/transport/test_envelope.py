"""The envelope: no bytes whatever break a reader, and the count of lost broadcasts is exact."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_inspect import metrics
from stream_inspect.messages import Message, encode
from stream_inspect.topics import TOPICS
from stream_inspect.transport.envelope import ENVELOPE, Packer, Unpacker
from tests.transport.frames import header

FRAMES = TOPICS["frames"]


@given(data=st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: encode(header(1)) + tail))
def test_any_bytes_are_a_message_or_counted(data: bytes) -> None:
    malformed = metrics.MALFORMED.labels("frames")._value
    before = malformed.get()
    message = Unpacker(FRAMES).unpack(ENVELOPE.pack(0, 0) + data)
    assert isinstance(message, Message) or malformed.get() == before + 1


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_a_message_or_counted(position: int, value: int) -> None:
    malformed = metrics.MALFORMED.labels("frames")._value
    before = malformed.get()
    data = bytearray(ENVELOPE.pack(0, 0) + encode(header(7)))
    data[position % len(data)] = value
    message = Unpacker(FRAMES).unpack(bytes(data))
    assert isinstance(message, FRAMES.message) or malformed.get() == before + 1


@given(heard=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60))
def test_lost_broadcasts_are_those_between_the_first_and_the_last_heard(heard: list[tuple[int, bool]]) -> None:
    lost = metrics.LOST_BROADCASTS.labels("frames")._value
    before = lost.get()
    packers, unpacker = [Packer(FRAMES) for _ in range(3)], Unpacker(FRAMES)
    arrived: list[list[bool]] = [[], [], []]
    for writer, arrives in heard:
        data = packers[writer].pack(header(1))
        if arrives:
            assert unpacker.unpack(data) == header(1)
        arrived[writer].append(arrives)
    expected = 0
    for of_writer in arrived:
        if any(of_writer):
            first, last = of_writer.index(True), len(of_writer) - of_writer[::-1].index(True)
            expected += of_writer[first:last].count(False)
    assert lost.get() == before + expected
