"""The server's life: loading, ready, draining, stopped; or failed. Loads in a thread, ends in order."""

import asyncio
import gc
import threading
import time
from typing import Final, Literal

from structlog.typing import FilteringBoundLogger

from service.errors import ApiError, unavailable
from service.loading import Loaded, Loader
from service.metrics import Metrics
from service.observer import EngineObserver
from service.runs import Runs
from service.settings import Settings

Phase = Literal["loading", "ready", "draining", "stopped", "failed"]
SLICE_SECONDS: Final = 0.25  # how often a drain looks whether it is to hurry
FAREWELL_SECONDS: Final = 1.0  # for cancelled requests to end
CLOSE_SECONDS: Final = 1.0  # for the engine's threads: one that hangs in a forward does not hold the exit


class Lifecycle:
    """Owns the engine from loading to closing. All methods are the event loop's."""

    def __init__(
        self, settings: Settings, runs: Runs, metrics: Metrics, log: FilteringBoundLogger, load: Loader
    ) -> None:
        self.phase: Phase = "loading"
        self.loaded: Loaded | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_stuck = False  # stopped, but a thread has not ended
        self.failure: Exception | None = None  # why loading failed
        self._has_loaded = asyncio.Event()  # or failed to
        self._settings = settings
        self._runs = runs
        self._metrics = metrics
        self._log = log
        self._load = load
        self._is_hurried = False
        self._stopping: asyncio.Task[None] | None = None
        self._loading: threading.Thread | None = None
        metrics.resource.ready.set_function(lambda: float(self.obstacle() is None))

    @property
    def is_over(self) -> bool:
        return self.phase in ("stopped", "failed")

    def start(self) -> None:
        """Load in a thread of its own: the event loop answers probes meanwhile."""
        self.loop = asyncio.get_running_loop()
        self._loading = threading.Thread(target=self._load_all, args=(self.loop,), name="tie-load", daemon=True)
        self._loading.start()

    async def until_loaded(self) -> None:
        """For who must not go on before.

        Raises:
            Exception: whatever loading failed with.
        """
        await self._has_loaded.wait()
        if self.failure is not None:
            raise self.failure

    def obstacle(self) -> ApiError | None:
        """Why the server is not ready; None when it is."""
        if self.phase != "ready" or self.loaded is None:
            return unavailable(self.phase, f"the server is {self.phase}", 1)
        engine, needed = self.loaded.engine, {*self._settings.default_ensemble.models, "conductor"}
        if down := sorted(needed.intersection(engine.down)):
            return unavailable("member_down", f"{', '.join(down)} has failed and is started again", 5)
        beats, limit = engine.heartbeats(), self._settings.server.stale_after_seconds
        if silent := sorted(name for name, seconds in beats.items() if seconds > limit and name in needed):
            return unavailable("stalled", f"no sign of life from {', '.join(silent)}", 5)
        return None

    def stop(self) -> asyncio.Task[None]:
        """Stop admitting, wait `drain_seconds` for what runs, cancel the rest, close the engine."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        return self._stopping

    def hurry(self) -> None:
        """Cancel what a drain still waits for."""
        self._is_hurried = True

    def _load_all(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            observer = EngineObserver(self._metrics.engine, self._runs.put_canvases, self._log)
            loaded = self._load(self._settings, observer)
        except Exception as error:  # told and acted on by the event loop, whatever it is
            loop.call_soon_threadsafe(self._on_failure, error)
        else:
            gc.collect()
            gc.freeze()  # what stays for good need not be searched each time a large body is parsed
            loop.call_soon_threadsafe(self._on_loaded, loaded)

    def _on_failure(self, error: Exception) -> None:
        self.phase = "failed"
        self.failure = error
        self._has_loaded.set()
        self._runs.shut()
        self._log.error("loading failed", error=f"{type(error).__name__}: {error}")

    def _on_loaded(self, loaded: Loaded) -> None:
        if self.phase == "stopped":  # too late: nobody else would close it
            loaded.engine.close()
            return
        self.loaded = loaded
        self._has_loaded.set()
        for name, member in loaded.members.items():
            resource, device = self._metrics.resource, str(member.model.device)
            resource.model_loaded.labels(name).set(1)
            resource.weights.labels(name, device).set(member.model.weights_bytes)
            resource.load_duration.labels(name).set(loaded.load_seconds[name])
            resource.watch_device(device)
        if self.phase == "loading":
            self.phase = "ready"
            self._runs.open(loaded)
            self._log.info("ready", models=list(loaded.members), ensembles=list(loaded.ensembles))

    async def _stop(self) -> None:
        if self.phase == "failed":
            return
        self.phase = "draining"
        self._runs.shut()
        seconds = self._settings.server.drain_seconds
        note = f"what runs has at most {seconds:g} s to end; a second Ctrl-C or SIGTERM cancels it at once"
        self._log.info("draining", requests=len(self._runs), note=note)
        await self._wait_for_the_end_of_all(seconds)
        if self._runs:
            self._log.info("cancelling", requests=len(self._runs))
        self._runs.cancel_all()
        self._is_hurried = False
        await self._wait_for_the_end_of_all(FAREWELL_SECONDS)
        await self._wait_for_loading()
        if self.loaded is not None:
            await self._close(self.loaded)
        self._runs.close()
        self.phase = "stopped"
        self._log.info("stopped")

    async def _close(self, loaded: Loaded) -> None:
        closing = threading.Thread(target=loaded.engine.close, name="tie-close", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)
        self.is_stuck |= closing.is_alive() or loaded.engine.has_living_threads

    async def _wait_for_loading(self) -> None:
        """A process that exits while a thread builds a model is aborted."""
        if self._loading is not None:
            await asyncio.to_thread(self._loading.join, self._settings.server.drain_seconds)
            await asyncio.sleep(0)  # for what the thread has put to the event loop
            self.is_stuck = self._loading.is_alive()

    async def _wait_for_the_end_of_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._runs and not self._is_hurried and (left := deadline - time.monotonic()) > 0:
            if self.loaded is None:
                return
            await asyncio.to_thread(self.loaded.engine.drain, min(SLICE_SECONDS, left))
            await asyncio.sleep(0.01)
