"""The command `tie`: its commands by name, and what becomes of errors: one line on stderr, never a traceback.

Exit codes: 0 done, 1 failed, 2 the input cannot be used, 130 interrupted. Only commands that need it import torch.
"""

import os
import sys
import threading
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

import tie_core
from service.bench.command import bench
from service.client import READER
from service.commands import describe, run, serve
from service.commands.chat import chat
from service.evaluation.command import evaluate
from service.lines import visible
from service.settings import SettingsError
from tie_core.errors import RequestError, TaskError, TieError

INPUT_ERRORS = (SettingsError, RequestError, TaskError)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An ensemble of masked diffusion language models in which the most reliable trajectory leads.",
)


def main() -> NoReturn:
    """The console script."""
    try:
        app()
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 0)
    except (*INPUT_ERRORS, TieError) as error:
        Console(stderr=True).print(Text(f"tie: {visible(_one_line(error))}"), soft_wrap=True)
        _end(2 if isinstance(error, INPUT_ERRORS) else 1)
    except BrokenPipeError:  # `tie run ... | head`: whoever read stdout has what they wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end(1)
    _end(0)


def _end(code: int) -> NoReturn:
    """Python's own end would abort over a thread that is inside a model."""
    if any(thread.name == READER for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


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


for command in (
    serve.serve,
    run.run,
    chat,
    run.replay,
    describe.models,
    describe.show,
    describe.doctor,
    describe.config,
    bench,
):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(serve.keys, name="keys")
