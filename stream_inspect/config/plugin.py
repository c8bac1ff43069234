"""Plug-ins of other packages, as far as a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect import registry
from stream_inspect.config.problems import did_you_mean


def unknown_plugin(kind: registry.Kind, name: str, more: Sequence[str] = ()) -> str:
    """What is wrong with the name of a plug-in, or nothing. `more` are words allowed beside the names."""
    if name in registry.BUILT_IN[kind]:
        return ""  # looking for installed plug-ins takes tens of milliseconds
    known = [*more, *registry.names(kind)]
    if name in known:
        return ""
    return f'no {kind} is called "{name}"; there are: {", ".join(known)}.{did_you_mean(name, known)}'
