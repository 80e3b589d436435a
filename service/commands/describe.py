"""`tie models`, `show`, `doctor` and `config`: what is configured, what it is, and what stands in its way."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from service.configuration import load_settings
from service.parameters import AsJson, Config, complete_model
from service.progress import awaited
from service.settings import SettingsError


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_parts(parts: Iterable[RenderableType]) -> None:
    console = Console(highlight=False)
    for part in parts:
        console.print(part)
        console.print()


def models(config: Config = None, as_json: AsJson = False) -> None:
    """List the configured members and ensembles, by what their checkpoint files say."""
    settings = load_settings(config)
    with awaited("reading the models' files", Console(stderr=True)):
        from service.inventory import inventory, tables

        told = inventory(settings)
    if as_json:
        _print_json(told)
    else:
        _print_parts(tables(told))


def show(
    model: Annotated[
        str,
        typer.Argument(help="A configured model, or a checkpoint folder.", autocompletion=complete_model),
    ],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Tell all about one model: family, shape, tokenizer, memory. Reads headers, no weights."""
    settings = load_settings(config)
    with awaited(f"reading {model}", Console(stderr=True)):
        from service.portrait import find_model, parts, portray

        portrait = portray(find_model(model, settings), settings)
    if as_json:
        _print_json(portrait.data())
    else:
        _print_parts(parts(portrait))


def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Say where every model would go, how relays transcode, what is missing and what stands in the way; loads nothing.

    Exit code 1 if something stands in the way.
    """
    settings = load_settings(config)
    with awaited("reading the models' files", Console(stderr=True)):
        from service.doctor import diagnose, tables

        diagnosis = diagnose(settings)
    if as_json:
        _print_json(diagnosis.data())
    else:
        _print_parts(tables(diagnosis))
    raise typer.Exit(1 if diagnosis.problems else 0)


def config(
    config: Config = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it can be used; exit code 2 if not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting with its value and where that came from: default, file or variable. Hides secrets."""
    from service.effective import check_settings, data, parts

    if not check:
        if as_json:
            _print_json(data(config))
        else:
            _print_parts(parts(config))
        return
    try:
        checked = check_settings(config)
    except SettingsError as error:
        if not as_json:
            raise
        _print_json({"valid": False, "problem": str(error)})
        raise typer.Exit(2) from None
    if as_json:
        _print_json({"valid": True, "problem": None})
    else:
        typer.echo(checked)
