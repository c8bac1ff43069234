"""What of a changed configuration takes effect while the service runs, and what waits for a restart.

A key that takes effect is marked `RELOADABLE` at its field, together with all keys below it. The mark is
the only statement of it: what is taken over, what the log reports and what the reference says all follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from stream_inspect.config.base import RELOADABLE, Model
from stream_inspect.config.crosscheck import crosscheck
from stream_inspect.config.models import Config
from stream_inspect.config.tree import Path

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Reload:
    """A running configuration with the reloadable keys of a new one.

    Keys are named without their values, as users write them; list items by their name where they have one:
    `defects[scratch].threshold`, `inspect.workers[1].device`. An item that was added or removed is one key.
    """

    config: Config
    applied: list[str]
    """Keys that have another value than before, and are in use."""
    needs_restart: list[str]
    """All keys in which the new configuration still differs from what is in use."""


def reload(running: Config, new: Config) -> Reload:
    """Take from the new configuration what can change while the service runs."""
    config = _with_reloadable(running, new)
    # A reloadable key may depend on one that is not: an area in mm² is ignored until its camera's scale is in use.
    idle = [_key(config, finding.path) for finding in crosscheck(config, [])]
    applied = [key for key in _changed("", running, config) if key not in idle]
    return Reload(config, applied, [*_changed("", config, new), *idle])


def reloadable_values(config: Model) -> dict[str, Any]:
    """The reloadable keys with their values, as JSON has them, in the sections that they are in."""
    values: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if field.json_schema_extra == RELOADABLE:
            values[name] = config.model_dump(mode="json", include={name})[name]
        elif isinstance(value, Model) and (below := reloadable_values(value)):
            values[name] = below
    return values


def _with_reloadable(running: M, new: M) -> M:
    taken: dict[str, object] = {}
    for name, field in type(running).model_fields.items():
        ours, theirs = getattr(running, name), getattr(new, name)
        if field.json_schema_extra == RELOADABLE:
            taken[name] = theirs
        elif isinstance(ours, Model) and type(ours) is type(theirs):
            taken[name] = _with_reloadable(ours, theirs)
    return running.model_copy(update=taken)


def _changed(key: str, before: object, after: object) -> Iterator[str]:
    """The keys at and below this one whose values differ."""
    if before == after:
        return
    if isinstance(before, Model) and type(before) is type(after):
        for name in type(before).model_fields:
            yield from _changed(f"{key}.{name}".removeprefix("."), getattr(before, name), getattr(after, name))
    elif isinstance(before, list) and isinstance(after, list) and isinstance(next(iter(before or after)), Model):
        ours, theirs = _labelled(before), _labelled(after)
        found = [
            changed
            for label in {**ours, **theirs}
            for changed in _changed(f"{key}[{label}]", ours.get(label), theirs.get(label))
        ]
        yield from found or [key]  # the same items in another order
    else:
        yield key


def _labelled(items: Sequence[Model]) -> dict[object, Model]:
    return {_label(items, index): item for index, item in enumerate(items)}


def _label(items: Sequence[object], index: int) -> object:
    return getattr(items[index], "name", index)


def _key(config: Config, path: Path) -> str:
    key = ""
    value: Any = config
    for step in path:
        if isinstance(step, int):
            key, value = f"{key}[{_label(value, step)}]", value[step]
        else:
            key, value = f"{key}.{step}".removeprefix("."), getattr(value, step)
    return key
