"""The devices that models can be put on here: their names, their memory, and a stream of work for each worker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tie_core.engine.host_memory import host_memory
from tie_core.errors import PlacementError


@dataclass(frozen=True, slots=True)
class Device:
    """A device that is here. Memory in bytes: all of it, and what is free now."""

    name: str
    description: str
    total_bytes: int
    free_bytes: int


def find_devices() -> tuple[Device, ...]:
    """The CPU and every CUDA device that torch can use."""
    return (_host(), *(_cuda(index) for index in range(torch.cuda.device_count())))


def _host() -> Device:
    memory = host_memory()
    return Device("cpu", f"{torch.get_num_threads()} threads", memory.total, memory.available)


def _cuda(index: int) -> Device:
    free, total = torch.cuda.mem_get_info(index)
    return Device(f"cuda:{index}", torch.cuda.get_device_name(index), total, free)


def choose_device(name: str, devices: Sequence[Device]) -> Device:
    """The device of that name; plain `cuda` is the first one. Raises PlacementError that lists what is here."""
    wanted = "cuda:0" if name == "cuda" else name
    for device in devices:
        if device.name == wanted:
            return device
    here = ", ".join(device.name for device in devices)
    raise PlacementError(f"device {name!r} is not here: choose one of {here}{_why_no_cuda(wanted)}")


def _why_no_cuda(wanted: str) -> str:
    if not wanted.startswith("cuda") or torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return " (this build of torch is for the CPU alone)"
    return " (torch finds no CUDA driver or device)"


def spare_bytes(device: torch.device) -> int:
    """What new tensors could take on a device now, counting what torch has set aside for them."""
    if device.type != "cuda":
        return host_memory().available
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """On CUDA: this thread's kernels go to a stream of its own, behind what is already queued on the device."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own lack of annotations
    stream.wait_stream(torch.cuda.default_stream(device))  # the weights were copied there
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield


def give_memory_back(device: torch.device) -> None:
    """After a failed allocation: hand torch's unused blocks back, which may be in pieces too small to serve."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
