"""The app on a socket: one process, the real port told, SIGTERM answered in order."""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn
from structlog.typing import FilteringBoundLogger

from service.app import GENERATING, create_app
from service.door import Door
from service.errors import ApiError
from service.keys import Keys
from service.lifecycle import Lifecycle
from service.loading import Loader, load
from service.log import make_logger
from service.metrics import RequestMetrics
from service.protocol import (
    KNOCKS_A_TURN,
    LONGEST_HELD,
    PARTS_A_TURN,
    QUIET_SECONDS,
    REFUSALS_A_TURN,
    Connection,
    ProtocolConfig,
)
from service.settings import ServerSettings, Settings, SettingsError
from service.state import Service
from service.telemetry import Telemetry
from service.turns import Lull, Turns
from tie_core.engine.host_memory import bound_kernel_caches, share_one_arena

CLOSING_SECONDS: Final = 2  # after the drain, for readers to take what is left; those that take nothing are cut
BACKLOG: Final = 2048
SEND_BUFFER_BYTES: Final = 131_072  # of a connection, in the kernel: else a client that reads nothing holds megabytes
SEARCHES: Final = (5_000, 5, 1_000)  # for garbage: requests leave none behind, and a search holds every thread up
SWITCH_SECONDS: Final = 0.001  # a busy engine thread makes way for the event loop; Python's default is 5 ms


def raise_file_limit() -> None:
    """A connection is an open file: as many as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server(uvicorn.Server):
    """uvicorn, but the first signal drains before anything closes; a second one cancels, a third one cuts."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, keys: Keys | None = None) -> None:
        super().__init__(config)
        self.lifecycle = lifecycle
        self.keys = keys
        self.num_signals = 0
        self.on_ready: Callable[[], None] | None = None
        """Called once, when requests are taken."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signals only count: `on_tick` acts, since it runs in the event loop."""
        self.num_signals += 1
        self.force_exit = self.should_exit = self.num_signals > 2

    def handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Read the API keys again; a server without any goes on as well."""
        if self.keys is not None:
            self.keys.expire()

    async def on_tick(self, counter: int) -> bool:
        if self.num_signals > 0:
            self.lifecycle.stop()
        if self.num_signals > 1:
            self.lifecycle.hurry()
        if self.on_ready is not None and self.lifecycle.phase == "ready":
            self.on_ready()
            self.on_ready = None
        return await super().on_tick(counter) or self.lifecycle.is_over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn waits for connections, and a client that stopped reading would let it wait."""
        cutting = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            if (transport := connection.transport) is not None:
                transport.abort()


def tune_process() -> None:
    """What holds for a whole process with models in it, before it starts threads."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*SEARCHES)
    share_one_arena()
    bound_kernel_caches()


def serve(
    settings: Settings,
    *,
    load: Loader = load,
    announce: Callable[[str], None] | None = None,
    announce_ready: Callable[[str], None] | None = None,
    log: FilteringBoundLogger | None = None,
) -> int:
    """Serve until a signal or a failed start; returns the exit status. `announce` is told the URL,
    `announce_ready` the same once the models are loaded.

    Raises:
        SettingsError: the host or port cannot be had, or the API keys not be read.
    """
    tune_process()
    log = log or make_logger()
    server = make_server(settings, load, log)
    listener = listen(settings.server)
    url = url_of(listener)
    log.info("listening", url=url)
    if announce is not None:
        announce(url)
    if announce_ready is not None:
        server.on_ready = partial(announce_ready, url)
    raise_file_limit()
    signal.signal(signal.SIGHUP, server.handle_hangup)
    server.run(sockets=[listener])
    status = 0 if server.lifecycle.phase == "stopped" else 1
    if server.lifecycle.is_stuck:  # Python's own end would abort over a thread that is inside a model
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def listen(settings: ServerSettings) -> socket.socket:
    """A bound socket, so that port 0 is a number before anything starts.

    asyncio switches Nagle's delay off only where a socket names TCP itself: without it every answer takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another port with --port or"
            " TIE_SERVER__PORT (0: a free one)"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(
    settings: Settings, load: Loader, log: FilteringBoundLogger, telemetry: Telemetry | None = None
) -> Server:
    app = create_app(settings, load, log, telemetry)
    service: Service = app.state.service
    config = ProtocolConfig(
        app,
        loop="service.loop:FairLoop",
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.limits.keep_alive_seconds,
        timeout_graceful_shutdown=CLOSING_SECONDS + 1,
    )
    config.limits = settings.limits
    config.turns, config.door_turns, refusal_turns = map(Turns, (PARTS_A_TURN, KNOCKS_A_TURN, REFUSALS_A_TURN))
    config.lull, config.refusal_lull = (
        Lull(QUIET_SECONDS, LONGEST_HELD, turns) for turns in (config.turns, refusal_turns)
    )
    config.door = Door(GENERATING, settings, service.runs, service.keys)
    config.on_refusal = partial(_tell_refusal, service.metrics.request, log)
    return Server(config, service.lifecycle, service.keys)


def _tell_refusal(
    metrics: RequestMetrics,
    log: FilteringBoundLogger,
    request_id: str,
    error: ApiError,
    fields: Mapping[str, Any],
) -> None:
    """As the middleware tells of a request that reached a route, and `Runs` of why it let none in."""
    metrics.errors.labels(error.kind).inc()
    if error.status in (429, 503):
        metrics.rejections.labels(error.code).inc()
    log.info("request", request_id=request_id, status=error.status, error=error.code, **fields)
