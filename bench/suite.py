"""The benchmarks, by name: what each runs, in sides that take turns. What they come to is judged elsewhere."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import torch

from bench.checkpoints import Checkpoints
from bench.modes import EXACT, MODES, Mode
from bench.passes import Sample, Side, alternate, raw_pass, served_pass
from bench.raw_loop import RawModel, decode, load_raw_model
from bench.scale import Scale
from bench.server import Model, ServerProcess, serving
from service.bench.figures import percentile
from service.bench.load import Exchange
from service.bench.scrape import Scrape, scrape
from service.bench.sides import Sending
from service.bench.workload import Workload, mixed_prompts, plain_options
from tie_core import zoo
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED, grade

Samples = dict[str, list[Sample]]
FOUR: Final = ("first", "second", "third", "fourth")
ARRIVAL_SECONDS: Final = 0.25
LONE_TURNS: Final = 4  # shorter ones where requests come one by one: the machine drifts, and the target is close
LIVEZ_SECONDS: Final = 0.02  # between two probes
SCRAPE_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Bench:
    """What the benchmarks share."""

    scale: Scale
    checkpoints: Checkpoints
    folder: Path
    dtype: str = "bfloat16"
    threads: int | None = None
    repeats: int | None = None

    def report(self, words: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')}    {words}\n")

    def alternate(self, sides: Mapping[str, Side], repeats: int | None = None) -> Samples:
        return alternate(sides, repeats or self.num_repeats, self.report)

    @property
    def num_repeats(self) -> int:
        return self.repeats or self.scale.repeats

    def prompts(self, num: int) -> tuple[str, ...]:
        return mixed_prompts(num, longest=self.scale.longest_words)

    def plain(self, num: int, gen_length: int | None = None, models: tuple[str, ...] | None = None) -> Workload:
        """Requests that do the raw loop's work: every generated position, one a step."""
        options = plain_options(gen_length or self.scale.gen_length, self.scale.block_size)
        return Workload(self.prompts(num), options, models)

    def ensemble(self, models: tuple[str, ...], **options: Any) -> Workload:
        """Requests with an answer region and rounds of 16 steps."""
        named = {"gen_length": self.scale.ensemble_length, "answer": 16, "suffix": "", "block_size": 16, "interval": 16}
        return Workload(self.prompts(self.scale.few), named | options, models)

    def model(self, name: str, path: Path) -> Model:
        return Model(name, path, self.dtype)

    @contextmanager
    def serving(self, *models: Model) -> Iterator[ServerProcess]:
        """A server that has allocated what its first forwards allocate."""
        with serving(models, self.folder, self.threads) as server:
            for model in models:
                served_pass(server, replace(self.plain(2, 8), models=(model.name,)), Sending(at_once=2))
            yield server

    def raw(self, path: Path) -> RawModel:
        raw = load_raw_model(path, getattr(torch, self.dtype))
        decode(raw, [raw.prompt_ids("warm up")], 8, 8)
        return raw


