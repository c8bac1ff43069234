"""Session numbers: never given twice, whatever happens to the disk and to the file."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.session import SessionCounter

FILE_BYTES = 1024


def file_of(state_dir: Path) -> Path:
    return state_dir / "sessions" / "c1"


def counted(state_dir: Path, times: int) -> list[int]:
    counter = SessionCounter(state_dir, "c1")
    return [counter.next() for _ in range(times)]


def test_numbers_go_on_in_another_life(tmp_path: Path) -> None:
    assert counted(tmp_path, 3) == [1, 2, 3]
    assert counted(tmp_path, 2) == [4, 5]
    assert SessionCounter(tmp_path, "c2").next() == 1
    assert file_of(tmp_path).stat().st_size == FILE_BYTES


def test_a_life_cut_short_while_making_the_file_hurts_nothing(tmp_path: Path) -> None:
    file_of(tmp_path).parent.mkdir()
    (tmp_path / "sessions" / "c1.new").write_text("half", encoding="ascii")
    assert counted(tmp_path, 2) == [1, 2]


@given(
    times=st.integers(1, 5),
    offset=st.integers(0, FILE_BYTES - 1),
    noise=st.binary(min_size=1, max_size=600),
    cut=st.none() | st.integers(0, FILE_BYTES - 1),
)
def test_no_number_is_given_twice_however_the_file_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, times: int, offset: int, noise: bytes, cut: int | None
) -> None:
    state_dir = tmp_path_factory.mktemp("state")
    given_numbers = counted(state_dir, times)
    raw = bytearray(file_of(state_dir).read_bytes())
    raw[offset : offset + len(noise)] = noise
    file_of(state_dir).write_bytes(raw[:FILE_BYTES] if cut is None else raw[:cut])
    given_numbers += counted(state_dir, 2) + counted(state_dir, 2)
    assert given_numbers == sorted(set(given_numbers))


def test_a_damaged_slot_may_have_held_the_last_number(tmp_path: Path) -> None:
    counted(tmp_path, 2)  # 2 lies in the second slot, 1 in the first
    with file_of(tmp_path).open("r+b") as file:
        file.seek(FILE_BYTES // 2)
        file.write(b"\0" * 16)
    with structlog.testing.capture_logs() as logs:
        assert counted(tmp_path, 2) == [3, 4]
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.parametrize("content", [b"", b"17\n", b"\0" * FILE_BYTES])
def test_a_lost_count_continues_far_ahead_with_a_warning(tmp_path: Path, content: bytes) -> None:
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(content)
    now_ms = time.time_ns() // 1_000_000
    with structlog.testing.capture_logs() as logs:
        first = SessionCounter(tmp_path, "c1").next()
    assert now_ms <= first < now_ms + 10_000
    assert logs[0]["next_session"] == first
    with structlog.testing.capture_logs():
        assert counted(tmp_path, 3)[0] > first


def test_a_lost_count_continues_ahead_even_if_the_clock_went_back(tmp_path: Path) -> None:
    file_of(tmp_path).parent.mkdir()
    file_of(tmp_path).write_bytes(b"")
    future_s = int(time.time()) + 86_400 * 365
    os.utime(file_of(tmp_path), (future_s, future_s))
    assert SessionCounter(tmp_path, "c1").next() == future_s * 1000


def test_counting_needs_no_room_on_the_disk(small_disk: Path) -> None:
    assert counted(small_disk, 1) == [1]
    fill(small_disk)
    assert counted(small_disk, 3) == [2, 3, 4]


def test_a_disk_that_was_full_from_the_beginning_costs_no_session(small_disk: Path) -> None:
    """A camera that reconnected was not read until there was room."""
    filler = fill(small_disk)
    counter = SessionCounter(small_disk, "c1")
    began_ms = time.time_ns() // 1_000_000
    with structlog.testing.capture_logs() as logs:
        numbers = [counter.next() for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= began_ms
    assert [entry["event"] for entry in logs] == ["cannot write the session counter; numbering by the clock"]
    assert "No space left" in logs[0]["error"]
    filler.unlink()
    assert counter.next() == numbers[-1] + 1
    assert SessionCounter(small_disk, "c1").next() == numbers[-1] + 2, "it is on disk again"


def test_a_disk_that_does_not_answer_costs_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SessionCounter(tmp_path, "c1")
    assert counter.next() == 1
    answers = threading.Event()
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (answers.wait(30), sync(descriptor)))
    numbers = [counter.next(), counter.next()]
    assert 10**12 < numbers[0] < numbers[1]
    answers.set()
    assert counter._writing is not None
    counter._writing.join()
    assert counter.next() == numbers[1] + 1
    assert SessionCounter(tmp_path, "c1").next() == numbers[1] + 2


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


class TestALostCounter:
    """The event log remembers sessions too: an id that it holds must not come again."""

    def test_continues_after_the_session_that_is_known(self, tmp_path: Path) -> None:
        counted(tmp_path, 3)
        file_of(tmp_path).unlink()
        with structlog.testing.capture_logs() as logs:
            SessionCounter(tmp_path, "c1").begin_after(3)
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert counted(tmp_path, 2) == [4, 5]

    def test_one_of_a_backup_continues_after_it_as_well(self, tmp_path: Path) -> None:
        counted(tmp_path, 3)
        SessionCounter(tmp_path, "c1").begin_after(17)
        assert counted(tmp_path, 2) == [18, 19]

    @pytest.mark.parametrize("times", [0, 3, 4])
    def test_one_that_is_not_lost_stays_as_it_is(self, tmp_path: Path, times: int) -> None:
        """Most sessions make no event: the counter is ahead of the log."""
        counted(tmp_path, times)
        with structlog.testing.capture_logs() as logs:
            SessionCounter(tmp_path, "c1").begin_after(min(times, 3))
        assert logs == []
        assert counted(tmp_path, 1) == [times + 1]

    def test_one_that_is_damaged_continues_far_ahead(self, tmp_path: Path) -> None:
        counted(tmp_path, 3)
        file_of(tmp_path).write_bytes(b"17")
        SessionCounter(tmp_path, "c1").begin_after(3)
        assert counted(tmp_path, 1)[0] > 10**12
