"""The command line: parsing only, one function for each command. The work is in `commands/`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from stream_inspect import __version__
from stream_inspect.errors import StreamInspectError, UsageError

if TYPE_CHECKING:  # at run time each command imports only what it needs, so that `--help` is fast
    from stream_inspect.config.models import Config


Severity = Literal["minor", "major", "critical"]

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
"""Explained by the table in the help."""

app = typer.Typer(
    name="stream-inspect",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Inspect production lines in real time: defects are described in plain words, nothing is trained.

    Start with **stream-inspect demo**: a synthetic line, inspected on this computer. Then copy an example
    configuration, enter your camera, try it with **stream-inspect check** and start the service with
    **stream-inspect run**.

    | Exit code | of every command |
    |----:|-----|
    |   0 | done; `demo` and `run`: or stopped by Ctrl-C or SIGTERM |
    |   1 | failed, or a check did not pass |
    |   2 | invalid option, name, file or configuration: every problem is listed; nothing was changed |
    | 130 | interrupted by Ctrl-C; `demo` and `run`: by a second Ctrl-C, which stops them at once |
    """,
)
prompts_app = typer.Typer(
    no_args_is_help=True,
    help="""Show and change the wordings that describe the defects, also while the service runs.

    A change is written to the configuration file, comments kept, after the whole file has been validated; a running
    service applies it from one frame to the next. An invalid change is rejected as a whole; `undo` reverts the last
    change.
    """,
)
models_app = typer.Typer(
    no_args_is_help=True,
    help="""List the models on this computer, download one from the hub, verify its files.

    Once a model is downloaded, no network is needed. `tiny` is embedded, for demonstration and tests.
    """,
)
bench_app = typer.Typer(
    no_args_is_help=True,
    help="""Measure speed, as ratios against named peers in the same run.

    The peers have an environment of their own: create it with `make bench-env`.
    """,
)
schema_app = typer.Typer(
    no_args_is_help=True, help="Print the JSON Schemas of the configuration, events and frames.jsonl."
)
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
        help="Override a configuration key, for example `--set web.port=8090`; repeatable.",
    ),
]
CameraOption = Annotated[str | None, typer.Option("--camera", metavar="NAME", help="Use only this camera.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """The entry point `stream-inspect`."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _plain_errors() -> Iterator[None]:
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


def _loaded(path: Path, overrides: list[str] | None, camera: str | None = None) -> Config:
    from stream_inspect.config.load import load

    config = load(path, overrides or ())
    return config.only_camera(camera) if camera else config


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
        typer.Option(min=1, metavar="SECONDS", help="Stop this long after the first frame; default: at Ctrl-C."),
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for events, clips, pictures and summary.")
    ] = Path("demo-out"),
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of the belt, its parts and their defects.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the live page in a browser.")] = True,
    overrides: SetOption = None,
) -> None:
    """Inspect the synthetic line: cameras, models, tracking, alerts, clips and the live page, all on this computer.

    It needs no camera, no GPU and no network. At the end, DIR/summary.json reports the frames captured and judged, the
    defects found and missed against the exact truth, and the latency from capture to alert.

    Example: `stream-inspect demo --seconds 30 --no-browser`
    """
    from stream_inspect.commands.demo.run import demo as run_demo
    from stream_inspect.commands.demo.view import DemoView

    with _plain_errors(), DemoView(out) as view:
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

    It finishes what is in progress and stops within three seconds; a second Ctrl-C stops it at once.

    Example: `stream-inspect run line.yaml --camera top --set log.level=debug`
    """
    from stream_inspect import log
    from stream_inspect.service.serve import serve

    with _plain_errors():
        loaded = _loaded(config, overrides, camera)
        log.configure(loaded.log.level, loaded.log.format)
        serve(loaded, config_path=config.resolve(), overrides=tuple(overrides or ()))


@app.command()
def replay(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", exists=True, dir_okay=False, help="The recorded video.")],
    config: Annotated[
        Path, typer.Option("--config", metavar="CONFIG", help="Configuration with the prompts, models and rules.")
    ],
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the results.")],
    inspections: Annotated[
        Path | None,
        typer.Option(
            metavar="FRAMES.JSONL",
            exists=True,
            dir_okay=False,
            help="Take the detections from this file instead of running the models.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the results of an earlier replay in DIR.")] = False,
    overrides: SetOption = None,
    camera: CameraOption = None,
) -> None:
    """Judge a recorded video at full speed, without dropping a frame.

    Writes events.jsonl, frames.jsonl (the detections), annotated.mp4 and summary.json, which are identical byte for
    byte in every run, and timing.json with everything that is wall time.

    Example: `stream-inspect replay yesterday.mp4 --config line.yaml --out results`
    """
    from stream_inspect.commands.replay.run import replay as run_replay
    from stream_inspect.commands.replay.view import ReplayView

    with _plain_errors(), ReplayView(out) as view:
        loaded = _loaded(config, overrides, camera)
        summary = run_replay(video, loaded, out_dir, inspections=inspections, progress=view.show, force=force)
        view.finished(summary, out_dir)


@app.command()
def check(config: ConfigArgument, overrides: SetOption = None, camera: CameraOption = None) -> None:
    """Try everything that a configuration needs: cameras, models, outputs, memory, disk. Changes nothing.

    Exit code 0: every check passed (there may be warnings). 1: a check failed. 2: the configuration is invalid.
    """
    from stream_inspect.commands.check.run import check as run_check

    with _plain_errors():
        loaded = _loaded(config, overrides, camera)
        with out.status("checking …") as status:
            report = run_check(loaded, found=lambda finding: status.update(f"checked {escape(finding.item)} …"))
    out.print(report.to_text(out.width if out.is_terminal else None), markup=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def refused(
    config: ConfigArgument,
    overrides: SetOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the events themselves, one per line, for sending by hand.")
    ] = False,
) -> None:
    """List the events that an output permanently rejected, each with its reason. Works while the service runs.

    Events for an output that is unreachable stay in its queue and are not listed. An event is rejected when the
    receiver answers that it will not accept it, now or later (HTTP 4xx, too large for the broker); this is logged at
    once, and the event is kept as a dead letter.

    Example: `stream-inspect refused line.yaml --json > rejected.jsonl`
    """
    from stream_inspect.commands.refused import refused as refused_events

    with _plain_errors():
        for line in refused_events(_loaded(config, overrides), as_json=as_json):
            _print_text(line)


# --- prompts -----------------------------------------------------------------------------------------------------


def _print_text(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


DefectArgument = Annotated[str, typer.Argument(metavar="DEFECT", help="The defect's name, as in the configuration.")]
PromptOption = Annotated[
    list[str] | None,
    typer.Option("--prompt", metavar="TEXT", help="A wording for the defect; repeatable."),
]
CounterPromptOption = Annotated[
    list[str] | None,
    typer.Option("--counter-prompt", metavar="TEXT", help="A wording for what only looks like the defect; repeatable."),
]
ThresholdOption = Annotated[float | None, typer.Option(metavar="SCORE", help="Minimum score, between 0 and 1.")]
AreaMm2Option = Annotated[
    float | None, typer.Option(metavar="MM2", help="Minimum area in mm²; needs the camera's scale.")
]
AreaPxOption = Annotated[
    float | None, typer.Option(metavar="PX", help="Minimum area in square pixels of the judged picture.")
]
SeverityOption = Annotated[Severity | None, typer.Option(help="Severity, included in the event.")]


@prompts_app.command("show")
def prompts_show(
    config: ConfigArgument,
    defect: Annotated[str | None, typer.Argument(metavar="DEFECT", help="Show only this defect.")] = None,
) -> None:
    """Show the defects with their wordings, thresholds and severities.

    Example: `stream-inspect prompts show line.yaml scratch`
    """
    from stream_inspect.commands.prompts import show

    with _plain_errors():
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
    """Change a defect; what is not given stays as it is. A running service applies the change within a second.

    The given prompts replace all earlier prompts of the defect, and likewise the counter-prompts.

    Example: `stream-inspect prompts set line.yaml scratch --prompt "a thin scratch" --prompt scrape --threshold 0.25`
    """
    from stream_inspect.commands.prompts import set_prompts

    with _plain_errors():
        _print_text(
            set_prompts(
                config,
                defect,
                prompts=prompt,
                counter_prompts=counter_prompt,
                threshold=threshold,
                min_area_mm2=min_area_mm2,
                min_area_px=min_area_px,
                severity=severity,
            )
        )


@prompts_app.command("add")
def prompts_add(
    config: ConfigArgument,
    defect: DefectArgument,
    prompt: Annotated[
        list[str], typer.Option("--prompt", metavar="TEXT", help="A wording for the defect; repeatable.")
    ],
    counter_prompt: CounterPromptOption = None,
    threshold: ThresholdOption = None,
    min_area_mm2: AreaMm2Option = None,
    min_area_px: AreaPxOption = None,
    severity: SeverityOption = None,
) -> None:
    """Add a defect. A running service looks for it within a second.

    Example: `stream-inspect prompts add line.yaml dent --prompt "a dent in metal" --severity critical`
    """
    from stream_inspect.commands.prompts import add

    with _plain_errors():
        _print_text(
            add(
                config,
                defect,
                prompt,
                counter_prompts=counter_prompt or (),
                threshold=threshold,
                min_area_mm2=min_area_mm2,
                min_area_px=min_area_px,
                severity=severity,
            )
        )


@prompts_app.command("remove")
def prompts_remove(config: ConfigArgument, defect: DefectArgument) -> None:
    """Remove a defect. At least one must remain."""
    from stream_inspect.commands.prompts import remove

    with _plain_errors():
        _print_text(remove(config, defect))


@prompts_app.command("undo")
def prompts_undo(config: ConfigArgument) -> None:
    """Revert the last change of the prompts; a second `undo` reapplies it."""
    from stream_inspect.commands.prompts import undo

    with _plain_errors():
        _print_text(undo(config))


# --- models ------------------------------------------------------------------------------------------------------


@models_app.command("list")
def models_list() -> None:
    """List the models on this computer: embedded ones, downloaded ones, and the defaults that are missing."""
    from stream_inspect.commands.models import list_models

    with _plain_errors():
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

    with _plain_errors():
        raise typer.Exit(pull(out, model, revision=revision, to=to))


@models_app.command("verify")
def models_verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Hub ids or folders; default: all on this computer.")
    ] = None,
) -> None:
    """Read every byte of the models' files and report damaged and missing ones."""
    from stream_inspect.commands.models import verify

    with _plain_errors():
        raise typer.Exit(verify(out, models or ()))


