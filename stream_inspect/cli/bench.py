"""The command line of `stream-inspect bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_inspect.cli.shared import EXIT_FAILED, err, plain_errors, print_text

bench_app = typer.Typer(
    no_args_is_help=True,
    help="""Measure speed, as ratios against named peers in the same run.

    The peers have an environment of their own: create it with `make bench-env`.
    """,
)


@bench_app.command("transport")
def bench_transport(
    frames: Annotated[int, typer.Option(min=10, metavar="N", help="Frames per round.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; the lanes take turns in each.")] = 5,
) -> None:
    """Measure passing frames between two processes: the ring and a header against pyzmq, imagezmq and NetGear."""
    from stream_inspect.commands.bench.transport import run as run_bench

    with plain_errors():
        print_text(run_bench(frames=frames, rounds=rounds).to_text())


@bench_app.command("inspect")
def bench_inspect(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; the two paths take turns in each.")] = 5,
    detector: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
    segmenter: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
) -> None:
    """Measure judging a picture: our path against plain transformers, on the same weights and pictures."""
    from stream_inspect.commands.bench.inspect import run as run_bench

    with plain_errors():
        print_text(run_bench(rounds=rounds, detector=detector, segmenter=segmenter).to_text())


@bench_app.command("belt")
def bench_belt(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; the lanes take turns in each.")] = 5,
) -> None:
    """Measure looking at each frame for the belt's way and its parts: against what OpenCV has for the same."""
    from stream_inspect.commands.bench.look import run as run_bench

    with plain_errors():
        print_text(run_bench(rounds=rounds).to_text())


@bench_app.command("track")
def bench_track(
    quick: Annotated[bool, typer.Option(help="One run of a few cells of the tables, and no disturbed belts.")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=5, metavar="N", help="Runs of each cell of the tables.")] = 5,
) -> None:
    """Measure linking defects on a belt: against ByteTrack, SORT and OC-SORT, and where the belt is disturbed.

    Scores are TrackEval's. Fails if a goal is missed.
    """
    from rich.progress import Progress

    from stream_inspect import log
    from stream_inspect.commands.bench import belt, track

    log.configure("warning")
    with plain_errors(), Progress(console=err, transient=True) as bars:
        bar = bars.add_task("", total=None)

        def show(what: str, done: int, of: int) -> None:
            bars.update(bar, description=what, completed=done, total=of)

        report = track.run(quick=quick, seeds=seeds, progress=show)
        disturbed = None if quick else belt.run_all(lambda done, of: show("disturbed belts", done, of))
    print_text(report.to_text())
    if disturbed is not None:
        print_text(disturbed.to_text())
    if report.missed or (disturbed is not None and not disturbed.reached):
        raise typer.Exit(EXIT_FAILED)
