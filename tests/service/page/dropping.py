"""A proxy that cuts connections: a network that fails, between a browser and a server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx

STREAM = b"content-type: text/event-stream"


@dataclass
class DroppingProxy:
    """Cuts a connection behind so many bytes of an event stream, its head included; `num_cuts` times, then no more."""

    target: tuple[str, int]
    num_cuts: int
    cut_after: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    num_done: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.create_connection(self.target)
        threading.Thread(target=_copy, args=(client, server), daemon=True).start()
        num_streamed = 0
        is_stream = False
        with client, server, suppress(OSError):
            while part := server.recv(1024):
                is_stream = is_stream or STREAM in part
                num_streamed += len(part) if is_stream else 0
                surplus = num_streamed - self.cut_after
                if surplus > 0 and self.num_done < self.num_cuts:
                    self.num_done += 1
                    client.sendall(part[: len(part) - surplus])
                    _cut(client)
                    _cut(server)
                    return
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def dropping(url: httpx.URL, *, num_cuts: int, cut_after: int) -> Iterator[DroppingProxy]:
    assert url.port is not None
    proxy = DroppingProxy((url.host, url.port), num_cuts, cut_after)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
