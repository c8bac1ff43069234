"""The contract of channels: order, bounds, what is refused, who is heard late, who comes back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
import zmq

from stream_inspect import metrics
from stream_inspect.messages import MAX_MESSAGE_BYTES, WIRE_VERSION, AnyMessage, encode
from stream_inspect.topics import TOPICS
from stream_inspect.transport.channel import Channels
from stream_inspect.transport.envelope import ENVELOPE, ChannelError, MessageTooLargeError
from stream_inspect.transport.zmq import ZmqChannels
from tests.transport.frames import credit, due, header, inspection

WRITERS = {"frames": ["a", "b"], "live": ["a"], "tracked": []}
DUE_DEPTH = TOPICS["due"].depth


MOST_WAITING = 2 * DUE_DEPTH + 1000
"""Messages that can wait for a reader of `due`: at the sender, at the reader, and in the socket's buffer."""


class World:
    """What a test needs next to the contract."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory, self._stack = directory, stack
        self._context = stack.enter_context(zmq.Context())

    def make(self, name: str) -> Channels:
        """The channels of the stage `name`."""
        return self._stack.enter_context(closing(ZmqChannels(self._directory, name, WRITERS)))

    def inject(self, topic: str, key: str, data: Sequence[bytes]) -> None:
        """Put bytes into a mailbox as a broken or hostile sender would."""
        with self._context.socket(zmq.PUSH) as socket:
            socket.connect(f"ipc://{self._directory}/{topic}.{key}.box")
            for one in data:
                socket.send(one)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def receive_all(channels: Channels, count: int, timeout_s: float = 5.0) -> list[AnyMessage]:
    """Receive until `count` messages are there, and a little longer, to see that it is not more."""
    messages: list[AnyMessage] = []
    deadline = time.monotonic() + timeout_s
    while len(messages) < count and time.monotonic() < deadline:
        messages += channels.receive(0.05)
    return messages + list(channels.receive(0.05))


def meet(writer: Channels, reader: Channels, topic: str, message: AnyMessage) -> None:
    """Broadcast until the reader hears it: connections take a moment."""
    deadline = time.monotonic() + 5
    while not any(heard == message for heard in reader.receive(0.02)):
        assert time.monotonic() < deadline, "the reader never heard the writer"
        writer.send(topic, message)
    while reader.receive(0.1):
        pass


def count_of(counter: object, topic: str) -> Callable[[], float]:
    child = counter.labels(topic)
    before = child._value.get()
    return lambda: child._value.get() - before


# --- mailboxes ---------------------------------------------------------------------------------------------------


def test_a_mailbox_keeps_the_order_of_each_sender(world: World) -> None:
    reader, one, two = world.make("inspect.0"), world.make("x"), world.make("y")
    reader.subscribe("due", "w")
    for number in range(30):
        assert one.send("due", due(number, owner=1), key="w")
        assert two.send("due", due(number, owner=2), key="w")
    received = receive_all(reader, 60)
    for owner in (1, 2):
        assert [message.ticket for message in received if message.owner == owner] == list(range(30))
    assert len(received) == 60


def test_keys_are_addresses(world: World) -> None:
    north, south, sender = world.make("n"), world.make("s"), world.make("x")
    north.subscribe("credit", "north")
    south.subscribe("credit", "south")
    for number in range(10):
        sender.send("credit", credit(number), key="north" if number % 2 else "south")
    assert [message.ticket for message in receive_all(north, 5)] == [1, 3, 5, 7, 9]
    assert [message.ticket for message in receive_all(south, 5)] == [0, 2, 4, 6, 8]


def test_a_full_mailbox_says_so_at_once_and_keeps_what_it_took(world: World) -> None:
    reader, sender = world.make("inspect.0"), world.make("x")
    reader.subscribe("due", "w")
    assert sender.send("due", due(0), key="w")
    assert len(receive_all(reader, 1)) == 1
    began = time.monotonic()
    taken = 0
    refused_in_a_row = 0
    while refused_in_a_row < 50:  # the messages of a socket need a moment to move on
        if sender.send("due", due(taken), key="w"):
            taken, refused_in_a_row = taken + 1, 0
            assert taken <= MOST_WAITING
        else:
            refused_in_a_row += 1
            time.sleep(0.001)
    assert time.monotonic() - began < 4
    assert taken >= DUE_DEPTH
    assert [message.ticket for message in receive_all(reader, taken)] == list(range(taken))
    assert sender.send("due", due(0), key="w"), "there is room again"


def test_a_mailbox_is_held_for_a_reader_that_is_not_there_yet_or_away(world: World) -> None:
    sender, first = world.make("x"), world.make("track")
    accepted = 0
    while sender.send("inspections", inspection(accepted)):
        accepted += 1
    assert accepted == TOPICS["inspections"].depth
    first.subscribe("inspections")
    assert [message.frame.id.seq for message in receive_all(first, accepted)] == list(range(accepted))
    first.close()
    time.sleep(0.1)
    for number in range(10):
        assert sender.send("inspections", inspection(number))
    second = world.make("track")
    second.subscribe("inspections")
    assert [message.frame.id.seq for message in receive_all(second, 10)] == list(range(10))


# --- broadcasts --------------------------------------------------------------------------------------------------


def test_all_readers_hear_all_writers_in_their_order(world: World) -> None:
    writers = [world.make("a"), world.make("b")]
    readers = [world.make("r"), world.make("s")]
    lost = count_of(metrics.LOST_BROADCASTS, "frames")
    for reader in readers:
        reader.subscribe("frames")
        for number, writer in enumerate(writers):
            meet(writer, reader, "frames", header(10_000 + number))
    for reader in readers:
        while reader.receive(0.05):
            pass
    for seq in range(40):
        for number, writer in enumerate(writers):
            assert writer.send("frames", header(seq, ledger_index=number))
    for reader in readers:
        received = receive_all(reader, 80)
        for number in range(2):
            assert [message.id.seq for message in received if message.ledger_index == number] == list(range(40))
    assert lost() == 0


def test_a_broadcast_without_readers_is_no_failure(world: World) -> None:
    writer = world.make("a")
    assert all(writer.send("frames", header(seq)) for seq in range(1000))


def test_who_subscribes_late_hears_what_follows_and_has_lost_nothing(world: World) -> None:
    writer, reader = world.make("a"), world.make("r")
    for seq in range(100):
        writer.send("frames", header(seq))
    lost = count_of(metrics.LOST_BROADCASTS, "frames")
    reader.subscribe("frames")
    meet(writer, reader, "frames", header(500))
    writer.send("frames", header(501))
    assert [message.id.seq for message in receive_all(reader, 1)] == [501]
    assert lost() == 0


def test_a_slow_reader_loses_broadcasts_counts_them_and_stops_nobody(world: World) -> None:
    writer, slow, quick = world.make("a"), world.make("slow"), world.make("quick")
    for reader in (slow, quick):
        reader.subscribe("frames")
        meet(writer, reader, "frames", header(0))
    while slow.receive(0.05):
        pass
    lost = count_of(metrics.LOST_BROADCASTS, "frames")
    heard_by_quick: list[AnyMessage] = []
    for last in range(50, 5001, 50):
        for seq in range(last - 49, last + 1):
            assert writer.send("frames", header(seq))
        heard_by_quick += receive_until_seq(quick, last)
        time.sleep(0.002)  # libzmq looks once a millisecond at what its readers have taken
    assert [message.id.seq for message in heard_by_quick] == list(range(1, 5001))
    assert lost() == 0
    heard = receive_all(slow, 5000, timeout_s=0.5)
    meet(writer, slow, "frames", header(9999))  # the gap shows with the next one that is heard
    seqs = [message.id.seq for message in heard]
    assert TOPICS["frames"].depth <= len(seqs) < 4000
    assert seqs == sorted(set(seqs))
    assert lost() >= 5000 - len(heard)


def receive_until_seq(reader: Channels, seq: int) -> list[AnyMessage]:
    messages: list[AnyMessage] = []
    deadline = time.monotonic() + 5
    while not messages or messages[-1].id.seq < seq:
        assert time.monotonic() < deadline, f"frame {seq} was not heard"
        messages += reader.receive(0.1)
    return messages


def test_a_writer_that_comes_back_is_heard_and_its_new_count_is_no_loss(world: World) -> None:
    first, reader = world.make("a"), world.make("r")
    reader.subscribe("frames")
    for _ in range(3):
        meet(first, reader, "frames", header(1))
    first.close()
    lost = count_of(metrics.LOST_BROADCASTS, "frames")
    second = world.make("a")
    meet(second, reader, "frames", header(2))
    second.send("frames", header(3))
    assert [message.id.seq for message in receive_all(reader, 1)] == [3]
    assert lost() == 0


# --- refusals ----------------------------------------------------------------------------------------------------


def test_what_is_malformed_oversized_or_unknown_is_counted_and_dropped(world: World) -> None:
    reader, sender = world.make("inspect.0"), world.make("x")
    reader.subscribe("due", "w")
    malformed = count_of(metrics.MALFORMED, "due")
    envelope = ENVELOPE.pack(1, 0)
    good = encode(due(1))
    unknown_field = bytes([WIRE_VERSION]) + msgspec.msgpack.encode(msgspec.to_builtins(due(1)) | {"surprise": 1})
    wrong = [
        b"",
        b"short",
        envelope,
        envelope + b"\x00",
        envelope + bytes([WIRE_VERSION + 1]) + good[1:],
        envelope + good[:-5],
        envelope + good + b"\x00",
        envelope + b"\x01\xc1",
        envelope + encode(credit(1)),  # a message, but of another topic
        envelope + unknown_field,
        envelope + bytes([WIRE_VERSION]) + bytes(MAX_MESSAGE_BYTES + 1),
    ]
    world.inject("due", "w", wrong)
    assert receive_all(reader, 1, timeout_s=1) == []
    assert malformed() == len(wrong)
    world.inject("due", "w", [envelope + good])
    assert receive_all(reader, 1) == [due(1)]
    sender.send("due", due(2), key="w")
    assert receive_all(reader, 1) == [due(2)]


def test_an_oversized_message_is_told_from_a_full_mailbox_and_harms_nothing(world: World) -> None:
    reader, sender = world.make("inspect.0"), world.make("x")
    reader.subscribe("due", "w")
    message, nameless = due(1), header(1)
    large_id = msgspec.structs.replace(nameless.id, camera="c" * MAX_MESSAGE_BYTES)
    too_large = msgspec.structs.replace(message, header=msgspec.structs.replace(nameless, id=large_id))
    with pytest.raises(MessageTooLargeError, match=f"bytes to topic due, the limit is {MAX_MESSAGE_BYTES}"):
        sender.send("due", too_large, key="w")
    assert sender.send("due", message, key="w")
    assert receive_all(reader, 1) == [message]


def test_what_a_killed_reader_had_in_hand_shows_between_sent_and_handled(world: World) -> None:
    sent, handled = (count_of(counter, "due") for counter in (metrics.MAILBOX_SENT, metrics.MAILBOX_HANDLED))
    sender, first = world.make("x"), world.make("inspect.0")
    first.subscribe("due", "w")
    for number in range(5):
        sender.send("due", due(number), key="w")
    assert len(receive_all(first, 5)) == 5
    first.receive(0.0)
    assert (sent(), handled()) == (5, 5)
    for number in range(3):
        sender.send("due", due(number), key="w")
    assert first.receive(5.0)
    first.close()  # in the middle of its work
    assert sent() == 8
    assert handled() == 5


@pytest.mark.parametrize(
    ("topic", "key", "message", "complaint"),
    [
        ("nonsense", "", due(1), "unknown topic 'nonsense', known: frames"),
        ("due", "", due(1), "needs a key"),
        ("inspections", "cam", inspection(1), "has no keys"),
        ("inspections", "", due(1), "carries Inspection"),
        ("frames", "", header(1), "not among the writers"),
    ],
)
def test_use_against_the_table_is_an_error(
    world: World, topic: str, key: str, message: AnyMessage, complaint: str
) -> None:
    stranger = world.make("stranger")
    with pytest.raises(ChannelError, match=complaint):
        stranger.send(topic, message, key)


def test_a_stage_does_not_hear_its_own_broadcasts(world: World) -> None:
    one, other = world.make("a"), world.make("b")
    one.subscribe("frames")
    meet(other, one, "frames", header(1))
    assert one.send("frames", header(2))
    other.send("frames", header(3))
    assert receive_all(one, 1) == [header(3)]


def test_a_topic_without_a_writer_cannot_be_subscribed(world: World) -> None:
    with pytest.raises(ChannelError, match="no stage publishes topic tracked"):
        world.make("r").subscribe("tracked")


# --- waiting -----------------------------------------------------------------------------------------------------


def test_receive_waits_for_the_first_message_and_no_longer(world: World) -> None:
    reader, sender = world.make("inspect.0"), world.make("x")
    reader.subscribe("due", "w")
    began = time.monotonic()
    assert not reader.receive(0.2)
    assert 0.19 < time.monotonic() - began < 1.0
    sender.send("due", due(1), key="w")
    began = time.monotonic()
    assert len(reader.receive(5.0)) == 1
    assert time.monotonic() - began < 1.0


def test_a_wake_fd_ends_the_waiting_and_is_left_to_its_owner(world: World) -> None:
    reader = world.make("capture")
    reader.subscribe("credit", "cam")
    wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        timer = threading.Timer(0.1, os.eventfd_write, (wake_fd, 1))
        timer.start()
        began = time.monotonic()
        assert not reader.receive(5.0, wake_fd)
        assert 0.05 < time.monotonic() - began < 1.0
        timer.join()
        assert not reader.receive(5.0, wake_fd), "still readable: returns at once"
        assert os.eventfd_read(wake_fd) == 1
        began = time.monotonic()
        assert not reader.receive(0.1, wake_fd)
        assert not reader.receive(0.1)
        assert time.monotonic() - began > 0.19
    finally:
        os.close(wake_fd)


def test_closing_is_quick_twice_and_with_messages_unsent(world: World) -> None:
    sender = world.make("x")
    for number in range(50):
        sender.send("due", due(number), key="nobody")
    began = time.monotonic()
    sender.close()
    sender.close()
    assert time.monotonic() - began < 0.5
