"""The command line of `stream-inspect parts`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_inspect.cli.shared import ConfigArgument, SetOption, load_config, plain_errors, print_text
from stream_inspect.errors import StreamInspectError

if TYPE_CHECKING:
    from stream_inspect.commands.parts import Row

parts_app = typer.Typer(no_args_is_help=True, help="Export what a line made, as CSV. Works while the service runs.")

_SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="From this date, or date and time, on; by the line's clock.")
]
_UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Before this date, or date and time.")]
_CsvOption = Annotated[Path, typer.Option("--csv", metavar="FILE", help="File to write; - for standard output.")]
_STDOUT = Path("-")


@parts_app.command("counts")
def parts_counts(
    config: ConfigArgument,
    overrides: SetOption = None,
    since: _SinceOption = None,
    until: _UntilOption = None,
    file: _CsvOption = _STDOUT,
) -> None:
    """Export how many parts had which verdict: a row for each line, lane, lot and shift.

    entered = passed + failed + undecided + on_belt. The columns after `escapes` are the undecided ones by reason. A lot
    or serial that a spreadsheet would take for a formula begins with an apostrophe.

    Example: `stream-inspect parts counts line.yaml --since 2026-11-29 --csv week.csv`
    """
    from stream_inspect.commands.parts import counts

    with plain_errors():
        _write(counts(load_config(config, overrides, fetch_secrets=False), since=since, until=until), file)


@parts_app.command("list")
def parts_list(
    config: ConfigArgument,
    overrides: SetOption = None,
    since: _SinceOption = None,
    until: _UntilOption = None,
    file: _CsvOption = _STDOUT,
) -> None:
    """Export the parts in the event log: FAIL and UNDECIDED, and PASS where an output asks for it.

    Example: `stream-inspect parts list line.yaml --since 2026-11-29T06:00 --until 2026-11-29T14:00 --csv shift.csv`
    """
    from stream_inspect.commands.parts import parts

    with plain_errors():
        _write(parts(load_config(config, overrides, fetch_secrets=False), since=since, until=until), file)


def _write(rows: Iterator[Row], path: Path) -> None:
    from stream_inspect.commands.parts import write_csv

    rows = chain([next(rows)], rows)  # what is wrong is known by then: no file is replaced by an empty one
    if path == _STDOUT:
        write_csv(sys.stdout, rows)
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            written = write_csv(file, rows)
    except OSError as error:
        raise StreamInspectError(f"cannot write {path}: {error.strerror}") from error
    print_text(f"{path}: {written} {'row' if written == 1 else 'rows'}")
