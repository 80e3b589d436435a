"""A real server on a socket of its own, in a thread, for tests that need connections."""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.loading import Loader
from service.log import make_logger
from service.server import Server, listen, make_server, url_of
from service.settings import Settings
from service.state import Service
from service.telemetry import Telemetry

GENERATE = "/v1/tie/generate"
PROMPT = "rev 314159; inc 271828; add 141421"


@dataclass
class Served:
    """A running server, seen from outside (`client`, `url`) and inside (`service`, `log`)."""

    url: str
    server: Server
    service: Service
    client: httpx.Client
    log: io.StringIO = field(repr=False)

    def post(self, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(GENERATE, json=body, **options)

    def events(self, body: Any) -> list[dict[str, Any]]:
        """The whole stream of a request, as data."""
        response = self.client.post(GENERATE, json=body, headers={"accept": "application/x-ndjson"})
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def connect(served: Served) -> socket.socket:
    """A connection of its own, of plain bytes."""
    url = served.client.base_url
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=10)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(
    settings: Settings, load: Loader, *, until_ready: bool = True, telemetry: Telemetry | None = None
) -> Iterator[Served]:
    log = io.StringIO()
    listener = listen(settings.server.model_copy(update={"port": 0}))
    url = url_of(listener)
    server = make_server(settings, load, make_logger(log), telemetry)
    service: Service = server.config.app.state.service  # type: ignore[union-attr]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="tie-test-server")
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            served = Served(url, server, service, client, log)
            if until_ready:
                wait_until(lambda: client.get("/readyz").status_code == 200, 60)
            yield served
    finally:
        server.num_signals += 2
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"