def concurrency(bench: Bench) -> Samples:
    """`llada`, exact, at each level: the server against the raw loop, one by one and padded to the longest prompt."""
    samples: Samples = {}
    raw = bench.raw(bench.checkpoints.llada)
    scale = bench.scale
    with bench.serving(bench.model("llada", bench.checkpoints.llada)) as server:
        for level in scale.levels:
            num_turns = LONE_TURNS if level == 1 else 1
            num = min(scale.most_requests, max(scale.least_requests // num_turns, 4 * level))
            workload = bench.plain(max(num, level))
            sides: dict[str, Side] = {
                f"served {level}": partial(served_pass, server, workload, Sending(at_once=level)),
                f"raw block {level}": partial(raw_pass, raw, workload, level, "block"),
            }
            if level in (1, 8):
                sides[f"raw canvas {level}"] = partial(raw_pass, raw, workload, level, "canvas")
            samples |= bench.alternate(sides, num_turns * bench.num_repeats)
    return samples


def growth(bench: Bench) -> Samples:
    """The same requests, more and more of them at once; the levels take turns, since the machine drifts."""
    workload = bench.plain(bench.scale.most_requests)
    with bench.serving(bench.model("llada", bench.checkpoints.llada)) as server:
        sides: dict[str, Side] = {
            str(level): partial(served_pass, server, workload, Sending(at_once=level))
            for level in bench.scale.levels
            if level > 1
        }
        return bench.alternate(sides)


def vocabulary(bench: Bench) -> Samples:
    """The published vocabulary's 126,464 rows on the same body; how far memory grows while it decodes."""
    raw = bench.raw(bench.checkpoints.wide)
    few = bench.scale.few
    workload = bench.plain(2 * few)
    with bench.serving(bench.model("wide", bench.checkpoints.wide)) as server:

        def served() -> Sample:
            idle = server.resident_bytes
            server.forget_peak()
            sample = served_pass(server, workload, Sending(at_once=few))
            return replace(sample, facts={"grown_bytes": float(server.peak_bytes - idle)})

        return bench.alternate({"served": served, "raw block": partial(raw_pass, raw, workload, few, "block")})


def arrivals(bench: Bench) -> Samples:
    """Eight requests, one every 0.25 s: how many rows a forward has while all of them run."""
    workload = bench.plain(8, bench.scale.arrivals_length)
    with bench.serving(bench.model("llada", bench.checkpoints.llada)) as server:
        scrapes: list[tuple[float, Scrape]] = []
        started = time.perf_counter()

        async def watch(client: httpx.AsyncClient) -> None:
            nonlocal started
            started = time.perf_counter()
            while True:
                taken = time.perf_counter() - started
                if (told := await scrape(client)) is not None:
                    scrapes.append((taken, told))
                await asyncio.sleep(SCRAPE_SECONDS)

        def rows_together(exchanges: Sequence[Exchange]) -> Mapping[str, float]:
            last_sent = max(exchange.sent_at for exchange in exchanges)
            first_ended = min(exchange.ended_at for exchange in exchanges)
            inside = [told for taken, told in scrapes if last_sent + SCRAPE_SECONDS < taken < first_ended]
            rows = inside[-1].since(inside[0]).mean_batch_rows if len(inside) > 1 else None
            return {} if rows is None else {"rows_together": rows}

        side = partial(
            served_pass, server, workload, Sending(gap_seconds=ARRIVAL_SECONDS), watch=watch, facts=rows_together
        )
        return bench.alternate({"served": side}, repeats=1)


def crowd(bench: Bench) -> Samples:
    """64 requests at once: how evenly they end, and how fast `/livez` answers meanwhile."""
    workload = bench.plain(bench.scale.crowd)
    with bench.serving(bench.model("llada", bench.checkpoints.llada)) as server:
        probes: list[float] = []

        async def watch(client: httpx.AsyncClient) -> None:
            while True:
                asked = time.perf_counter()
                await client.get("/livez")
                probes.append(time.perf_counter() - asked)
                await asyncio.sleep(LIVEZ_SECONDS)

        def facts(_: Sequence[Exchange]) -> Mapping[str, float]:
            ascending = sorted(probes)
            shares = {f"livez_p{round(100 * share)}": percentile(ascending, share) for share in (0.5, 0.99, 1.0)}
            return shares | {"livez_probes": float(len(ascending))}

        side = partial(served_pass, server, workload, Sending(at_once=bench.scale.crowd), watch=watch, facts=facts)
        return bench.alternate({"served": side}, repeats=1)


def ensemble(bench: Bench) -> Samples:
    """Two members with tcc, against each of them alone: same tokenizer (`twin`), then another one (`dream`)."""
    samples: Samples = {}
    sending = Sending(at_once=bench.scale.few)
    for other, path in (("twin", bench.checkpoints.twin), ("dream", bench.checkpoints.dream)):
        with bench.serving(bench.model("llada", bench.checkpoints.llada), bench.model(other, path)) as server:
            asked = {"tie": ("llada", other), "llada alone": ("llada",), f"{other} alone": (other,)}
            sides: dict[str, Side] = {
                f"{other}: {name}": partial(served_pass, server, bench.ensemble(models, score="tcc"), sending)
                for name, models in asked.items()
            }
            samples |= bench.alternate(sides)
    return samples


def scores(bench: Bench) -> Samples:
    """What cross-model scores cost over tcc, in forwards and in CPU time."""
    models = (bench.model("llada", bench.checkpoints.llada), bench.model("twin", bench.checkpoints.twin))
    names = tuple(model.name for model in models)
    with bench.serving(*models) as server:
        sides: dict[str, Side] = {
            score: partial(served_pass, server, bench.ensemble(names, score=score), Sending(at_once=bench.scale.few))
            for score in ("tcc", "top1")
        }
        return bench.alternate(sides)


def length(bench: Bench) -> Samples:
    """Cost by generated length, two requests at once."""
    with bench.serving(bench.model("llada", bench.checkpoints.llada)) as server:
        sides: dict[str, Side] = {
            str(gen_length): partial(served_pass, server, bench.plain(2, gen_length), Sending(at_once=2))
            for gen_length in bench.scale.lengths
        }
        return bench.alternate(sides, repeats=1)


def members(bench: Bench) -> Samples:
    """Cost by the number of members: one checkpoint under up to four names, tcc."""
    models = [bench.model(name, bench.checkpoints.llada) for name in FOUR]
    with bench.serving(*models) as server:
        sides: dict[str, Side] = {
            str(num): partial(served_pass, server, bench.ensemble(FOUR[:num]), Sending(at_once=bench.scale.few))
            for num in range(1, len(FOUR) + 1)
        }
        return bench.alternate(sides)


def cache(bench: Bench) -> Samples:
    """The modes that work on random weights against the exact one: a prompt of about 128 tokens, 256 generated."""
    models = (bench.model("llada", bench.checkpoints.llada), bench.model("twin", bench.checkpoints.twin))
    names = tuple(model.name for model in models)
    gen_length, answer = bench.scale.cached
    words = min(110, bench.scale.longest_words)
    prompts = mixed_prompts(bench.scale.few, shortest=words, longest=words)
    with bench.serving(*models) as server:
        sides: dict[str, Side] = {}
        for mode in MODES:
            if mode.is_available and not mode.needs_confidence:
                asked = bench.ensemble(names, gen_length=gen_length, answer=answer, **mode.options)
                workload = replace(asked, prompts=prompts)
                sides[mode.name] = partial(served_pass, server, workload, Sending(at_once=bench.scale.few))
        return bench.alternate(sides)


def embedded(bench: Bench) -> Samples:
    """The embedded members on worksheets: alone and eight at once, and every mode with its answers graded."""
    items = make_items(VALIDATION_SEED, bench.scale.zoo_items)
    prompts = tuple(item.prompt for item in items)
    answers = dict(zip(prompts, items, strict=True))
    models = [Model(name, zoo.member_path(name), "float32") for name in zoo.MEMBERS]

    def graded(exchanges: Sequence[Exchange]) -> Mapping[str, float]:
        replies = zip(prompts, exchanges, strict=False)
        return {"right": float(sum(grade(answers[prompt], each.reply["answer"]) for prompt, each in replies))}

    with bench.serving(*models) as server:

        def side(mode: Mode, at_once: int, num: int) -> Side:
            workload = Workload(prompts[:num], mode.zoo_options)
            return partial(served_pass, server, workload, Sending(at_once=at_once), facts=graded)

        available = [mode for mode in MODES if mode.is_available]
        sides = {"exact, one by one": side(EXACT, 1, max(1, len(items) // 8))}
        sides |= {mode.name: side(mode, bench.scale.few, len(items)) for mode in available}
        return bench.alternate(sides, repeats=1)


BENCHMARKS: Final[Mapping[str, Callable[[Bench], Samples]]] = {
    run.__name__: run
    for run in (concurrency, growth, vocabulary, arrivals, crowd, ensemble, scores, length, members, cache, embedded)
}
