"""The options that several commands share, each under one name with one help text, and how a shell completes them.

Completing reads the settings and no model; where they cannot be read it offers nothing.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from service.configuration import CLIENT_KEY_VARIABLE, load_settings
from service.settings import Settings, SettingsError
from tie_core.options import PolicyName, ScoreName, Task

EVALUATED: Final = (
    "zoo",
    "zoo-tables",
    "mmlu",
    "mmlu35",
    "arc_challenge",
    "winogrande",
    "gsm8k",
    "math500",
    "humaneval",
    "mbpp",
    "mbpp_sanitized",
    "countdown",
)
TABLES: Final = (
    "main",
    "stability",
    "injection",
    "switches",
    "change_rate",
    "interval",
    "acceleration",
    "normalisation",
    "cross_model",
    "selection",
    "fewer_steps",
    "unequal",
)
"""The tasks and tables of `tie eval`: their own modules import torch, which takes longer than a shell should wait."""


def _settings_of(context: typer.Context) -> Settings | None:
    """Those that the half-written command would use; None where a server is asked, or they cannot be read."""
    if context.params.get("server"):
        return None
    try:
        return load_settings(context.params.get("config"))
    except SettingsError:
        return None


def _beginning(names: Iterable[str], written: str) -> list[str]:
    return [name for name in names if name.startswith(written)]


def complete_ensemble(ctx: typer.Context, incomplete: str) -> list[str]:
    """The configured ensembles."""
    settings = _settings_of(ctx)
    return _beginning((ensemble.name for ensemble in settings.ensembles), incomplete) if settings else []


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """The configured models."""
    settings = _settings_of(ctx)
    return _beginning((model.name for model in settings.models), incomplete) if settings else []


def complete_members(ctx: typer.Context, incomplete: str) -> list[str]:
    """The next name of a list with commas: a member of the ensemble, each once."""
    settings = _settings_of(ctx)
    if settings is None:
        return []
    named = ctx.params.get("ensemble")
    members = [name for each in settings.ensembles if named in (None, each.name) for name in each.models]
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [before + comma + name for name in dict.fromkeys(members) if name.startswith(last) and name not in given]


def complete_task(incomplete: str) -> list[str]:
    """The presets of the canvas."""
    return _beginning(get_args(Task), incomplete)


def complete_score(incomplete: str) -> list[str]:
    """The scores."""
    return _beginning(get_args(ScoreName), incomplete)


def complete_policy(incomplete: str) -> list[str]:
    """The unmasking policies."""
    return _beginning(get_args(PolicyName), incomplete)


def complete_work(incomplete: str) -> list[str]:
    """What `tie eval` measures."""
    return _beginning(EVALUATED, incomplete)


def complete_table(incomplete: str) -> list[str]:
    """The tables of its report."""
    return _beginning(TABLES, incomplete)


Config = Annotated[Path | None, typer.Option("--config", help="TOML file. Without one: the embedded zoo.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on stdout.")]
Server = Annotated[str | None, typer.Option(help="URL of a TIE server; else the models load here.")]
ApiKey = Annotated[str | None, typer.Option(envvar=CLIENT_KEY_VARIABLE, help="Key for the server at --server.")]
EnsembleName = Annotated[
    str | None, typer.Option("--ensemble", help="Which ensemble answers.", autocompletion=complete_ensemble)
]
Members = Annotated[
    str | None, typer.Option("--models", help="Only these of its members: a,b", autocompletion=complete_members)
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help=f"{', '.join(get_args(Task)[:-1])} or open.", autocompletion=complete_task),
]
Score = Annotated[
    str | None,
    typer.Option("--score", help="How reliability is told: tcc, top1, commit ...", autocompletion=complete_score),
]
Interval = Annotated[int | None, typer.Option("--interval", help="Denoising steps between two assessments.")]
Policy = Annotated[
    str | None,
    typer.Option("--policy", help="top_k, threshold, factor or entropy_bound.", autocompletion=complete_policy),
]
NamedOptions = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE by the library's names: gen_length=64, tau=0.8")
]
Speed = Annotated[float, typer.Option(min=0.01, max=1000, help="2 plays twice as fast.")]


def members_of(words: str | None) -> list[str] | None:
    """`a, b` as names; None: all members."""
    return [name.strip() for name in words.split(",")] if words else None


def given(**options: Any) -> dict[str, Any]:
    """Those that somebody gave."""
    return {name: value for name, value in options.items() if value is not None}
