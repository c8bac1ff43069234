"""The record of a clip that does not exist: clips/<event>.json, which is otherwise the list of the clip's frames.

It is written when the clip is begun, so that it is right whatever happens to the recorder, and is replaced by the list,
or by the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

from stream_inspect.messages import Event
from stream_inspect.store.files import clip_list_name

NOT_FINISHED = "not_finished"
"""The clip is being made, or the recorder was killed meanwhile."""
_RECORD_MAX_BYTES = 2048
"""A list of frames is longer, and is not read."""


class MissingClip(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event has no clip: the cause that the log has too, or `NOT_FINISHED`."""

    version: int = 1
    event: str
    camera: str
    not_recorded: str


def write_missing(file: BinaryIO, event: Event, cause: str) -> None:
    """Write the record as JSON."""
    missing = MissingClip(event=event.id, camera=event.camera, not_recorded=cause)
    file.write(msgspec.json.format(msgspec.json.encode(missing), indent=1))


def why_missing(state_dir: Path, event_id: str) -> str:
    """The cause on record for this event; "" where its clip exists, or where nothing is known of it."""
    try:
        with open(f"{state_dir}/{clip_list_name(event_id)}", "rb") as file:
            record = file.read(_RECORD_MAX_BYTES + 1)
        return msgspec.json.decode(record, type=MissingClip).not_recorded if len(record) <= _RECORD_MAX_BYTES else ""
    except (OSError, msgspec.DecodeError):
        return ""
