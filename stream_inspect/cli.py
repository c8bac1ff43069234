"""The command line: parsing only, one function a command. What the commands do is in `commands/`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from stream_inspect import __version__
from stream_inspect.errors import StreamInspectError, UsageError


class Severity(StrEnum):
    """The severities of the configuration, for the command line."""

    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
"""The table in the help says what they mean."""

app = typer.Typer(
    name="stream-inspect",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Real-time inspection of production lines: defects described in plain words, no training.

    Begin with **stream-inspect demo**: a synthetic line, inspected on this computer. Then copy an example
    configuration, point it at your camera, ask **stream-inspect check** whether everything is there, and
    **stream-inspect run** it.

    | Exit code | of every command |
    |----:|-----|
    |   0 | done; `demo` and `run`: or stopped in good order by Ctrl-C or SIGTERM |
    |   1 | it failed, or what it checked is not all right |
    |   2 | a wrong option, name, file or configuration: all that is wrong is listed, nothing was done |
    | 130 | interrupted by Ctrl-C; `demo` and `run`: by a second one, which stops them at once |
    """,
)
prompts_app = typer.Typer(
    no_args_is_help=True,
    help="""Read and change the words that describe the defects, also while the service runs.

    A change is written into the configuration file (its comments stay) after the whole file has been validated; a
    running service takes it over from one frame to the next. A wrong change is refused whole; `undo` takes the last
    one back.
    """,
)
models_app = typer.Typer(
    no_args_is_help=True,
    help="""Models on this computer: list them, pull one from the hub, verify that its files are whole.

    Once pulled, no network is needed. `tiny` is embedded, for demonstration and tests.
    """,
)
bench_app = typer.Typer(
    no_args_is_help=True,
    help="""Speed, as ratios against named peers measured in the same run.

    The peers live in an environment of their own: `make bench-env`.
    """,
)
schema_app = typer.Typer(no_args_is_help=True, help="JSON Schemas of the configuration, of events and of frames.jsonl.")
app.add_typer(prompts_app, name="prompts")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(schema_app, name="schema")

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration file (YAML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a configuration key, as in `--set web.port=8090`; repeatable.",
    ),
]
CameraOption = Annotated[str | None, typer.Option("--camera", metavar="NAME", help="Only this camera.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """The entry point `stream-inspect`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Print an error that the user can mend as one message without a traceback, and exit with its code."""
    try:
        yield
    except StreamInspectError as error:
        err.print("error:", style="bold red", end=" ")
        err.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from error
    except KeyboardInterrupt:
        err.print("interrupted before it was done")
        raise typer.Exit(EXIT_INTERRUPTED) from None


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


# --- the service -------------------------------------------------------------------------------------------------


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Stop this long after the first frame; at Ctrl-C if absent."),
    ] = None,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Events, clips, pictures, summary.")] = Path(
        "demo-out"
    ),
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Another seed shows another belt, parts and defects.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the live page in a browser.")] = True,
    overrides: SetOption = None,
) -> None:
    """Inspect the synthetic line: cameras, models, tracking, alerts, clips and the live page, all on this computer.

    No camera, no GPU and no network are needed. At the end, DIR/summary.json says how many frames were captured and
    judged, which defects were found and missed against the exact truth, and how long an alert took.
    """
    from stream_inspect.commands.demo.run import demo as run_demo
    from stream_inspect.commands.demo.view import DemoView

    with _told_plainly(), DemoView(out) as view:
        summary = run_demo(
            out_dir,
            seconds=seconds,
            seed=seed,
            browser=browser,
            overrides=tuple(overrides or ()),
            show=view.show,
            started=view.started,
        )
        view.finished(summary, out_dir)


@app.command()
def run(config: ConfigArgument, overrides: SetOption = None, camera: CameraOption = None) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    It stops in good order within three seconds; a second Ctrl-C stops it at once.
    """
    from stream_inspect import log
    from stream_inspect.config.load import load
    from stream_inspect.service.serve import serve

    with _told_plainly():
        loaded = load(config, overrides or ())
        if camera:
            loaded = loaded.only_camera(camera)
        log.configure(loaded.log.level, loaded.log.format)
        serve(loaded, config_path=config.resolve(), overrides=tuple(overrides or ()))


@app.command()
def replay(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", exists=True, dir_okay=False, help="A recorded video file.")],
    config: Annotated[Path, typer.Option("--config", metavar="CONFIG", help="Whose prompts, models and rules.")],
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder for the results.")],
    inspections: Annotated[
        Path | None,
        typer.Option(
            metavar="FRAMES.JSONL",
            exists=True,
            dir_okay=False,
            help="Decide again from these detections, without the models.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the results of an earlier replay in DIR.")] = False,
    overrides: SetOption = None,
    camera: CameraOption = None,
) -> None:
    """Judge a recorded video as fast as it can be judged, dropping nothing.

    Writes events.jsonl, frames.jsonl (the detections), annotated.mp4 and summary.json, the same byte for byte at each
    run, and timing.json for all that is wall time.
    """
    from stream_inspect.commands.replay.run import replay as run_replay
    from stream_inspect.commands.replay.view import ReplayView
    from stream_inspect.config.load import load

    with _told_plainly(), ReplayView(out) as view:
        loaded = load(config, overrides or ())
        if camera:
            loaded = loaded.only_camera(camera)
        summary = run_replay(video, loaded, out_dir, inspections=inspections, progress=view.show, force=force)
        view.finished(summary, out_dir)


@app.command()
def check(config: ConfigArgument, overrides: SetOption = None, camera: CameraOption = None) -> None:
    """Try everything a configuration needs: cameras, models, outputs, memory, disk. Changes nothing.

    Exit code 0 when all is well, 1 when something will not work, 2 when the configuration itself is wrong.
    """
    from stream_inspect.commands.check.run import check as run_check
    from stream_inspect.config.load import load

    with _told_plainly():
        loaded = load(config, overrides or ())
        if camera:
            loaded = loaded.only_camera(camera)
        with out.status("trying …") as status:
            report = run_check(loaded, found=lambda finding: status.update(f"tried {escape(finding.item)} …"))
    out.print(report.to_text(out.width if out.is_terminal else None), markup=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def refused(
    config: ConfigArgument,
    overrides: SetOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The events themselves, one a line, to be sent again by hand.")
    ] = False,
) -> None:
    """List the events that an output refused for good, each with the reason. Works while the service runs.

    An output that is out of reach refuses nothing: its events wait. Refused is what a receiver says it will never take
    (HTTP 4xx, a message too large for the broker); the log says so at once, and the event is kept.
    """
    from stream_inspect.commands.refused import refused as refused_events
    from stream_inspect.config.load import load

    with _told_plainly():
        for line in refused_events(load(config, overrides or ()), as_json=as_json):
            _print_text(line)


# --- prompts -----------------------------------------------------------------------------------------------------


def _print_text(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


DefectArgument = Annotated[str, typer.Argument(metavar="DEFECT", help="The defect's name, as in the configuration.")]
PromptOption = Annotated[
    list[str] | None,
    typer.Option("--prompt", metavar="TEXT", help="A wording; repeatable."),
]
CounterPromptOption = Annotated[
    list[str] | None,
    typer.Option("--counter-prompt", metavar="TEXT", help="What looks alike and is no defect; repeatable."),
]
ThresholdOption = Annotated[
    float | None, typer.Option(metavar="SCORE", help="Lowest score that counts, between 0 and 1.")
]
AreaMm2Option = Annotated[
    float | None, typer.Option(metavar="MM2", help="Smallest area, where the camera's scale is known.")
]
AreaPxOption = Annotated[
    float | None, typer.Option(metavar="PX", help="Smallest area, in square pixels of the judged picture.")
]
SeverityOption = Annotated[Severity | None, typer.Option(help="How bad it is.")]


@prompts_app.command("show")
def prompts_show(
    config: ConfigArgument,
    defect: Annotated[str | None, typer.Argument(metavar="DEFECT", help="Only this one.")] = None,
) -> None:
    """The defects with their wordings, thresholds and severities."""
    from stream_inspect.commands.prompts import show

    with _told_plainly():
        _print_text(show(config, defect))


@prompts_app.command("set")
def prompts_set(
    config: ConfigArgument,
    defect: DefectArgument,
    prompt: PromptOption = None,
    counter_prompt: CounterPromptOption = None,
    threshold: ThresholdOption = None,
    min_area_mm2: AreaMm2Option = None,
    min_area_px: AreaPxOption = None,
    severity: SeverityOption = None,
) -> None:
    """Change what is given of a defect; the rest stays. A running service follows within a second.

    The wordings that are given replace all that there were, and so do the counter-prompts.

    `stream-inspect prompts set line.yaml scratch --prompt "a thin scratch" --prompt "a scrape" --threshold 0.25`
    """
    from stream_inspect.commands.prompts import set_prompts

    with _told_plainly():
        _print_text(
            set_prompts(
                config,
                defect,
                prompts=prompt,
                counter_prompts=counter_prompt,
                threshold=threshold,
                min_area_mm2=min_area_mm2,
                min_area_px=min_area_px,
                severity=severity.value if severity else None,
            )
        )


@prompts_app.command("add")
def prompts_add(
    config: ConfigArgument,
    defect: DefectArgument,
    prompt: Annotated[list[str], typer.Option("--prompt", metavar="TEXT", help="A wording; repeatable.")],
    counter_prompt: CounterPromptOption = None,
    threshold: ThresholdOption = None,
    min_area_mm2: AreaMm2Option = None,
    min_area_px: AreaPxOption = None,
    severity: SeverityOption = None,
) -> None:
    """Look for another defect from now on."""
    from stream_inspect.commands.prompts import add

    with _told_plainly():
        _print_text(
            add(
                config,
                defect,
                prompt,
                counter_prompts=counter_prompt or (),
                threshold=threshold,
                min_area_mm2=min_area_mm2,
                min_area_px=min_area_px,
                severity=severity.value if severity else None,
            )
        )


@prompts_app.command("remove")
def prompts_remove(config: ConfigArgument, defect: DefectArgument) -> None:
    """Stop looking for a defect."""
    from stream_inspect.commands.prompts import remove

    with _told_plainly():
        _print_text(remove(config, defect))


@prompts_app.command("undo")
def prompts_undo(config: ConfigArgument) -> None:
    """Take the last change of the prompts back; a second time makes it again."""
    from stream_inspect.commands.prompts import undo

    with _told_plainly():
        _print_text(undo(config))


# --- models ------------------------------------------------------------------------------------------------------


@models_app.command("list")
def models_list() -> None:
    """The models on this computer: embedded, fetched from the hub, and the default ones that are missing."""
    from stream_inspect.commands.models import list_models

    with _told_plainly():
        raise typer.Exit(list_models(out))


@models_app.command("pull")
def models_pull(
    model: Annotated[str, typer.Argument(metavar="ID", help="A hub id: google/owlv2-base-patch16-ensemble")],
    revision: Annotated[str | None, typer.Option(metavar="REVISION", help="A branch, tag or commit to pin.")] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Into this folder, to carry to a computer without a network.")
    ] = None,
) -> None:
    """Fetch a model from the hub, once; after that no network is needed."""
    from stream_inspect.commands.models import pull

    with _told_plainly():
        raise typer.Exit(pull(out, model, revision=revision, to=to))


@models_app.command("verify")
def models_verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Ids or folders; all that are here if none.")
    ] = None,
) -> None:
    """Read every byte of the models' files and say which are damaged or missing."""
    from stream_inspect.commands.models import verify

    with _told_plainly():
        raise typer.Exit(verify(out, models or ()))


