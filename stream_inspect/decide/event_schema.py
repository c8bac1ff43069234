"""The event's JSON Schema, for receivers of alerts. `docs/event.schema.json` is this, committed."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_inspect.messages import EVENT_SCHEMA_VERSION, Event


def event_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one event as it is sent and written to events.jsonl."""
    schema = msgspec.json.schema(Event)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"stream_inspect event, version {EVENT_SCHEMA_VERSION}",
        **schema,
    }
