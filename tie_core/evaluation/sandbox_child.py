"""The script of a sandbox's child process: shuts itself in, runs the program on its stdin, and hands back a token.

Its words are `TOKEN_READER TOLD_WRITER` (open files) and the limits in the order of `sandbox.Limits`. It runs in an
interpreter of its own, without anything of ours, and is never imported. Python 3.11 or newer, POSIX.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from types import ModuleType

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LONGEST_PATH = 512  # so that no tree of folders is too deep to be removed
NEEDLESS = ("mkfifo", "mknod")  # they make files, and no audit event tells of them
IN_FOLDER = {"os.mkdir": 1, "os.remove": 1, "os.rename": 2, "os.rmdir": 1}  # event: paths among its arguments
REFUSED = (
    "ctypes.",
    "fcntl.",
    "os.chdir",
    "os.chflags",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.lockf",
    "os.posix_spawn",
    "os.removexattr",
    "os.setxattr",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "pty.",
    "resource.",
    "signal.pthread_kill",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "syslog.",
)
"""What audit events begin with that no benchmark's program has use for."""


def leave_the_system() -> None:
    """Go on in namespaces of its own, where the system permits it: no network, no other process to be seen."""
    libc = ctypes.CDLL(None)
    unshare = getattr(libc, "unshare", None)
    if unshare is None or unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC) != 0:
        return
    if inner := os.fork():  # the first process of the namespace: all of its processes end with it
        os.waitpid(inner, 0)
        os._exit(0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit(cpu_seconds: int, memory_bytes: int, file_bytes: int, open_files: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def take_away_what_no_hook_sees() -> None:
    """Where `os` writes without an audit event, or with one that does not name the place."""
    opened = os.open

    def open_path(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None and flags & WRITING:
            raise PermissionError("the sandbox refuses to write relative to an open folder")
        return opened(path, flags, mode, dir_fd=dir_fd)

    os.supports_dir_fd.clear()  # so that shutil removes by paths, which the hook can check
    for module in (os, sys.modules[os.name]):
        vars(module)["open"] = open_path
        for name in NEEDLESS:
            vars(module).pop(name, None)


def make_hook(folder: str, writes: int) -> Callable[[str, tuple[object, ...]], None]:
    """An audit hook that lets a program open files to write and make folders in one folder, so many together, and do
    nothing else beyond itself."""
    left = iter(range(writes))
    realpath, fsdecode, prefix = os.path.realpath, os.fsdecode, folder + os.sep

    def is_inside(path: object) -> bool:
        if not isinstance(path, str | bytes):
            return False
        real = realpath(fsdecode(path))
        return real.startswith(prefix) and len(real) < LONGEST_PATH

    def is_allowed(event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not (isinstance(flags, int) and flags & WRITING):
                return True
            may_be = is_inside(path) or path == folder  # tempfile names the folder, and the file in an event of its own
            return may_be and next(left, None) is not None
        if event == "os.mkdir" and next(left, None) is None:
            return False
        if num_paths := IN_FOLDER.get(event):
            descriptors = arguments[-num_paths:]  # -1: the paths are not relative to one
            return all(is_inside(path) for path in arguments[:num_paths]) and set(descriptors) == {-1}
        return not event.startswith(REFUSED)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not is_allowed(event, arguments):
            raise PermissionError(f"the sandbox refuses {event}")

    return hook


def main() -> None:
    token_reader, told_writer, cpu_seconds, _, *sizes, writes = map(int, sys.argv[1:])
    program = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    read, write, leave = os.read, os.write, os._exit  # whatever the program does to their modules
    leave_the_system()
    limit(cpu_seconds, *sizes)
    answer = ModuleType("answer")
    sys.modules["answer"] = answer
    sys.argv[1:] = []
    write(told_writer, b"ready\n")
    take_away_what_no_hook_sees()
    sys.addaudithook(make_hook(os.path.realpath(os.getcwd()), writes))
    try:
        exec(compile(program, "answer.py", "exec"), answer.__dict__)
    except BaseException as error:
        write(told_writer, type(error).__name__.encode("ascii", "replace")[:100])
    else:
        write(told_writer, read(token_reader, 64))
    leave(0)


if __name__ == "__main__":
    main()