# --- bench -------------------------------------------------------------------------------------------------------


@bench_app.command("transport")
def bench_transport(
    frames: Annotated[int, typer.Option(min=10, metavar="N", help="Frames in each round.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds, the peers in turn.")] = 5,
) -> None:
    """Frames between two processes: the ring and a header, against raw pyzmq and imagezmq."""
    from stream_inspect.commands.bench.transport import run as run_bench

    with _told_plainly():
        _print_text(run_bench(frames=frames, rounds=rounds).to_text())


@bench_app.command("inspect")
def bench_inspect(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds, the two in turn.")] = 5,
    detector: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
    segmenter: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
) -> None:
    """Judging a picture: our path against the plain transformers one, on the same weights and pictures."""
    from stream_inspect.commands.bench.inspect import run as run_bench

    with _told_plainly():
        _print_text(run_bench(rounds=rounds, detector=detector, segmenter=segmenter).to_text())


@bench_app.command("track")
def bench_track() -> None:
    """Linking defects on a belt: our trackers against ByteTrack and SORT of the `trackers` package."""
    from stream_inspect.commands.bench.track import run as run_bench

    with _told_plainly():
        _print_text(run_bench().to_text())


# --- schemas -----------------------------------------------------------------------------------------------------


@schema_app.command("show")
def schema_show(name: Annotated[str, typer.Argument(metavar="config|event|frames")]) -> None:
    """Print a schema."""
    from stream_inspect.commands.schemas import schema_text

    with _told_plainly():
        sys.stdout.write(schema_text(name))


@schema_app.command("write")
def schema_write(root: Annotated[Path, typer.Argument(metavar="CHECKOUT", help="Its root folder.")] = Path()) -> None:
    """Generate the schemas and the configuration reference of a checkout anew (`make docs`)."""
    from stream_inspect.commands.schemas import write

    with _told_plainly():
        for path in write(root):
            out.print(str(path), markup=False)
