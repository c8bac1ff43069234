"""The command line of `stream-inspect schema`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream_inspect.cli.shared import out, plain_errors

schema_app = typer.Typer(
    no_args_is_help=True, help="Print the JSON Schemas of the configuration, events, frames.jsonl and the status."
)


@schema_app.command("show")
def schema_show(
    name: Annotated[str, typer.Argument(metavar="config|event|frames|status", help="Which schema.")],
) -> None:
    """Print a JSON Schema.

    Example: `stream-inspect schema show event > event.schema.json`
    """
    from stream_inspect.commands.schemas import schema_text

    with plain_errors():
        sys.stdout.write(schema_text(name))


@schema_app.command("write")
def schema_write(
    root: Annotated[Path, typer.Argument(metavar="CHECKOUT", help="Root folder of a checkout.")] = Path(),
) -> None:
    """Regenerate the schemas and the configuration reference of a checkout (`make docs`)."""
    from stream_inspect.commands.schemas import write

    with plain_errors():
        for path in write(root):
            out.print(str(path), markup=False)
