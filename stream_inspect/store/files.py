"""Where things lie in a state folder. Media names are relative to it, as events, pages and the recorder use them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

LOCK = ".lock"
"""Locked by the process that writes in the folder."""
PICTURES, CLIPS = "pictures", "clips"


def line_dir(state_dir: Path) -> Path:
    """The folder of the processes that live with the line: their sockets and locks."""
    return state_dir / "line"


OUTPUTS_DATABASE = "outputs.sqlite"
"""What became of the events at each output; in the folder of the event log."""


def events_database(state_dir: Path) -> Path:
    """The file of the event log."""
    return state_dir / "events.sqlite"


def events_journal(state_dir: Path) -> Path:
    """What is on its way into the event log, see `store/journal.py`."""
    return state_dir / "events.journal"


def part_counts(state_dir: Path) -> Path:
    """How many parts had which verdict, by lot and shift."""
    return state_dir / "parts.sqlite"


def start_file(state_dir: Path) -> Path:
    """How long the last start took, see `service/start_time.py`."""
    return state_dir / "start.json"


def retention_clock(state_dir: Path, of: str) -> Path:
    """What the retention of "events" or "media" knows of the clock, see `store/retention_clock.py`."""
    return state_dir / f"{of}.clock"


def events_held(memory_dir: Path, state_dir: Path) -> Path:
    """The events of this state folder that are in no file of it yet, in a folder that is in memory."""
    digest = hashlib.blake2b(os.fsencode(state_dir.resolve()), digest_size=8).hexdigest()
    return memory_dir / f"stream_inspect.events.{digest}"


def picture_name(event_id: str) -> str:
    """The annotated picture of an event's judged frame."""
    return f"{PICTURES}/{event_id}.jpg"


def clip_name(event_id: str) -> str:
    """The clip around an event."""
    return f"{CLIPS}/{event_id}.mp4"


def clip_list_name(event_id: str) -> str:
    """The list of a clip's frames, with the boxes drawn in them."""
    return f"{CLIPS}/{event_id}.json"
