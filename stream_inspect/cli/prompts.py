"""The command line of `stream-inspect prompts`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stream_inspect.cli.shared import ConfigArgument, plain_errors, print_text

Severity = Literal["minor", "major", "critical"]

prompts_app = typer.Typer(
    no_args_is_help=True,
    help="""Show and change the wordings that describe the defects, also while the service runs.

    A change is written to the configuration file, comments kept, after the whole file has been validated; a running
    service applies it from one frame to the next. An invalid change is rejected as a whole; `undo` reverts the last
    change.
    """,
)


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

    with plain_errors():
        print_text(show(config, defect))


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

    with plain_errors():
        print_text(
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

    with plain_errors():
        print_text(
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

    with plain_errors():
        print_text(remove(config, defect))


@prompts_app.command("undo")
def prompts_undo(config: ConfigArgument) -> None:
    """Revert the last change of the prompts; a second `undo` reapplies it."""
    from stream_inspect.commands.prompts import undo

    with plain_errors():
        print_text(undo(config))
