"""Workers on a CUDA device: their own streams, memory that is measured, and memory that really runs out."""

import threading

import pytest
import torch

from tests.running import run_together, running_engine
from tie_core.engine.devices import choose_device, find_devices, own_stream, spare_bytes
from tie_core.engine.observer import Observer
from tie_core.engine.warm_up import Allowance, warm_up
from tie_core.ensemble import Ensemble
from tie_core.events import Completed
from tie_core.member import Member, load_member
from tie_core.zoo import DEFAULTS, MEMBERS, member_path
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED, grade

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def members() -> list[Member]:
    return [load_member(name, member_path(name), "cuda:0") for name in MEMBERS]


class OutOfMemory(Observer):
    def __init__(self) -> None:
        self.num_forwards = 0

    def on_out_of_memory(self, member: str, num_positions: int) -> None:
        self.num_forwards += 1


def test_the_device_is_found_with_its_memory() -> None:
    device = choose_device("cuda", find_devices())

    assert device.name == "cuda:0"
    assert 0 < device.free_bytes <= device.total_bytes
    assert spare_bytes(torch.device("cuda:0")) > 0


def test_every_worker_has_a_stream_of_its_own() -> None:
    streams = []

    def work() -> None:
        with own_stream(torch.device("cuda:0")):
            streams.append(torch.cuda.current_stream())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert torch.cuda.default_stream() not in streams
    assert streams[0] != streams[1]


def test_the_activations_of_a_position_are_what_was_computed(members: list[Member]) -> None:
    for member in members:
        warmed = warm_up(member, Allowance(0.5, 10**9, None, 1))

        assert 0.5 <= warmed.position_bytes / member.model.footprint.position_bytes <= 1.5


def test_a_prediction_is_the_cpus(members: list[Member]) -> None:
    """Through pinned uploads: the same tokens, and logits within what two devices may differ by."""
    for member in members:
        on_cpu = load_member(member.name, member_path(member.name))
        ids = torch.arange(90) % 300
        there, here = (each.model.predict(ids, [40, 50], torch.arange(90)).cpu() for each in (member, on_cpu))
        assert torch.allclose(there, here, atol=2e-2)


def test_two_members_on_one_device_answer_right(members: list[Member]) -> None:
    items = make_items(VALIDATION_SEED, 32)
    ensemble = Ensemble("zoo", members, DEFAULTS)
    requests = [ensemble.request(messages=[{"role": "user", "content": item.prompt}]) for item in items]

    with running_engine(members) as engine:
        ends = [events[-1] for events in run_together(engine, requests)]

    assert all(isinstance(end, Completed) for end in ends)
    assert sum(grade(item, end.answer) for item, end in zip(items, ends, strict=True)) > len(items) // 2


def test_memory_that_runs_out_costs_time_and_no_answers(members: list[Member]) -> None:
    items = make_items(VALIDATION_SEED, 64)
    ensemble, observer = Ensemble("zoo", members, DEFAULTS), OutOfMemory()
    requests = [ensemble.request(messages=[{"role": "user", "content": item.prompt}]) for item in items]
    _, total = torch.cuda.mem_get_info()
    with running_engine(members, observer) as engine:
        torch.cuda.empty_cache()
        room = torch.cuda.memory_reserved() + 6_000_000  # too little for the segments that large tensors come from
        torch.cuda.set_per_process_memory_fraction(room / total)
        try:
            ends = [events[-1] for events in run_together(engine, requests)]
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    assert all(isinstance(end, Completed) for end in ends)
    assert observer.num_forwards > 0
