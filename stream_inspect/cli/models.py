"""The command line of `stream-inspect models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_inspect.cli.shared import out, plain_errors

models_app = typer.Typer(
    no_args_is_help=True,
    help="""List the models on this computer, download one from the hub, verify its files.

    Once a model is downloaded, no network is needed. `tiny` is embedded, for demonstration and tests.
    """,
)


@models_app.command("list")
def models_list() -> None:
    """List the models on this computer: embedded ones, downloaded ones, and the defaults that are missing."""
    from stream_inspect.commands.models import list_models

    with plain_errors():
        raise typer.Exit(list_models(out))


@models_app.command("pull")
def models_pull(
    model: Annotated[str, typer.Argument(metavar="ID", help="Hub id, for example google/owlv2-base-patch16-ensemble.")],
    revision: Annotated[str | None, typer.Option(metavar="REVISION", help="Branch, tag or commit to pin.")] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Target folder, to copy to a computer without a network.")
    ] = None,
) -> None:
    """Download a model from the hub, once; after that no network is needed.

    Example: `stream-inspect models pull google/owlv2-base-patch16-ensemble`
    """
    from stream_inspect.commands.models import pull

    with plain_errors():
        raise typer.Exit(pull(out, model, revision=revision, to=to))


@models_app.command("verify")
def models_verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Hub ids or folders; default: all on this computer.")
    ] = None,
) -> None:
    """Read every byte of the models' files and report damaged and missing ones."""
    from stream_inspect.commands.models import verify

    with plain_errors():
        raise typer.Exit(verify(out, models or ()))
