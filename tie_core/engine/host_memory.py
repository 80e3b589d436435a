"""The host's memory, as far as this process may use it: what the system has, within the limits of control groups.

Linux tells both in /proc and /sys; elsewhere only the installed memory is known.
"""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

M_ARENA_MAX: Final = -8
"""`mallopt`'s name for the number of arenas, from glibc's malloc.h."""
KEPT_KERNELS: Final = 24


def share_one_arena() -> bool:
    """Let all threads allocate from one arena, whatever they have taken before; False where the C library has no such
    choice.

    glibc gives every thread an arena of its own, and each keeps the largest tensors that were ever freed in it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_ARENA_MAX, 1))


def bound_kernel_caches() -> None:
    """Let oneDNN keep this many made kernels of each kind, unless its own variables say otherwise. To be called before
    the first forward.

    In 16 bits it makes one for every number of rows that it meets, and by default keeps a thousand of them: with
    packed canvases that is hundreds of megabytes which no forward needs again.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, str(KEPT_KERNELS))


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes: all of it, and what could be taken now without swapping."""

    total: int
    available: int


def host_memory(root: Path = Path("/")) -> HostMemory:
    """The tightest of the system and every control group that this process is in. `root` holds proc and sys."""
    memory = _system_memory(root)
    for limit, used in _group_limits(root):
        memory = HostMemory(min(memory.total, limit), min(memory.available, max(0, limit - used)))
    return memory


def _system_memory(root: Path) -> HostMemory:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return HostMemory(installed, installed)
    kibibytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    total = kibibytes["MemTotal"]
    return HostMemory(total * 1024, kibibytes.get("MemAvailable", total) * 1024)


def _group_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of this process's groups and those around them, in versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names, mount = ("memory.max", "memory.current", "inactive_file"), root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            mount = root / "sys/fs/cgroup/memory"
        else:
            continue
        inside = PurePosixPath(path).relative_to("/")
        for group in (
            inside,
            *inside.parents,
        ):  # in a container the path may be the host's: then only the mount is there
            found = _read_group(mount / group, *names)
            if found is not None:
                yield found


def _read_group(group: Path, limit_name: str, used_name: str, reclaimable_name: str) -> tuple[int, int] | None:
    """None where there is no such group or no limit. Cached file pages count as used, but make way."""
    try:
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in (limit_name, used_name))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return int(limit), int(used) - int(statistics.get(reclaimable_name, 0))
