"""What every command of the command line shares: its arguments, its two consoles, how it ends with an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream_inspect.errors import StreamInspectError, UsageError

if TYPE_CHECKING:  # at run time each command imports only what it needs, so that `--help` is fast
    from stream_inspect.config.models import Config

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
"""Explained by the table in the help."""

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration file (YAML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a configuration key, for example `--set web.port=8090`; repeatable.",
    ),
]
CameraOption = Annotated[str | None, typer.Option("--camera", metavar="NAME", help="Use only this camera.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print an error that the user can fix as one message without a traceback, and exit with its code."""
    try:
        yield
    except StreamInspectError as error:
        err.print("error:", style="bold red", end=" ")
        err.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from error
    except KeyboardInterrupt:
        err.print("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def load_config(
    path: Path, overrides: list[str] | None, camera: str | None = None, *, fetch_secrets: bool = True
) -> Config:
    """Without `fetch_secrets` for a command that connects to nothing: it runs where no password is known."""
    from stream_inspect.config.load import load

    config = load(path, overrides or (), fetch_secrets=fetch_secrets)
    return config.only_camera(camera) if camera else config


def print_text(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
