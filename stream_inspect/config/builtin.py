"""The example configurations that come with the package."""

from __future__ import annotations

from pathlib import Path

from stream_inspect.config.problems import did_you_mean
from stream_inspect.errors import StreamInspectError

_PACKAGE = Path(__file__).parents[1]


def builtin_config(name: str) -> Path:
    """The file of an example (`demo`, `one-rtsp-camera`, ...). Raises `StreamInspectError` where there is none."""
    folder = _folder()
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise StreamInspectError(
            f"no example configuration named {name!r}; available: {', '.join(known)}.{did_you_mean(name, known)}"
        )
    return path


def _folder() -> Path:
    """`stream_inspect/configs` in an installed wheel, `configs` next to the package in a checkout."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"
