"""The command line of `stream-inspect belt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_inspect.cli.shared import (
    CameraOption,
    ConfigArgument,
    SetOption,
    load_config,
    out,
    plain_errors,
    print_text,
)
from stream_inspect.errors import UsageError


def belt(
    config: ConfigArgument,
    camera: CameraOption = None,
    clip: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure this film of the camera instead of the camera.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=60, metavar="S", help="Time to measure.")] = 5.0,
    pitch_mm: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="MM", help="Scale by the belt's own pattern: modules, ribs, cleats."),
    ] = None,
    target_mm: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="MM", help="Scale, and slant, by a printed checkerboard on the belt: one square's width."
        ),
    ] = None,
    two_points: Annotated[
        str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Scale by two points of the judged picture, in px.")
    ] = None,
    mm: Annotated[float | None, typer.Option(min=0.1, metavar="MM", help="Distance of the two points.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.PNG", help="The picture of what was found; default: belt-CAMERA.png.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the belt into CONFIG; comments stay.")] = False,
    overrides: SetOption = None,
) -> None:
    """Measure a belt: its direction at any angle, its speed, and the scale of the picture.

    The belt runs meanwhile, with parts or without. It draws what it found, and prints the lines for the configuration.
    The scale is that of the configuration, or one of these is given: the pitch of the belt's pattern; a checkerboard of
    at least 4 by 4 squares that lies on the belt, which also shows whether the camera sees it at a slant; or two points
    of the picture and their distance.

    Example: `stream-inspect belt line.yaml --camera top --clip film.mp4 --pitch-mm 25.4 --write`
    """
    from stream_inspect.commands.belt.run import Ruler, measure_belt, write_belt

    with plain_errors():
        loaded = load_config(config, overrides, camera, fetch_secrets=clip is None)
        ruler = Ruler(pitch_mm, target_mm, _points(two_points), mm)
        path = picture or Path(f"belt-{camera or loaded.cameras[0].name}.png")
        with out.status("opening …") as status:
            found = measure_belt(loaded, clip=clip, seconds=seconds, ruler=ruler, picture=path, show=status.update)
        print_text(found.to_text())
        if write:
            write_belt(config, load_config(config, None, fetch_secrets=False), found)
            print_text(f"\nwritten to {config}")


def _points(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"--two-points expects X1,Y1,X2,Y2 in px, such as 120,300,840,310, got {text!r}") from None
    return x1, y1, x2, y2
