"""`tie run` and `tie replay`: one prompt answered, and the events of a run shown again."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from service.commands.asking import asker, options_from
from service.parameters import (
    ApiKey,
    AsJson,
    Config,
    EnsembleName,
    Interval,
    Members,
    NamedOptions,
    Policy,
    Score,
    Server,
    Speed,
    TaskName,
    given,
    members_of,
)
from tie_core.errors import RequestError

if TYPE_CHECKING:
    from tie_core.events import Event
    from tie_core.options import Detail

PACE: Final = 0.06  # seconds that a denoising step stays on screen


def run(
    prompt: Annotated[str, typer.Argument(help="One user message.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show the canvases and the relays, live.")] = False,
    server: Server = None,
    api_key: ApiKey = None,
    config: Config = None,
    ensemble: EnsembleName = None,
    models: Members = None,
    task: TaskName = None,
    score: Score = None,
    interval: Interval = None,
    policy: Policy = None,
    fill_end: Annotated[bool, typer.Option("--fill-end", help="After an end of text, nothing but ends.")] = False,
    early_commit: Annotated[
        bool, typer.Option("--early-commit", help="Stop once all members are sure of the same answer.")
    ] = False,
    option: NamedOptions = None,
    raw: Annotated[bool, typer.Option("--raw", help="The prompt as it is, without a chat template.")] = False,
    rounds: Annotated[bool, typer.Option("--rounds", help="Rounds on stderr even if it is no terminal.")] = False,
    pace: Annotated[float | None, typer.Option(min=0, help="Seconds that --watch shows a step.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the events to this file, for `tie replay`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer one prompt."""
    _check_output(watch, as_json)
    if not raw and not prompt.strip():
        raise RequestError(None, "the prompt is empty: write what the models are to answer, in quotes")
    options = options_from(
        option,
        task=task,
        score=score,
        interval=interval,
        policy=policy,
        fill_end=fill_end or None,
        early_commit=early_commit or None,
    )
    asked: dict[str, Any] = {"prompt": prompt} if raw else {"messages": [{"role": "user", "content": prompt}]}
    detail: Detail = "step" if watch or save is not None else "round"
    ask = asker(server, api_key, config, ensemble, models, options)
    events = ask(asked, detail)
    if save is not None:
        from service.option_places import body_of
        from service.recording import recorded

        body = {**asked, **body_of(options), **given(ensemble=ensemble, models=members_of(models))}
        events = recorded(events, save, body)
    if watch:
        _show(events, prompt, PACE if pace is None else pace)
    else:
        _answer(events, show_rounds=rounds or (sys.stderr.isatty() and not as_json), as_json=as_json)


def replay(
    file: Annotated[
        Path, typer.Argument(help="A file of `tie run --save`, of the playground, or of curl; - is stdin.")
    ],
    speed: Speed = 1.0,
    as_json: AsJson = False,
) -> None:
    """Show a saved run again, as `tie run --watch` shows it. Asks nobody and loads nothing."""
    from service.recording import read_recording

    recording = read_recording(file)
    if as_json:
        _answer(iter(recording.events), show_rounds=False, as_json=True)
    else:
        _show(iter(recording.events), recording.prompt, PACE / speed)


def _check_output(watch: bool, as_json: bool) -> None:
    if watch and as_json:
        raise RequestError(None, "--watch and --json both want stdout: give one of them")


def _show(events: "Iterator[Event]", prompt: str, pace: float) -> None:
    from service import display
    from service.client import ahead

    console = Console(highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        display.watch(ahead(events), prompt, console, pace)
    else:
        display.tell(events, prompt, console)


def _answer(events: "Iterator[Event]", *, show_rounds: bool, as_json: bool) -> None:
    from service import display
    from service.lines import plain
    from tie_core.events import event_data

    completed = display.tell_rounds(events, Console(stderr=True) if show_rounds else None)
    if as_json:
        typer.echo(json.dumps(event_data(completed), ensure_ascii=False))
    else:
        typer.echo(plain(completed.answer) if sys.stdout.isatty() else completed.answer)
