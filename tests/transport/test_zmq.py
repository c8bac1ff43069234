"""What is particular to the channels on ZeroMQ: socket files, killed processes, fairness."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stream_inspect import metrics
from stream_inspect.messages import AnyMessage
from stream_inspect.topics import TOPICS
from stream_inspect.transport.envelope import ChannelError
from stream_inspect.transport.zmq import MAX_PATH_BYTES, RECEIVE_MAX, ZmqChannels
from tests.transport.frames import due, header, inspection

SPAWN = multiprocessing.get_context("spawn")
WRITERS = {"frames": ["capture.0", "capture.1"]}


def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * (MAX_PATH_BYTES - len(str(tmp_path)) - 5))
    with pytest.raises(ChannelError, match=rf"at most {MAX_PATH_BYTES}: choose a shorter directory"):
        ZmqChannels(deep, "capture.0", WRITERS)
    with closing(ZmqChannels(deep, "reader", WRITERS)) as channels:
        with pytest.raises(ChannelError, match="shorter"):
            channels.subscribe("frames")
        with pytest.raises(ChannelError, match="shorter"):
            channels.send("due", due(1), key="inspect.0")


def test_the_run_directory_is_made_private(tmp_path: Path) -> None:
    with closing(ZmqChannels(tmp_path / "run", "capture.0", WRITERS)):
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "run" / "frames.capture.0.pub").is_socket()


def test_one_receive_is_bounded_and_fair(tmp_path: Path) -> None:
    with (
        closing(ZmqChannels(tmp_path, "x", {})) as loud,
        closing(ZmqChannels(tmp_path, "y", {})) as quiet,
        closing(ZmqChannels(tmp_path, "r", {})) as reader,
    ):
        reader.subscribe("inspections")
        reader.subscribe("due", "w")
        for number in range(TOPICS["due"].depth):
            assert loud.send("due", due(number, owner=1), key="w")
        assert quiet.send("due", due(0, owner=2), key="w")
        time.sleep(0.2)
        received = reader.receive(1.0)
        assert len(received) <= RECEIVE_MAX
        assert [message.owner for message in received].index(2) < 3, "the loud sender went first with all it had"


def test_what_is_sent_right_before_the_end_arrives(tmp_path: Path) -> None:
    with closing(ZmqChannels(tmp_path, "track", {})) as reader:
        reader.subscribe("inspections")
        for life in range(20):
            with closing(ZmqChannels(tmp_path, f"x{life}", {})) as sender:
                assert sender.send("inspections", inspection(life))
        received: list[AnyMessage] = []
        deadline = time.monotonic() + 5
        while len(received) < 20 and time.monotonic() < deadline:
            received += reader.receive(0.1)
    assert [message.frame.id.seq for message in received] == list(range(20))


def test_the_end_does_not_wait_long_for_a_reader_that_is_away(tmp_path: Path) -> None:
    with closing(ZmqChannels(tmp_path, "x", {})) as sender:
        for key in ("a", "b", "c"):
            assert sender.send("due", due(1), key=key)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0


def broadcast_for_ever(run_dir: str, name: str, session: int) -> None:
    with closing(ZmqChannels(Path(run_dir), name, WRITERS)) as channels:
        seq = 0
        while True:
            channels.send("frames", header(seq, ledger_index=session))
            seq += 1
            time.sleep(0.002)


def take_for_ever(run_dir: str) -> None:
    with closing(ZmqChannels(Path(run_dir), "inspect.0", WRITERS)) as channels:
        channels.subscribe("due", "w")
        while True:
            channels.receive(0.1)


@pytest.fixture
def children() -> Iterator[list[multiprocessing.process.BaseProcess]]:
    started: list[multiprocessing.process.BaseProcess] = []
    yield started
    for process in started:
        process.kill()
        process.join()


@pytest.mark.slow
def test_a_killed_writer_is_heard_again_from_the_same_name(
    tmp_path: Path, children: list[multiprocessing.process.BaseProcess]
) -> None:
    lost = metrics.LOST_BROADCASTS.labels("frames")._value
    before = lost.get()
    with closing(ZmqChannels(tmp_path, "reader", WRITERS)) as reader:
        reader.subscribe("frames")  # before any writer is there
        for life in range(5):
            process = SPAWN.Process(target=broadcast_for_ever, args=(str(tmp_path), "capture.0", life))
            process.start()
            children.append(process)
            heard: list[int] = []
            deadline = time.monotonic() + 10
            while len(heard) < 100 and time.monotonic() < deadline:
                heard += [message.id.seq for message in reader.receive(0.1) if message.ledger_index == life]
            assert len(heard) >= 100
            assert heard == list(range(heard[0], heard[0] + len(heard)))
            process.kill()
            process.join()
            assert (tmp_path / "frames.capture.0.pub").exists(), "the kill left its socket file, which must not hinder"
            while reader.receive(0.05):
                pass
    assert lost.get() == before


@pytest.mark.slow
def test_a_killed_reader_never_blocks_its_sender_and_its_next_life_takes_on(
    tmp_path: Path, children: list[multiprocessing.process.BaseProcess]
) -> None:
    with closing(ZmqChannels(tmp_path, "capture.0", WRITERS)) as sender:
        process = SPAWN.Process(target=take_for_ever, args=(str(tmp_path),))
        process.start()
        children.append(process)
        longest_s, refused = 0.0, 0
        until = time.monotonic() + 6
        killed = False
        while time.monotonic() < until:
            began = time.monotonic()
            refused += not sender.send("due", due(0), key="w")
            longest_s = max(longest_s, time.monotonic() - began)
            if not killed and time.monotonic() > until - 4:
                process.kill()
                process.join()
                killed = True
            time.sleep(0.001)
        assert killed
        assert refused > 100, "nobody reads: the bounded queue must have filled"
        with closing(ZmqChannels(tmp_path, "inspect.0", WRITERS)) as reader:
            reader.subscribe("due", "w")
            assert reader.receive(5.0)
            assert sender.send("due", due(1), key="w")
        assert longest_s < 0.1
