from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.capture.session import SessionCounter


def test_numbers_go_on_in_another_life(tmp_path: Path) -> None:
    first = SessionCounter(tmp_path, "c1")
    assert [first.next(), first.next()] == [1, 2]
    assert SessionCounter(tmp_path, "c1").next() == 3
    assert SessionCounter(tmp_path, "c2").next() == 1


def test_a_life_cut_short_while_writing_hurts_nothing(tmp_path: Path) -> None:
    SessionCounter(tmp_path, "c1").next()
    (tmp_path / "sessions" / "c1.new").write_text("1", encoding="ascii")
    assert SessionCounter(tmp_path, "c1").next() == 2


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "c1").write_text("\0\0\0", encoding="ascii")
    with pytest.raises(ValueError, match="write a number larger than any session"):
        SessionCounter(tmp_path, "c1").next()
