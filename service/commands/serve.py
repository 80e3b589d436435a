"""`tie serve` and `tie keys new`: the server, and who may ask it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from service.configuration import load_settings
from service.parameters import AsJson, Config
from service.settings import SettingsError

keys = typer.Typer(no_args_is_help=True, help="API keys for `tie serve`.")


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve over HTTP until SIGINT or SIGTERM."""
    settings = load_settings(config, host=host, port=port)
    from service import server

    if as_json:
        raise typer.Exit(server.serve(settings, announce=_announce_json))
    raise typer.Exit(server.serve(settings, announce=_announce, announce_ready=_announce_ready))


def _announce(url: str) -> None:
    typer.echo(f"TIE listens at {url} and loads its models")


def _announce_ready(url: str) -> None:
    with suppress(OSError):  # whoever read the first line may be gone: a server goes on
        typer.echo(f"ready: open {url}/")


def _announce_json(url: str) -> None:
    typer.echo(json.dumps({"url": url}))


@keys.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(help="Whose key it is: the name that logs and quotas know it by.")],
    config: Config = None,
    file: Annotated[Path | None, typer.Option(help="The file of keys; else auth.keys_file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, once: only its hash is written to the file."""
    path = file or load_settings(config).auth.keys_file
    if path is None:
        raise SettingsError("no file to write the key's hash to: give --file, or set auth.keys_file")
    from service.keys import add_key

    key = add_key(path.expanduser(), name)
    typer.echo(json.dumps({"name": name, "file": str(path), "key": key}) if as_json else key)
