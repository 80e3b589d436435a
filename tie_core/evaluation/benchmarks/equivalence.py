"""Whether two LaTeX answers mean the same, by the library math-verify in a child process of its own.

What models write can keep a computer algebra system busy for ever, or fill the memory (`9^{9^{9}}`), and math-verify's
own limits need the main thread of a process. So a child reads pairs and answers; one that takes too long is replaced.
"""

import atexit
import json
import select
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final

from tie_core.errors import TaskError

_WORKER: Final = Path(__file__).with_name("equivalence_worker.py")
_START_SECONDS: Final = 120
_PAIR_SECONDS: Final = 30  # beyond what math-verify allows itself


class Verifier:
    """One child process, started when it is first asked. Threads may share it, and wait for each other."""

    def __init__(self, pair_seconds: float = _PAIR_SECONDS) -> None:
        self._pair_seconds = pair_seconds
        self._lock = Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def is_equal(self, reference: str, answer: str) -> bool:
        """Whether the answer means what the reference means. No if nobody can tell: not parsed, or not in time.

        Raises:
            TaskError: math-verify is not installed, or does not start.
        """
        with self._lock:
            child = self._child or self._start()
            told = _ask(child, json.dumps([reference, answer]), self._pair_seconds)
            if not told:
                self._stop()
            return told == b"true\n"

    def close(self) -> None:
        """End the child; the next question starts another one."""
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        check()
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],  # not from its folder, whose modules are ours
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if not _ask(self._child, "", _START_SECONDS):
            self._stop()
            raise TaskError("math-verify does not start: try `python -c 'import math_verify'` to see why")
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            with suppress(BrokenPipeError):  # a question that it did not read
                self._child.communicate()
            self._child = None


def check() -> None:
    """Look whether math-verify is there, without loading it.

    Raises:
        TaskError: it is not installed.
    """
    if find_spec("math_verify") is None:
        raise TaskError(
            "LaTeX answers are compared by math-verify: install it with `.venv/bin/pip install -e '.[eval]'`"
        )


@cache
def verifier() -> Verifier:
    """The one of this process, ended with it."""
    one = Verifier()
    atexit.register(one.close)
    return one


def _ask(child: "subprocess.Popen[bytes]", question: str, seconds: float) -> bytes:
    """The line that answers a line; empty if the child has ended, or does not answer in time."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if question:
            child.stdin.write(question.encode() + b"\n")
            child.stdin.flush()
    except BrokenPipeError:
        return b""
    waiting = select.poll()
    waiting.register(child.stdout, select.POLLIN)
    return child.stdout.readline() if waiting.poll(seconds * 1000) else b""
