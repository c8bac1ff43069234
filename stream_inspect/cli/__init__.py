"""The command line: parsing only, one function for each command. The work is in `commands/`."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stream_inspect import __version__
from stream_inspect.cli.belt import belt
from stream_inspect.cli.bench import bench_app
from stream_inspect.cli.models import models_app
from stream_inspect.cli.parts import parts_app
from stream_inspect.cli.prompts import prompts_app
from stream_inspect.cli.schema import schema_app
from stream_inspect.cli.shared import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    CameraOption,
    ConfigArgument,
    SetOption,
    load_config,
    out,
    plain_errors,
    print_text,
)
from stream_inspect.errors import UsageError

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
app.command()(belt)
app.add_typer(prompts_app, name="prompts")
app.add_typer(models_app, name="models")
app.add_typer(parts_app, name="parts")
app.add_typer(bench_app, name="bench")
app.add_typer(schema_app, name="schema")


def main() -> None:
    """The entry point `stream-inspect`."""
    if isinstance(sys.stdout, TextIOWrapper):  # as stderr does: a file's name may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="Stop this long after the first frame; default: at Ctrl-C."),
    ] = None,
    out_dir: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for events, parts, clips, pictures and summary; those of the last demo go to DIR/previous.",
        ),
    ] = Path("demo-out"),
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of the belt, its parts and their defects.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the live page in a browser.")] = True,
    overrides: SetOption = None,
) -> None:
    """Inspect the synthetic line: cameras, models, tracking, alerts, clips and the live page, all on this computer.

    It needs no camera, no GPU and no network. At the end, DIR/summary.json reports the frames captured and judged, the
    defects found and missed and the parts passed and failed against the exact truth, and the latency from capture to
    alert; DIR/parts.jsonl has each part's verdict.

    Example: `stream-inspect demo --seconds 30 --no-browser`
    """
    from stream_inspect.commands.demo.run import demo as run_demo
    from stream_inspect.commands.demo.view import DemoView

    with plain_errors(), DemoView(out) as view:
        summary = run_demo(
            out_dir,
            seconds=seconds,
            seed=seed,
            browser=browser,
            overrides=tuple(overrides or ()),
            show=view.show,
            started=view.started,
            moved=view.moved,
            stopping=view.stopping,
        )
        view.finished(summary, out_dir)


@app.command()
def run(config: ConfigArgument, overrides: SetOption = None, camera: CameraOption = None) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    It finishes what is in progress and stops within three seconds, seven where clips are still to be written; a second
    Ctrl-C stops it at once.

    Example: `stream-inspect run line.yaml --camera top --set log.level=debug`
    """
    from stream_inspect import log
    from stream_inspect.log import uncaught
    from stream_inspect.service.serve import serve

    with plain_errors():
        loaded = load_config(config, overrides, camera)
        log.configure(loaded.log.level, loaded.log.format)
        uncaught.install()
        serve(loaded, config_path=config.resolve(), overrides=tuple(overrides or ()))


@app.command()
def replay(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", exists=True, help="A recorded video; or pictures, and folders of pictures, to judge."
        ),
    ],
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
            help="Take the detections from this file; no model runs, but thresholds, regions and sizes apply.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the results of an earlier replay in DIR.")] = False,
    overrides: SetOption = None,
    camera: CameraOption = None,
) -> None:
    """Judge a recorded video, or pictures, at full speed, without dropping any.

    Writes events.jsonl, frames.jsonl (the detections), annotated.mp4 and summary.json, which are identical byte for
    byte in every run, and timing.json with everything that is wall time. Where the file has `lines`, parts.jsonl has
    every part with its verdict, why, and when it was at the gate.

    Pictures are judged each by itself: none is left out by `sampling`, nothing is tracked, and every find is an event
    that names its file. They get verdicts.csv (file, verdict, reason, number of detections, best score of each defect)
    and, instead of the video, the folder annotated/. A picture that cannot be read is UNDECIDED and named.

    frames.jsonl also holds what did not count, and why. With it as `--inspections`, thresholds, regions and sizes are
    tried in seconds; other prompts, or a threshold below what it holds, need the models and are refused.

    Examples: `stream-inspect replay yesterday.mp4 --config line.yaml --out results`,
    `stream-inspect replay pictures/ --config line.yaml --out results`
    """
    from stream_inspect.commands.replay.run import replay as run_replay
    from stream_inspect.commands.replay.view import ReplayView

    with plain_errors(), ReplayView(out) as view:
        loaded = load_config(config, overrides, camera, fetch_secrets=False)
        summary = run_replay(source, loaded, out_dir, inspections=inspections, progress=view.show, force=force)
        view.finished(summary, out_dir)


@app.command()
def check(config: ConfigArgument, overrides: SetOption = None, camera: CameraOption = None) -> None:
    """Try everything that a configuration needs: cameras, models, outputs, memory, disk. Changes nothing.

    Exit code 0: every check passed (there may be warnings). 1: a check failed. 2: the configuration is invalid.
    """
    from stream_inspect.commands.check.run import check as run_check

    with plain_errors():
        loaded = load_config(config, overrides, camera)
        with out.status("checking …") as status:
            report = run_check(loaded, found=lambda finding: status.update(f"checked {escape(finding.item)} …"))
    out.print(report.to_text(out.width if out.is_terminal else None), markup=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def refused(
    config: ConfigArgument,
    overrides: SetOption = None,
    output: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this output.")] = None,
    send_again: Annotated[
        bool, typer.Option("--send-again", help="Queue the events again, once the receiver accepts them.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the events themselves, one per line, for sending by hand.")
    ] = False,
) -> None:
    """List the events that an output rejected, each with its reason, or send them again. Works while the service runs.

    Events for an output that is unreachable, or that rejects every event (a password, a path), stay in its queue and
    are not listed. An event is listed when the receiver rejects this one (HTTP 400, 409, 413, 422; too large for the
    broker) or fails on it for half a minute while it accepts others. Each is logged at once and kept as a dead letter.

    With `--send-again` they are queued again under the same idempotency keys, so that a receiver ignores what it has.
    Correct the cause first: an event that is rejected again is listed again, and nothing is lost by trying.

    Example: `stream-inspect refused line.yaml --output plc --send-again`
    """
    from stream_inspect.commands import refused as dead_letters

    with plain_errors():
        if send_again and as_json:
            raise UsageError("--json lists events and --send-again sends them: choose one")
        loaded = load_config(config, overrides, fetch_secrets=False)
        lines = (
            dead_letters.send_again(loaded, output=output)
            if send_again
            else dead_letters.refused(loaded, as_json=as_json, output=output)
        )
        for line in lines:
            print_text(line)
