"""`tie serve` as a child process on a free port of 127.0.0.1, and what that process spends. Reads /proc: Linux only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
PROGRAM: Final = "from service.cli import main; main()"
START_SECONDS: Final = 180.0
STOP_SECONDS: Final = 30.0
MAX_RUNNING: Final = 64
TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")


class NotReadyError(Exception):
    """The server cannot be started or watched; the message says why."""


@dataclass(frozen=True, slots=True)
class Model:
    """A member to serve: a name, a folder, a dtype."""

    name: str
    path: Path
    dtype: str


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready, seen from outside."""

    url: str
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the whole process so far, in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_SECONDS

    @property
    def resident_bytes(self) -> int:
        return self._status("VmRSS")

    @property
    def peak_bytes(self) -> int:
        """The most that was resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak start anew at what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
        return 1024 * int(kilobytes)


@contextmanager
def serving(models: Sequence[Model], folder: Path, threads: int | None = None) -> Iterator[ServerProcess]:
    """Serve all models as one ensemble, with the server's own defaults but for room for 64 requests at once.

    `threads` sets how many threads torch starts with; None leaves that to the server.

    Raises:
        NotReadyError: the server did not become ready; the message ends in what it logged.
    """
    if not Path("/proc/self/stat").exists():
        raise NotReadyError("CPU time and memory of the server are read from /proc: run this on Linux")
    log = folder / "server.log"
    config = folder / "server.toml"
    config.write_text(_configuration(models), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, "serve", "--config", str(config), "--port", "0"]
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env=_environment(threads), cwd=folder, text=True
        )
    try:
        yield ServerProcess(_ready_url(process, log), process.pid)
    finally:
        _stop(process)


def _configuration(models: Sequence[Model]) -> str:
    tables = [
        f'[[models]]\nname = "{model.name}"\npath = "{model.path}"\ndtype = "{model.dtype}"\n' for model in models
    ]
    return "\n".join([f"[limits]\nmax_running = {MAX_RUNNING}\n", *tables])


def _environment(threads: int | None) -> Mapping[str, str]:
    """Ours, without settings of the server that somebody happens to have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIE_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return kept if threads is None else kept | {"OMP_NUM_THREADS": str(threads)}


def _ready_url(process: "subprocess.Popen[str]", log: Path) -> str:
    assert process.stdout is not None
    words = process.stdout.readline().split()
    url = next((word for word in words if word.startswith("http://")), None)
    deadline = time.monotonic() + START_SECONDS
    while url is not None and process.poll() is None and time.monotonic() < deadline:
        if _is_ready(url):
            return url
        time.sleep(0.05)
    told = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
    raise NotReadyError(f"the server did not become ready:\n{told}")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=START_SECONDS).is_success
    except httpx.TransportError:  # it gave up between two questions
        return False


def _stop(process: "subprocess.Popen[str]") -> None:
    """As an operator would, and then for certain."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
