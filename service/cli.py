"""The command `tie`: serve, run, models, doctor, bench, eval. What a person can act on is one line, never a traceback.

Exit codes: 0 done, 1 failed, 2 the input cannot be used. torch is imported only by commands that need it.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

import tie_core
from service.bench.command import ApiKey, bench
from service.configuration import load_settings
from service.evaluation.command import evaluate
from service.settings import EnsembleSettings, Settings, SettingsError
from tie_core.errors import RequestError, TaskError, TieError, UnknownModelError

if TYPE_CHECKING:
    from tie_core.ensemble import Ensemble
    from tie_core.events import Event

PACE = 0.06  # seconds that a denoising step stays on screen
SMALL_BYTES = 50_000_000  # of weights
INPUT_ERRORS = (SettingsError, RequestError, TaskError)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An ensemble of masked diffusion language models in which the most reliable trajectory leads.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys for `tie serve`.")
app.add_typer(keys, name="keys")
Config = Annotated[Path | None, typer.Option("--config", help="TOML file. Without one: the embedded zoo.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")]


def main() -> NoReturn:
    """The console script."""
    try:
        app()
    except (*INPUT_ERRORS, TieError) as error:
        Console(stderr=True).print(Text(f"tie: {_one_line(error)}"), soft_wrap=True)
        sys.exit(2 if isinstance(error, INPUT_ERRORS) else 1)
    except BrokenPipeError:  # `tie run ... | head`: whoever read stdout has what they wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


def _one_line(error: Exception) -> str:
    message = " ".join(str(error).split())
    param = error.param if isinstance(error, RequestError) else None
    return f"{param}: {message}" if param and param not in message else message


def _print_version(wanted: bool = True) -> None:
    if wanted:
        typer.echo(f"tie-server {tie_core.__version__}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An ensemble of masked diffusion language models in which the most reliable trajectory leads."""


@app.command()
def version() -> None:
    """Print the version."""
    _print_version()


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Serve over HTTP until SIGINT or SIGTERM."""
    settings = load_settings(config, host=host, port=port)
    from service import server

    raise typer.Exit(server.serve(settings, announce=_announce))


def _announce(url: str) -> None:
    typer.echo(f"TIE listens at {url} (GET /readyz says when the models are loaded)")


@app.command()
def run(
    prompt: Annotated[str, typer.Argument(help="One user message.")],
    watch: Annotated[bool, typer.Option("--watch", help="Show the canvases and the relays, live.")] = False,
    server: Annotated[str | None, typer.Option(help="URL of a server to ask; else the models load here.")] = None,
    api_key: ApiKey = None,
    config: Config = None,
    ensemble: Annotated[str | None, typer.Option(help="Which ensemble answers.")] = None,
    models: Annotated[str | None, typer.Option(help="Only these of its members: a,b")] = None,
    task: Annotated[str | None, typer.Option(help="general, math, planning, code or open.")] = None,
    score: Annotated[str | None, typer.Option(help="How reliability is told: tcc, top1, commit ...")] = None,
    interval: Annotated[int | None, typer.Option(help="Denoising steps between two assessments.")] = None,
    policy: Annotated[str | None, typer.Option(help="top_k, threshold, factor or entropy_bound.")] = None,
    fill_end: Annotated[bool, typer.Option("--fill-end", help="After an end of text, nothing but ends.")] = False,
    early_commit: Annotated[
        bool, typer.Option("--early-commit", help="Stop once all members are sure of the same answer.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The prompt as it is, without a chat template.")] = False,
    rounds: Annotated[bool, typer.Option("--rounds", help="Rounds on stderr even if it is no terminal.")] = False,
    pace: Annotated[float | None, typer.Option(min=0, help="Seconds that --watch shows a step.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer one prompt."""
    if watch and as_json:
        raise RequestError(None, "--watch and --json both want stdout: give one of them")
    asked: dict[str, Any] = {"prompt": prompt} if raw else {"messages": [{"role": "user", "content": prompt}]}
    asked |= _given(models=[name.strip() for name in models.split(",")] if models else None)
    options = _given(task=task, score=score, interval=interval, policy=policy)
    options |= _given(fill_end=fill_end or None, early_commit=early_commit or None)
    detail = "step" if watch else "round"
    if server is not None:
        events = _ask_server(server, api_key, asked | {"events": detail} | _given(ensemble=ensemble), options)
    else:
        events = _ask_here(load_settings(config), ensemble, asked | {"detail": detail}, options)
    if watch:
        _show(events, prompt, pace)
    else:
        _answer(events, show_rounds=rounds or (sys.stderr.isatty() and not as_json), as_json=as_json)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _ask_server(server: str, key: str | None, body: dict[str, Any], options: dict[str, Any]) -> "Iterator[Event]":
    """Options by the names of the native route."""
    from service.client import server_events

    parts = {
        "task": options.get("task"),
        "tie": {name: options[name] for name in ("score", "interval") if name in options} or None,
        "unmasking": {name: options[name] for name in ("policy", "fill_end") if name in options} or None,
        "early_commit": options.get("early_commit"),
    }
    return server_events(server, body | _given(**parts), key)


