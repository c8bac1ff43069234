"""`stream-inspect parts`: counts and parts as CSV that a spreadsheet reads and does not calculate."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from stream_inspect.cli import app
from stream_inspect.messages import Event, Reason, Verdict
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database, part_counts
from stream_inspect.store.part_counts import PartCount, PartCountStore
from tests.alerts.events import a_part, an_event


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(
        f"version: 1\nstate_dir: {tmp_path}/state\n"
        "cameras:\n"
        "  - name: top\n"
        "    source: {kind: synthetic}\n"
        "    belt: {direction: left_to_right, speed_mm_s: 300, mm_per_px: 0.5}\n"
        "defects: [{name: hole, prompts: [hole]}]\n"
        "lines:\n"
        "  - name: line1\n"
        "    parts: {kind: background}\n"
        "    shifts_start: ['06:00', '22:00']\n"
        "    time_zone: Europe/Berlin\n"
    )
    return path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["parts", *(str(argument) for argument in arguments)])


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def utc_s(local: str) -> int:
    return round(datetime.fromisoformat(local).timestamp())


def counted(tmp_path: Path, *counts: PartCount) -> None:
    store = PartCountStore(part_counts(tmp_path / "state"))
    store.write(counts)
    store.close()


def a_count(first_part: int, shift: str, **more) -> PartCount:
    place = {"line": "line1", "run": 1, "lane": 0, "lot": "A", "shift_utc_s": utc_s(shift)}
    return PartCount(**{**place, "first_part": first_part, "entered": 1, **more})


NIGHT, DAY = "2026-11-28T22:00+01:00", "2026-11-29T06:00+01:00"


def test_the_runs_of_a_shift_are_one_row_with_its_sums_and_reasons(config: Path, tmp_path: Path) -> None:
    first = a_count(1, NIGHT, entered=10, passed=6, failed=1, undecided_by={Reason.NOT_JUDGED: 2, Reason.RESTARTED: 1})
    second = a_count(1, NIGHT, run=2, entered=5, passed=3, failed=2, late_defects=2, escapes=1)
    counted(tmp_path, first, second, a_count(6, DAY, lane=1, lot="B"))
    night, day = table(call("counts", config).stdout)
    assert {name: night[name] for name in list(night)[:11]} == {
        "line": "line1", "lane": "0", "lot": "A", "shift_start": NIGHT, "entered": "15", "passed": "9", "failed": "3",
        "undecided": "3", "on_belt": "0", "late_defects": "2", "escapes": "1",
    }  # fmt: skip
    assert (night["undecided_not_judged"], night["undecided_restarted"], night["undecided_too_late"]) == ("2", "1", "0")
    assert (day["lane"], day["lot"], day["shift_start"], day["on_belt"]) == ("1", "B", DAY, "1")


@pytest.mark.parametrize(
    ("options", "shifts"),
    [
        (["--since", "2026-11-29"], [DAY]),
        (["--until", "2026-11-29"], [NIGHT]),
        (["--since", "2026-11-28T22:00", "--until", "2026-11-29T06:00"], [NIGHT]),
        (["--since", "2026-11-28T21:00Z"], [NIGHT, DAY]),
        (["--since", "2026-11-28T21:01Z"], [DAY]),
    ],
)
def test_a_time_is_by_the_clock_of_the_line(
    config: Path, tmp_path: Path, options: list[str], shifts: list[str]
) -> None:
    counted(tmp_path, a_count(1, NIGHT), a_count(2, DAY))
    assert [row["shift_start"] for row in table(call("counts", config, *options).stdout)] == shifts


def with_serial(event: Event, serial: str) -> Event:
    return msgspec.structs.replace(event, part=msgspec.structs.replace(event.part, serial=serial))


@pytest.mark.parametrize(
    ("serial", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-7", "'-7"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("A\r=1\n=2", "A =1 =2"),
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("A-7", "A-7"),
    ],
)
def test_no_serial_and_no_lot_is_a_formula(config: Path, tmp_path: Path, serial: str, shown: str) -> None:
    counted(tmp_path, a_count(1, DAY, lot=serial))
    store = EventStore(events_database(tmp_path / "state"))
    store.append([with_serial(a_part(1), serial)])
    store.close()
    file = tmp_path / "out.csv"
    for command, column in (("counts", "lot"), ("list", "serial")):
        assert call(command, config, "--csv", file).exit_code == 0
        with file.open(newline="") as written:
            (row,) = csv.DictReader(written)
        assert row[column] == shown


def test_each_part_in_the_log_is_listed_with_what_is_known_of_it(config: Path, tmp_path: Path) -> None:
    store = EventStore(events_database(tmp_path / "state"))
    part = a_part(4)
    store.append([an_event(1), part, a_part(5, Verdict.UNDECIDED)])
    store.close()
    file = tmp_path / "parts.csv"
    assert call("list", config, "--csv", file).stdout == f"{file}: 2 rows\n"
    failed, undecided = table(file.read_text())
    assert (failed["id"], failed["serial"], failed["verdict"], failed["defects"]) == (
        part.id,
        "P-0004",
        "FAIL",
        "hole 0.80",
    )
    assert (undecided["reason"], undecided["why"]) == ("not_judged", "0 usable views, 3 needed; 3 not judged")
    decided = datetime.fromisoformat(failed["decided_utc"])
    assert abs(decided.timestamp() - part.last_seen_utc_ns / 1e9) < 0.002
    assert (datetime.fromisoformat(failed["gate_utc"]) - decided).total_seconds() == pytest.approx(0.9, abs=0.002)
    assert table(call("list", config, "--until", "2000-01-01").stdout) == []


@pytest.mark.parametrize("command", ["counts", "list"])
def test_what_is_not_there_or_not_a_time_is_an_error_and_leaves_the_file_alone(
    config: Path, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "kept.csv"
    file.write_text("before")
    for options in ([], ["--since", "yesterday"]):
        result = call(command, config, *options, "--csv", file)
        assert result.exit_code == 2
        expected = "yesterday" if options else str(tmp_path / "state")
        assert expected in "".join(result.stderr.split())
    assert file.read_text() == "before"
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cannot_be_written_is_an_error(config: Path, tmp_path: Path) -> None:
    counted(tmp_path, a_count(1, DAY))
    result = call("counts", config, "--csv", tmp_path / "no" / "such.csv")
    assert (result.exit_code, "No such file" in result.stderr) == (1, True)
