"""`tie bench`: what a server, or the engine in this process, does under load."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from service.configuration import load_settings
from service.parameters import ApiKey, AsJson, Config, EnsembleName, Members, NamedOptions, Server, members_of
from service.progress import Bar, awaited, counted
from tie_core.errors import RequestError
from tie_core.options import options_of

if TYPE_CHECKING:
    from service.bench.asking import Ask, Reply
    from service.bench.figures import Figures
    from service.bench.sides import Sending, Side
    from service.bench.workload import Workload


def bench(
    server: Server = None,
    api_key: ApiKey = None,
    openai: Annotated[str | None, typer.Option(help="URL of another OpenAI-compatible server, side by side.")] = None,
    openai_model: Annotated[str | None, typer.Option(help="Its model. Default: the first it lists.")] = None,
    config: Config = None,
    ensemble: EnsembleName = None,
    models: Members = None,
    concurrency: Annotated[str, typer.Option(help="Requests at once, a row each: 1,8,64")] = "1,8",
    arrivals: Annotated[float | None, typer.Option(min=0, help="And a row with a request every so many s.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Requests in each row, at least one per client.")] = 16,
    gen_length: Annotated[int, typer.Option(min=1, help="Generated positions of a request.")] = 64,
    block_size: Annotated[int, typer.Option(min=1, help="Positions of a block.")] = 32,
    option: NamedOptions = None,
    seed: Annotated[int | None, typer.Option(help="Of the prompts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send prompts of mixed length and tell throughput, latency and CPU time a token.

    Each request is one open canvas by default, one token a step; --option task=math and others change that.
    """
    from service.bench import workload as prompts
    from service.bench.sides import Sending

    levels = _levels(concurrency)
    sendings = [Sending(at_once=level) for level in levels]
    sendings += [Sending(gap_seconds=arrivals)] if arrivals is not None else []
    num = max(requests, *levels)
    names = members_of(models)
    named = options_of(option or [])
    lengths = {"gen_length": gen_length, "block_size": block_size}
    options = (lengths if "task" in named else prompts.plain_options(gen_length, block_size)) | named
    seed = prompts.SEED if seed is None else seed
    texts = prompts.mixed_prompts(num, seed=seed)
    workload = prompts.Workload(texts, options, tuple(names) if names else None)
    settings = None if server else load_settings(config)
    rows = asyncio.run(_measure(workload, sendings, server, api_key, settings, ensemble, openai, openai_model))
    if as_json:
        _print_json(workload, seed, rows)
    else:
        _print_table(rows)


def _levels(words: str) -> list[int]:
    try:
        levels = [int(word) for word in words.split(",")]
    except ValueError:
        levels = []
    if not levels or min(levels) < 1:
        raise RequestError("concurrency", f"{words!r} is no list of whole numbers above 0: give 1,8,64 for example")
    return levels


async def _measure(
    workload: "Workload",
    sendings: "list[Sending]",
    server: str | None,
    key: str | None,
    settings: Any,
    ensemble: str | None,
    openai: str | None,
    openai_model: str | None,
) -> "list[Figures]":
    from service.bench import sides

    async with AsyncExitStack() as stack:
        if server:
            ours = sides.tie_side(server, key, ensemble, workload)
        else:
            from service.bench.engine_side import engine_side

            ours = engine_side(settings, ensemble, workload)
        with awaited("loading and measuring the models" if settings else f"reaching {server}", Console(stderr=True)):
            chosen = [await stack.enter_async_context(ours)]
        if openai is not None:
            max_tokens = int(workload.options["gen_length"])
            chosen.append(await stack.enter_async_context(sides.openai_side(openai, openai_model, max_tokens)))
        return await _rows(workload, sendings, chosen)


async def _rows(workload: "Workload", sendings: "list[Sending]", chosen: "list[Side]") -> "list[Figures]":
    from service.bench.sides import measure

    rows = []
    for side in chosen:
        await side.ask(workload.prompts[0])  # the first forwards allocate
    with counted("", len(sendings) * len(chosen) * len(workload.prompts), Console(stderr=True)) as bar:
        for sending in sendings:
            for side in chosen:
                bar.now(f"{side.name}, {sending.words}")
                rows.append(await measure(replace(side, ask=_told(side.ask, bar)), sending, workload.prompts))
    return rows


def _told(ask: "Ask", bar: Bar) -> "Ask":
    """The same, and the bar is told of every reply."""

    async def told(prompt: str) -> "Reply":
        reply = await ask(prompt)
        bar.done()
        return reply

    return told


def _print_json(workload: "Workload", seed: int, rows: "list[Figures]") -> None:
    from service.bench.sides import as_json

    typer.echo(json.dumps(as_json(workload, seed, rows), ensure_ascii=False, indent=2))


def _print_table(rows: "list[Figures]") -> None:
    from service.bench.figures import table
    from service.bench.workload import spread

    console = Console(highlight=False)
    console.print(table(rows))
    console.print(f"\nprompts: {spread(rows[0].prompt_tokens)}")
