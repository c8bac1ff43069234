"""The folder of a replay's results: what may be in it before, and the errors when it cannot be written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from stream_inspect.errors import StreamInspectError, UsageError

PARTS = "parts.jsonl"
RESULTS = ("events.jsonl", "frames.jsonl", PARTS, "annotated.mp4", "timing.json", "summary.json")
"""The files of a replay; summary.json is written last, so that a folder with it is complete."""
ANNOTATED, TABLE = "annotated", "verdicts.csv"
"""Of pictures: a folder instead of the video, and the table."""
_EVERY_RESULT = (ANNOTATED, TABLE, *RESULTS)


class ReplayError(UsageError):
    """The folder for the results is not one to write them to."""


class ResultsError(StreamInspectError):
    """The results could not be written (to the end)."""


def check_output_folder(out: Path, force: bool, inputs: Sequence[Path]) -> None:
    """Whether a replay to this folder would lose something, asked before the models are loaded. Changes nothing.

    Raises `ReplayError`.
    """
    for path in inputs:
        if _is_result(path.resolve(), out.resolve()):
            raise ReplayError(f"{path} would be overwritten by its own replay: choose another folder than {out}")
    with _refusing(out):
        if out.is_dir() and any(out.iterdir()) and not force:
            raise ReplayError(f"{out} is not empty: choose a new folder, or replace an earlier replay with --force")
        for name in (TABLE, *RESULTS):
            if (out / name).is_dir():
                raise ReplayError(f"{out / name} is a folder: nothing of an earlier replay has been replaced")


def prepare_output_folder(out: Path, force: bool, inputs: Sequence[Path]) -> None:
    """An empty folder for the results, or, with `force`, one without those of an earlier replay.

    Raises `ReplayError` where that would lose something, or where there can be no such folder.
    """
    check_output_folder(out, force, inputs)
    with _refusing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in reversed(_EVERY_RESULT):
            if (out / name).is_dir() and not (out / name).is_symlink():
                shutil.rmtree(out / name)
            else:
                (out / name).unlink(missing_ok=True)


def _is_result(path: Path, out: Path) -> bool:
    """Whether a replay to this folder replaces the file."""
    return path.is_relative_to(out) and path != out and path.relative_to(out).parts[0] in _EVERY_RESULT


@contextmanager
def _refusing(out: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise ReplayError(f"{out} is not a folder") from None
    except OSError as error:
        raise ReplayError(f"{error.filename or out} cannot be read, created or replaced: {error.strerror}") from None


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Around all that writes results: a full disk and the like become a `ResultsError` with a plain text."""
    try:
        yield
    except BrokenPipeError:  # who read what we print has gone, not the disk
        raise
    except OSError as error:
        raise ResultsError(f"the results cannot be written to {out}: {error.strerror}") from error


def write_json(path: Path, value: msgspec.Struct) -> None:
    """An indented document."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