# --- bench -------------------------------------------------------------------------------------------------------


@bench_app.command("transport")
def bench_transport(
    frames: Annotated[int, typer.Option(min=10, metavar="N", help="Frames per round.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; the lanes take turns in each.")] = 5,
) -> None:
    """Measure passing frames between two processes: the ring and a header against pyzmq, imagezmq and NetGear."""
    from stream_inspect.commands.bench.transport import run as run_bench

    with _plain_errors():
        _print_text(run_bench(frames=frames, rounds=rounds).to_text())


@bench_app.command("inspect")
def bench_inspect(
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; the two paths take turns in each.")] = 5,
    detector: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
    segmenter: Annotated[str, typer.Option(metavar="MODEL", help="`tiny`, a hub id or a folder.")] = "tiny",
) -> None:
    """Measure judging a picture: our path against plain transformers, on the same weights and pictures."""
    from stream_inspect.commands.bench.inspect import run as run_bench

    with _plain_errors():
        _print_text(run_bench(rounds=rounds, detector=detector, segmenter=segmenter).to_text())


@bench_app.command("track")
def bench_track() -> None:
    """Measure linking defects on a belt: against ByteTrack, SORT and OC-SORT, and where the belt is disturbed."""
    from stream_inspect import log
    from stream_inspect.commands.bench import belt, track

    log.configure("warning")
    with _plain_errors():
        _print_text(track.run().to_text())
        disturbed = belt.run_all()
        _print_text(disturbed.to_text())
    if not disturbed.reached:
        raise typer.Exit(EXIT_FAILED)


# --- schemas -----------------------------------------------------------------------------------------------------


@schema_app.command("show")
def schema_show(name: Annotated[str, typer.Argument(metavar="config|event|frames", help="Which schema.")]) -> None:
    """Print a JSON Schema.

    Example: `stream-inspect schema show event > event.schema.json`
    """
    from stream_inspect.commands.schemas import schema_text

    with _plain_errors():
        sys.stdout.write(schema_text(name))


@schema_app.command("write")
def schema_write(
    root: Annotated[Path, typer.Argument(metavar="CHECKOUT", help="Root folder of a checkout.")] = Path(),
) -> None:
    """Regenerate the schemas and the configuration reference of a checkout (`make docs`)."""
    from stream_inspect.commands.schemas import write

    with _plain_errors():
        for path in write(root):
            out.print(str(path), markup=False)
