"""Servers in processes of their own, soon started: they are forked from one process that has imported everything."""

import asyncio
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import torch

from service.loading import Loader
from service.server import serve
from service.settings import Settings
from tests.reliability.loop_watch import LoopTimes, LoopWatch, read_loop_times

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__, "tests.reliability.members", "transformers"])
START_SECONDS = 90.0  # on whatever else the machine does


def loop_path(log_path: Path) -> Path:
    """Where a server writes how long its loop was busy, when it ends."""
    return log_path.with_suffix(".loop")


def tasks_path(log_path: Path) -> Path:
    """Where a server writes how many tasks its loop has, when it is asked by SIGUSR1."""
    return log_path.with_suffix(".tasks")


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server process, seen from outside."""

    url: str
    process: BaseProcess
    log_path: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30, trust_env=False)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def loop_times(self) -> LoopTimes:
        """Once the server has ended."""
        return read_loop_times(loop_path(self.log_path))

    def signal(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGTERM)

    def exit_status(self, seconds: float) -> int | None:
        """None if it still runs after so many seconds."""
        self.process.join(max(0.0, seconds))
        return self.process.exitcode

    def facts(self) -> dict[str, int]:
        """What a process that leaks has more and more of."""
        assert self.process.pid is not None
        path = tasks_path(self.log_path)
        path.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline, "the server does not count its tasks"
            time.sleep(0.01)
        folder = Path(f"/proc/{self.process.pid}")
        resident = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {
            "resident": resident,
            "threads": len(list((folder / "task").iterdir())),
            "descriptors": len(list((folder / "fd").iterdir())),
            "tasks": int(path.read_text()),
        }


@contextmanager
def serving_process(
    settings: Settings, make_loader: Callable[..., Loader], log_path: Path, *, is_watched: bool = True, **options: Any
) -> Iterator[Serving]:
    """A server that is ready; it is gone afterwards, whatever happened. `make_loader(**options)` is called in it.

    Watching its event loop makes every callback slower: not where a client's time is measured.
    """
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"port": 0})})
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_serve, args=(settings, make_loader, options, log_path, is_watched, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(START_SECONDS), "the server did not start"
        serving = Serving(ours.recv(), process, log_path)
        wait_until_ready(serving)
        yield serving
    finally:
        ours.close()
        with suppress(ProcessLookupError, ValueError):
            process.terminate()
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()


def wait_until_ready(serving: Serving) -> None:
    deadline = time.monotonic() + START_SECONDS
    while serving.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.05)


def _serve(
    settings: Settings,
    make_loader: Callable[..., Loader],
    options: dict[str, Any],
    log_path: Path,
    is_watched: bool,
    told: Connection,
) -> None:
    """In the process of the server."""
    log = os.open(log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    signal.signal(signal.SIGUSR1, lambda *_: _write_tasks(tasks_path(log_path)))
    watch = LoopWatch() if is_watched else None
    status = serve(settings, load=make_loader(**options), announce=told.send)
    if watch is not None:
        watch.write(loop_path(log_path))
    raise SystemExit(status)


def _write_tasks(path: Path) -> None:
    """Whole or not at all: it is read as soon as it is there. Garbage that waits to be found is no growth."""
    gc.collect()
    path.with_suffix(".part").write_text(str(len(asyncio.all_tasks())))
    path.with_suffix(".part").rename(path)