def _ask_here(
    settings: Settings, name: str | None, asked: dict[str, Any], options: dict[str, Any]
) -> "Iterator[Event]":
    """Load the members that are asked for into this process and run them."""
    chosen = settings.find_ensemble(name)
    names = asked.get("models", chosen.models)
    if unknown := [name for name in names if name not in chosen.models]:
        raise UnknownModelError("models", f"{chosen.name} has {', '.join(chosen.models)}, not {', '.join(unknown)}")
    with Console(stderr=True).status(f"loading {', '.join(names)}"):
        ensemble = _load(settings, chosen, names)
    return ensemble.generate(**asked, **options)


def _load(settings: Settings, chosen: EnsembleSettings, names: list[str]) -> "Ensemble":
    import torch

    from service.placement import check_placement
    from tie_core.ensemble import Ensemble
    from tie_core.member import load_member

    configured = [model for name in names for model in settings.models if model.name == name]
    check_placement(configured, settings.limits)
    members = [load_member(each.name, each.path.expanduser(), each.device, each.dtype) for each in configured]
    if sum(member.model.weights_bytes for member in members) < SMALL_BYTES:
        torch.set_num_threads(1)  # their products are too small to share: threads would only wait for each other
    return Ensemble(chosen.name, members, chosen.defaults, chosen.policy_defaults)


def _show(events: "Iterator[Event]", prompt: str, pace: float | None) -> None:
    from service import display
    from service.client import ahead

    console = Console(highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        display.watch(ahead(events), prompt, console, PACE if pace is None else pace)
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


@app.command()
def models(config: Config = None, as_json: AsJson = False) -> None:
    """List the configured members and ensembles, by what their checkpoint files say."""
    settings = load_settings(config)
    from service.inventory import inventory, tables

    if as_json:
        typer.echo(json.dumps(inventory(settings), ensure_ascii=False, indent=2))
    else:
        console = Console(highlight=False)
        for table in tables(settings):
            console.print(table)
            console.print()


@app.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Say where every model would go, and what stands in the way; loads nothing. Exit code 1 if something does."""
    settings = load_settings(config)
    from service.doctor import diagnose, tables

    diagnosis = diagnose(settings)
    if as_json:
        typer.echo(json.dumps(diagnosis.data(), ensure_ascii=False, indent=2))
    else:
        console = Console(highlight=False)
        for part in tables(diagnosis):
            console.print(part)
            console.print()
    raise typer.Exit(1 if diagnosis.problems else 0)


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="Whose key it is: the name that logs and quotas know it by.")],
    config: Config = None,
    file: Annotated[Path | None, typer.Option(help="The file of keys; else auth.keys_file.")] = None,
) -> None:
    """Make an API key and print it, once: only its hash is written to the file."""
    path = file or load_settings(config).auth.keys_file
    if path is None:
        raise SettingsError("no file to write the key's hash to: give --file, or set auth.keys_file")
    from service.keys import add_key

    typer.echo(add_key(path.expanduser(), name))


app.command()(bench)
app.command("eval")(evaluate)
