"""`tie eval`: measure an ensemble on tasks with known answers, here or on a server, and write the report."""

import json
import os
import platform
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.console import Console

from service.configuration import load_settings
from service.parameters import ApiKey, AsJson, Config, EnsembleName, NamedOptions, Server, complete_table, complete_work
from service.progress import awaited

if TYPE_CHECKING:
    from tie_core.evaluation.sides import Side
    from tie_core.evaluation.splits import Split

INTERRUPTED: Final = 130  # the exit code of a program that was ended by Ctrl-C


def evaluate(
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="zoo, gsm8k, mmlu, ...", autocompletion=complete_work)
    ],
    data: Annotated[Path, typer.Option(help="Folder of the tasks' public files.")] = Path("data"),
    config: Config = None,
    ensemble: EnsembleName = None,
    server: Server = None,
    api_key: ApiKey = None,
    at_once: Annotated[int, typer.Option(min=1, help="Requests to the server at a time.")] = 8,
    conditions: Annotated[
        str, typer.Option(help="Of the main table: post,random,tcc,chosen or 'post; score=top1 interval=4'.")
    ] = "",
    table: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME:ITEMS; give it again for more.", autocompletion=complete_table),
    ] = None,
    option: NamedOptions = None,
    items: Annotated[int | None, typer.Option(min=2, help="Items of a table. Default: all.")] = None,
    split: Annotated[str, typer.Option(help="all, test or validation.")] = "all",
    seed: Annotated[int, typer.Option(help="Of the order of the items.")] = 0,
    choose: Annotated[
        int | None, typer.Option(min=2, help="Choose TIE's best condition on so many validation items first.")
    ] = None,
    among: Annotated[str, typer.Option(help="What --choose chooses among, if not the conditions.")] = "",
    calibrate: Annotated[
        int | None, typer.Option(min=2, help="Learn on so many validation items first how unequal members answer best.")
    ] = None,
    preset: Annotated[
        Path | None, typer.Option(help="File for what is learned, if not preset.toml beside the records.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of records and report.")] = Path("eval"),
    page: Annotated[
        Path | None, typer.Option(help="File of the report, if not report.md in there. Its figures lie beside it.")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw plots beside the report; needs matplotlib.")] = False,
    run_code: Annotated[bool, typer.Option("--run-code", help="Grade code by running what the models wrote.")] = False,
    regrade: Annotated[bool, typer.Option("--regrade", help="Judge anew what is recorded, by today's grader.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure members, post-generation ensemble and TIE on tasks, into a report. Broken off, the same command goes on.

    Tables: main; the paper's stability, injection, switches, change_rate, interval, acceleration, normalisation,
    cross_model and selection; fewer_steps; unequal.
    """
    from service.evaluation.preset import preset_paths, write_preset
    from service.evaluation.progress import track
    from service.evaluation.summary import summary
    from tie_core.errors import TaskError
    from tie_core.evaluation.conditions import parse_conditions
    from tie_core.evaluation.evaluation import Evaluation, Wishes, parse_tables
    from tie_core.evaluation.tasks import find_tasks
    from tie_core.options import options_of

    wishes = Wishes(
        tasks=find_tasks(tasks),
        tables=parse_tables(table or ["main"]),
        conditions=parse_conditions(conditions),
        among=parse_conditions(among),
        options=options_of(option or []),
        num_items=items,
        split=cast("Split", split),
        seed=seed,
        num_to_choose=choose,
        num_to_calibrate=calibrate,
        draws_plots=plots,
        runs_code=run_code,
        regrades=regrade,
    )
    wishes.check()
    page = page or out / "report.md"
    if page.suffix.lower() == ".json":
        raise TaskError("--page is Markdown, and its figures lie beside it as .json: give it another name")
    presets = preset_paths(wishes, preset, out)
    words = {
        "--conditions": conditions,
        "--items": items,
        "--seed": seed or None,
        "--choose": choose,
        "--among": among,
        "--calibrate": calibrate,
    }
    words |= {"--split": None if split == "all" else split}
    command = [*tasks, *_said("--option", option), *_said("--table", table)]
    command += [word for name, value in words.items() if value for word in (name, str(value))]
    told = told_of(command)
    try:
        with side_of(config, ensemble, server, api_key, at_once) as side:
            report = Evaluation(side, wishes, data, out, told, track).run()
            report.write(page)
            settings = load_settings(config) if server is None else None
            for file, chapter in zip(presets, report.chapters, strict=False):
                write_preset(file, chapter, side, settings, ensemble, told)
    except KeyboardInterrupt:
        typer.echo(f"broken off: what was answered is in {out}, and the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    figures = json.dumps(report.data())
    page.with_suffix(".json").write_text(figures + "\n", encoding="utf-8")
    if as_json:
        typer.echo(figures)
    else:
        Console(highlight=False).print(*summary(report), sep="\n")
        for file in presets:
            typer.echo(f"what was learned, for --config: {file}")
        typer.echo(f"the report: {page}")


@contextmanager
def side_of(
    config: Path | None, ensemble: str | None, server: str | None, key: str | None, at_once: int
) -> "Iterator[Side]":
    if server is not None:
        from service.evaluation.server_side import ServerSide

        with closing(ServerSide(server, key, ensemble, at_once)) as asked:
            yield asked
        return
    from service.loading import load
    from tie_core.engine.observer import Observer
    from tie_core.evaluation.sides import EngineSide

    settings = load_settings(config)
    chosen = settings.find_ensemble(ensemble)
    models = [model for model in settings.models if model.name in chosen.models]
    with awaited(f"loading and measuring {', '.join(chosen.models)}", Console(stderr=True)):
        loaded = load(settings.model_copy(update={"models": models, "ensembles": [chosen]}), Observer())
    limits = settings.limits
    with closing(loaded.engine):
        checkpoints = {model.name: model.path.expanduser() for model in models}
        places = limits.max_running + min(limits.max_waiting, limits.max_running // 2)  # some wait, so that none idles
        yield EngineSide(loaded.engine, loaded.ensembles[chosen.name], checkpoints, places)


def _said(name: str, values: list[str] | None) -> list[str]:
    return [word for value in values or [] for word in (name, value)]


def told_of(words: list[str]) -> dict[str, Any]:
    """By what, when and where it is measured; without paths, servers and keys."""
    return {
        "command": shlex.join(["tie", "eval", *words]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
