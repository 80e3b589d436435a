"""The engine in this process as a side: the only one that needs torch."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from service.bench.asking import Ask, Reply, as_messages
from service.bench.scrape import Scrape
from service.bench.sides import Side, Spending
from service.bench.workload import Workload
from service.loading import Loaded, load
from service.settings import Settings
from tie_core.engine.observer import Observer, Tick
from tie_core.ensemble import Ensemble
from tie_core.events import Completed, Event, Failed, event_data


@asynccontextmanager
async def engine_side(settings: Settings, name: str | None, workload: Workload) -> AsyncIterator[Side]:
    """The configured models in this process. CPU is this process's, the asking included."""
    ensemble_name = settings.find_ensemble(name).name
    counter = RowCounter()
    loaded = load(settings, counter)

    async def spending() -> Spending:
        return Spending(time.process_time(), counter.scrape())

    try:
        ask = ask_engine(loaded, loaded.ensembles[ensemble_name], workload.options, workload.models)
        yield Side("engine", ask, spending)
    finally:
        loaded.engine.close()


class RowCounter(Observer):
    """Counts packed forwards and their rows, under the server's names."""

    def __init__(self) -> None:
        self.num_ticks = self.num_rows = 0

    def on_tick(self, tick: Tick) -> None:
        self.num_ticks += 1
        self.num_rows += tick.decode_rows + tick.score_rows

    def scrape(self) -> Scrape:
        counted = {"tie_batch_rows_count": self.num_ticks, "tie_batch_rows_sum": self.num_rows}
        return Scrape({(name, frozenset()): float(value) for name, value in counted.items()})


def ask_engine(loaded: Loaded, ensemble: Ensemble, options: Mapping[str, Any], models: tuple[str, ...] | None) -> Ask:
    """Ask the engine in this process; events reach the event loop from the conductor's thread."""

    async def ask(prompt: str) -> Reply:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Completed | Failed] = loop.create_future()

        def end(event: Completed | Failed) -> None:
            if not ended.done():  # it is, where another request's failure ended the run
                ended.set_result(event)

        def listen(event: Event) -> None:
            if isinstance(event, Completed | Failed):
                loop.call_soon_threadsafe(end, event)

        request = ensemble.request(messages=as_messages(prompt), models=models, **options)
        loaded.engine.submit(request, listen)
        try:
            event = await ended
        except asyncio.CancelledError:
            loaded.engine.cancel(request.id)
            raise
        if isinstance(event, Failed):
            raise event.error
        return event_data(event)

    return ask
