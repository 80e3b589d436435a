"""Memory that this process may use: the system's, or less where a control group says so."""

import os
import platform
from pathlib import Path

import pytest

from tie_core.engine.host_memory import (
    KEPT_KERNELS,
    HostMemory,
    bound_kernel_caches,
    host_memory,
    share_one_arena,
)

GIB = 1024**3


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system of 32 GiB, 20 of them available, without control groups."""
    kibibytes = {"MemTotal": 32 * 1024**2, "MemFree": 1024, "MemAvailable": 20 * 1024**2}
    write(tmp_path / "proc/meminfo", "".join(f"{name}: {value} kB\n" for name, value in kibibytes.items()))
    return tmp_path


def add_group(root: Path, version: int, path: str, limit: str, used: int, reclaimable: int = 0) -> None:
    if version == 2:
        folder = root / "sys/fs/cgroup" / path
        names = ("memory.max", "memory.current", "inactive_file")
    else:
        folder = root / "sys/fs/cgroup/memory" / path
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    write(folder / names[0], f"{limit}\n")
    write(folder / names[1], f"{used}\n")
    write(folder / "memory.stat", f"anon {used - reclaimable}\n{names[2]} {reclaimable}\n")


def test_without_groups_it_is_the_systems(root: Path) -> None:
    assert host_memory(root) == HostMemory(32 * GIB, 20 * GIB)


@pytest.mark.parametrize(("version", "line"), [(2, "0::/app"), (1, "4:cpu,memory:/app")])
def test_a_groups_limit_counts(root: Path, version: int, line: str) -> None:
    write(root / "proc/self/cgroup", f"9:name=systemd:/\n{line}\n")
    add_group(root, version, "app", str(8 * GIB), used=3 * GIB)

    assert host_memory(root) == HostMemory(8 * GIB, 5 * GIB)


def test_file_pages_make_way(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/app\n")
    add_group(root, 2, "app", str(8 * GIB), used=7 * GIB, reclaimable=4 * GIB)

    assert host_memory(root).available == 5 * GIB


def test_the_tightest_group_around_counts(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/slice/app\n")
    add_group(root, 2, "slice/app", "max", used=GIB)
    add_group(root, 2, "slice", str(4 * GIB), used=GIB)

    assert host_memory(root) == HostMemory(4 * GIB, 3 * GIB)


def test_in_a_container_the_hosts_path_leads_to_the_mount(root: Path) -> None:
    write(root / "proc/self/cgroup", "4:memory:/docker/0123abcd\n")
    add_group(root, 1, "", str(2 * GIB), used=GIB)

    assert host_memory(root) == HostMemory(2 * GIB, GIB)


def test_a_group_over_its_limit_has_nothing_left(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    add_group(root, 2, "", str(GIB), used=2 * GIB)

    assert host_memory(root).available == 0


def test_without_proc_it_is_what_is_installed(tmp_path: Path) -> None:
    memory = host_memory(tmp_path)

    assert memory.total == memory.available > 0


def test_this_machine_has_some() -> None:
    memory = host_memory()

    assert 0 < memory.available <= memory.total


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
def test_glibc_takes_the_wish_for_one_arena() -> None:
    """What it saves is measured by `make bench`: the memory that grows over a wide vocabulary."""
    assert share_one_arena()


def test_kernels_are_kept_within_bounds_unless_somebody_chose_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "so that it is as before in the end")
    monkeypatch.delenv("LRU_CACHE_CAPACITY")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")

    bound_kernel_caches()

    assert os.environ["LRU_CACHE_CAPACITY"] == str(KEPT_KERNELS)
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
