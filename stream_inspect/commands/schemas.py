"""The JSON Schemas that other programs rely on, and the generated documents of the checkout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_inspect.alerts.status import status_schema
from stream_inspect.commands.replay.frames import frames_schema
from stream_inspect.config import reference
from stream_inspect.config.schema import json_schema
from stream_inspect.decide.event_schema import event_schema
from stream_inspect.errors import UsageError

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "config": json_schema,
    "event": event_schema,
    "frames": frames_schema,
    "status": status_schema,
}


def schema_text(name: str) -> str:
    """The schema as the committed file holds it. Raises `UsageError` for an unknown name."""
    if name not in SCHEMAS:
        raise UsageError(f"no schema named {name!r}; available: {', '.join(SCHEMAS)}")
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def write(root: Path) -> list[Path]:
    """Regenerate all committed schemas and references of the checkout at `root`; returns their paths."""
    if not (root / "pyproject.toml").is_file():
        raise UsageError(f"{root.resolve()} is not a checkout of stream_inspect: run it in one, or name one")
    written = reference.write(root)
    for name in ("event", "frames", "status"):
        path = root / "docs" / f"{name}.schema.json"
        path.write_text(schema_text(name), encoding="utf-8")
        written.append(path)
    return written
