"""Runs a program that a model wrote, in a child process that is shut in, and says whether it got to its end.

Threat model: code that is wrong, greedy or careless, since models write such code: endless loops, all memory, many
processes, files deleted, servers asked, an early exit. NOT code written to break out: Python's audit hooks can be got
around by whoever tries, what this user may read can be read, and code could look for the verdict's token among its open
files. For that, run in a container or on a machine that holds nothing of value.

What stands against it (`sandbox_child.py`): a fresh interpreter without site packages, an environment that holds
nothing but the seed of its hashes (the same program gets the same verdict), a temporary folder, a session of its own;
limits on CPU time, wall time, address space, processes (they do not bind root), open files and all that is written;
user, network, process and IPC namespaces of its own where the system permits them; an audit hook that refuses sockets,
processes, signals, and writing outside the folder. Linux and other POSIX systems.
"""

import contextlib
import hmac
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from tie_core.errors import TaskError

_CHILD: Final = Path(__file__).with_name("sandbox_child.py")
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0"}
_READY: Final = b"ready\n"
_MOST_TOLD: Final = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use: seconds and bytes. The order is the child's.

    `writes` is how often it may open a file to write or make a folder, so it leaves at most `writes` files of
    `file_bytes` each.
    """

    cpu_seconds: int = 10
    wall_seconds: int = 30
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 20
    open_files: int = 64
    writes: int = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a program ran to its end without an exception; if not, the exception's name or what ended it."""

    passed: bool
    reason: str = ""


def run(program: str, limits: Limits = Limits()) -> Verdict:
    """Run a program to its end, or to a limit, and remove what it leaves behind.

    The child reads a random token only after the program's last line, and hands it back: neither an exit, whatever its
    status, nor anything that is printed looks like it.

    Raises:
        TaskError: the child could not be started, so nothing is known of the program.
    """
    with tempfile.TemporaryDirectory(prefix="tie-sandbox-", ignore_cleanup_errors=True) as folder:
        token = secrets.token_hex(16).encode()
        token_reader, token_writer = os.pipe()
        told_reader, told_writer = os.pipe()
        try:
            os.write(token_writer, token)
            ended = _run_child(program, limits, folder, token_reader, told_writer)
            os.set_blocking(told_reader, False)
            with contextlib.suppress(BlockingIOError):  # a writer that outlives its session would leave the pipe open
                return _verdict(os.read(told_reader, _MOST_TOLD), token, ended)
            return _verdict(b"", token, ended)
        finally:
            for pipe in (token_reader, token_writer, told_reader, told_writer):
                os.close(pipe)


def check() -> None:
    """Run the smallest program.

    Raises:
        TaskError: it does not work here.
    """
    if not run("pass").passed:
        raise TaskError("programs do not run to their end in the sandbox of this machine: nothing can be graded in it")


def _run_child(program: str, limits: Limits, folder: str, token_reader: int, told_writer: int) -> bool:
    """Whether the child ended by itself. It and its session are gone afterwards."""
    words = map(str, (token_reader, told_writer, *astuple(limits)))
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", "-B", str(_CHILD), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_ENVIRONMENT,
            pass_fds=(token_reader, told_writer),
            start_new_session=True,
        )
    except OSError as error:
        raise TaskError(f"the sandbox cannot start a Python: {error}") from error
    try:
        child.communicate(program.encode("utf-8", "surrogatepass"), timeout=limits.wall_seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return True


def _verdict(told: bytes, token: bytes, ended: bool) -> Verdict:
    if not told.startswith(_READY):
        raise TaskError("the sandbox did not get as far as the program: is this machine short of memory or processes?")
    told = told.removeprefix(_READY)
    if hmac.compare_digest(told, token):
        return Verdict(passed=True)
    if not ended:
        return Verdict(passed=False, reason="out of time")
    return Verdict(passed=False, reason=told.decode("ascii", "replace") or "ended without a verdict")
