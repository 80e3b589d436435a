"""The sandbox: only a program that gets to its end passes, whatever else it does, and nothing of it is left."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tie_core.errors import TaskError
from tie_core.evaluation import sandbox
from tie_core.evaluation.sandbox import Limits, run

SOON = Limits(cpu_seconds=1, memory_bytes=1 << 28)
WRITE_TO_EVERY_FILE = """
import os
for file in range(200):
    try:
        os.write(file, b"ready\\n" + b"0" * 32)
    except OSError:
        pass
"""
SPAWN_BEHIND_THE_HOOK = """
import subprocess, sys
sys.audit = lambda *words: None
subprocess.Popen(["/bin/sleep", "{seconds}"], start_new_session={new_session})
"""
ALONE = ("unshare", "--user", "--map-root-user", "sh", "-c")
NO_MORE_NAMESPACES = "echo 0 > /proc/sys/user/max_user_namespaces && exec"
"""In a user namespace of its own a process may forbid all further ones to itself."""


@pytest.mark.parametrize(
    "program",
    [
        "",
        "assert 1 + 1 == 2",
        "import collections, dataclasses, datetime, decimal, hashlib, heapq, itertools, json, math, random, re, typing",
        "naïve = 'é数'\nassert len(naïve) == 2",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int",
        "import sys\nsys.stdout.write('x' * 1_000_000)\nprint('to stderr', file=sys.stderr)",
        "import sys\nassert sys.stdin.read() == ''",
        "if __name__ == '__main__':\n    raise ValueError",
        "open('é', 'w').write('é')\nimport os\nos.rename('é', 'b')\nos.remove('b')\nos.mkdir('c')\nos.rmdir('c')",
        "import tempfile\nwith tempfile.TemporaryDirectory() as folder: open(folder + '/a', 'w').write('x')",
        "import tempfile\nwith tempfile.NamedTemporaryFile() as file: file.write(b'x')",
        "import os, shutil\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nshutil.rmtree('a')",
    ],
)
def test_a_program_that_gets_to_its_end_passes(program):
    assert run(program, SOON) == sandbox.Verdict(passed=True)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def f(:", "SyntaxError"),
        ("  x = 1", "IndentationError"),
        ("x = '\x00'", "SyntaxError"),
        ("x = '\ud800'", "UnicodeEncodeError"),
        ("assert False", "AssertionError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Ünheard(Exception): pass\nraise Ünheard", "?nheard"),
        ("exit(0)", "NameError"),  # site makes it
        ("raise SystemExit(0)", "SystemExit"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "ended without a verdict"),
        ("print('ready\\n' + '0' * 32)\nimport os\nos._exit(0)", "ended without a verdict"),
        ("import atexit\natexit.register(print)\nassert False", "AssertionError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()", None),
        ("(" * 100_000, None),
        ("while True: pass", "ended without a verdict"),
        ("x = [0] * 10**12", "MemoryError"),
        ("x = []\nwhile True: x.append(' ' * 1_000_000 + str(len(x)))", "MemoryError"),
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import multiprocessing\nmultiprocessing.Process(target=print).start()", "PermissionError"),
        ("import subprocess\nsubprocess.run(['/bin/true'])", "PermissionError"),
        ("import os\nos.system('true')", "PermissionError"),
        ("import os\nos.execv('/bin/true', ['true'])", "PermissionError"),
        ("import os\nos.kill(os.getppid(), 9)", "PermissionError"),
        ("import socket\nsocket.socket()", "PermissionError"),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')", None),
        ("import ctypes\nctypes.CDLL(None)", "PermissionError"),
        ("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))", None),
        ("open('big', 'wb').write(bytes(2 << 20))", "OSError"),
        ("files = [open('f', 'w') for _ in range(100)]", "OSError"),
        ("import os\nos.makedirs('/'.join('a' * 400))", "PermissionError"),
        ("import os\nos.mkdir('d')\nos.chdir('d')", "PermissionError"),
        ("open('../out', 'w')", "PermissionError"),
        ("for number in range(100): open(str(number), 'wb').write(bytes(1 << 20))", "PermissionError"),
        ("for _ in range(100): open('same', 'a').close()", "PermissionError"),
        ("import os\nfor number in range(100): os.mkdir(str(number))", "PermissionError"),
        ("import os\nos.mkfifo('f')", "AttributeError"),
        ("import os\nos.mknod('f')", "AttributeError"),
        ("import os\nos.symlink('/', 's')", "PermissionError"),
    ],
)
def test_a_program_that_does_not_is_wrong_and_says_why(program, reason):
    verdict = run(program, SOON)

    assert not verdict.passed
    assert reason is None or verdict.reason == reason


def test_a_program_that_waits_is_ended():
    assert run("import time\ntime.sleep(1000)", Limits(wall_seconds=1)).reason == "out of time"


@pytest.mark.parametrize("end", ["", "import os\nos._exit(0)", "assert False", "while True: pass"])
def test_a_guess_in_every_open_file_is_no_verdict(end):
    assert not run(WRITE_TO_EVERY_FILE + end, SOON).passed


@pytest.mark.parametrize(
    "deed",
    [
        "import os\nos.remove({path!r})",
        "import os\nos.unlink({path!r})",
        "import os\nos.truncate({path!r}, 0)",
        "import os\nos.rename({path!r}, 'mine')",
        "import os\nos.chmod({path!r}, 0)",
        "import os\nos.remove({name!r}, dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import os\nos.rename({name!r}, 'mine', src_dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import os\nos.open({path!r}, os.O_WRONLY | os.O_TRUNC)",
        "import os\nos.open({name!r}, os.O_WRONLY | os.O_TRUNC, dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import os\nos.open('new', os.O_WRONLY | os.O_CREAT, dir_fd=os.open({folder!r}, os.O_RDONLY))",
        "import shutil\nshutil.rmtree({folder!r})",
        "import pathlib\npathlib.Path({path!r}).write_text('')",
        "open({path!r}, 'a').write('x')",
        "open({path!r}.encode(), 'r+').write('x')",
    ],
)
def test_files_beyond_its_folder_stay_as_they_are(tmp_path, deed):
    kept = tmp_path / "kept.txt"
    kept.write_text("as it was")
    kept.chmod(0o644)

    verdict = run(deed.format(path=str(kept), folder=str(tmp_path), name=kept.name), SOON)

    assert verdict.reason == "PermissionError"
    assert kept.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [kept]


def test_the_environment_and_our_packages_are_not_to_be_seen(monkeypatch):
    monkeypatch.setenv("TIE_API_KEY", "secret")

    assert run("import os\nassert os.environ.keys() <= {'LC_CTYPE', 'PYTHONHASHSEED'}").passed
    assert run("import tie_core").reason == run("import numpy").reason == "ModuleNotFoundError"


def test_the_order_of_a_set_is_the_same_in_every_run():
    words = [f"word{number}" for number in range(20)]
    order = run(f"raise type(''.join(set({words})), (Exception,), {{}})", SOON).reason

    assert order.startswith("word")
    assert [run(f"assert ''.join(set({words})).startswith({order!r})", SOON).passed for _ in range(3)] == [True] * 3


def test_the_modules_beside_the_child_are_not_to_be_seen(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    assert run("import sandbox").reason == run("import tests").reason == "ModuleNotFoundError"


def test_its_folder_is_empty_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    left = run("import os\nassert os.listdir() == []\nos.makedirs('a/b/c')\nopen('a/b/c/d', 'w').write('x')\n")

    assert left.passed
    assert list(tmp_path.iterdir()) == []


def test_no_file_stays_open():
    before = os.listdir("/dev/fd")

    run("pass")
    run("assert False")

    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.fixture
def namespaces():
    if (
        shutil.which("unshare") is None
        or subprocess.run([*ALONE, f"{NO_MORE_NAMESPACES} true"], check=False).returncode
    ):
        pytest.skip("this system permits no namespaces")


@pytest.fixture
def seconds():
    """How long a process sleeps that no other process sleeps."""
    return f"{100_000 + os.getpid()}.25"


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("end", ["", "\nwhile True: pass", "\nimport time\ntime.sleep(1000)"])
def test_processes_that_slip_past_the_hook_end_with_the_program(seconds, end):
    program = SPAWN_BEHIND_THE_HOOK.format(seconds=seconds, new_session=True) + end

    run(program, Limits(cpu_seconds=1, wall_seconds=2))

    assert is_soon_gone(seconds)


@pytest.mark.usefixtures("namespaces")
def test_without_namespaces_programs_run_and_their_session_ends_with_them(seconds):
    programs = [
        "pass",
        "import socket; socket.socket()",
        SPAWN_BEHIND_THE_HOOK.format(seconds=seconds, new_session=False),
    ]
    script = f"from tie_core.evaluation.sandbox import run\nprint([run(program).passed for program in {programs!r}])"

    told = subprocess.run(
        [*ALONE, f"{NO_MORE_NAMESPACES} {shlex.join([sys.executable, '-c', script])}"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.startswith("[True, False, ")
    assert is_soon_gone(seconds)


def is_soon_gone(word):
    """Whether no process has the word in its command line, a moment after its session or namespace has ended."""
    for _ in range(200):
        if word.encode() not in b"".join(_command_lines()):
            return True
        time.sleep(0.02)
    return False


def _command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:  # it has ended meanwhile
            continue


def test_a_sandbox_that_cannot_start_is_an_error_and_no_verdict(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    with pytest.raises(TaskError, match="cannot start a Python"):
        run("pass")


@pytest.mark.parametrize("executable", ["/bin/true", "/bin/false"])
def test_a_child_that_ends_before_the_program_is_an_error_and_no_verdict(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)

    with pytest.raises(TaskError, match="did not get as far as the program"):
        run("pass")


def test_a_machine_where_nothing_passes_is_told(monkeypatch):
    sandbox.check()
    monkeypatch.setattr(sandbox, "run", lambda program: sandbox.Verdict(passed=False))

    with pytest.raises(TaskError, match="nothing can be graded"):
        sandbox.check()
