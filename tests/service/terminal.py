"""The command `tie` as tests run it: in this process, or as a program in a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app, main

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from service.cli import main; main()"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
SECONDS = 60.0


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the console script."""
    monkeypatch.setattr(sys, "argv", ["tie", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        main()
    return int(exit_info.value.code or 0)


def invoke(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False, **options)


@dataclass
class Terminal:
    """A program and the terminal that it runs in."""

    pid: int
    file: int
    sent: bytes = b""

    @property
    def written(self) -> str:
        """All that came so far; a character that has come in part is left out."""
        return self.sent.decode(errors="ignore")

    @property
    def shown(self) -> str:
        """All that was written, without control sequences."""
        return CONTROL.sub("", self.written)

    def type(self, text: str) -> None:
        os.write(self.file, text.encode())

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Until it was shown so often."""
        deadline = time.monotonic() + SECONDS
        while len(re.findall(pattern, self.shown)) < count:
            assert time.monotonic() < deadline, f"waited in vain for {pattern!r}:\n{self.shown}"
            assert self._read(), f"ended without {pattern!r}:\n{self.shown}"

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        deadline = time.monotonic() + SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"does not end:\n{self.shown}"
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _read(self) -> bool:
        """Whatever is there within a moment; False once the program has closed its end."""
        if not select.select([self.file], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self.file, 65_536)
        except OSError:  # Linux: nobody has the other end
            return False
        self.sent += data
        return bool(data)


@contextmanager
def terminal(*arguments: str, columns: int = 80, rows: int = 24, **variables: str) -> Iterator[Terminal]:
    """`tie` with these arguments in a terminal of this size."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TIE_CONFIG", "TIE_API_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | variables
    inner, outer = pty.openpty()
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [sys.executable, "-c", PROGRAM, *arguments]
    actions = [(os.POSIX_SPAWN_DUP2, outer, number) for number in range(3)]
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions, setsid=True)
    os.close(outer)
    running = Terminal(pid, inner)
    try:
        yield running
    finally:
        if running.pid:
            os.kill(running.pid, signal.SIGKILL)
            os.waitpid(running.pid, 0)
        os.close(inner)
