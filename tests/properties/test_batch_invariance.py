"""A request's result does not depend on its batch-mates: alone or among 1 to 15 others, bit for bit in float32."""

import random
from collections import Counter

import pytest

from tests.members import TINY, tiny
from tests.running import run_together, running_engine
from tie_core.ensemble import Ensemble
from tie_core.events import Completed, Event, RoundEnded, event_data
from tie_core.request import Request
from tie_core.unmasking import POLICIES

WORDS = ("Anna", "has", "4", "boxes", "with", "6", "pens,", "what", "of", "them?", "rev", "add", "Zoë", "日本")


def random_request(rng: random.Random) -> dict:
    """Another length, number of steps, block, policy, score and set of members each time."""
    return {
        "messages": [{"role": "user", "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))}],
        "models": rng.sample(TINY, rng.randint(1, 3)),
        "gen_length": rng.randint(16, 28),
        "answer": rng.randint(1, 6),
        "block_size": rng.choice([3, 4, 8]),
        "interval": rng.choice([2, 4, 7, 40]),
        "score": rng.choice(["tcc", "top1", "entropy", "margin"]),
        "policy": rng.choice(sorted(POLICIES)),
        "k": rng.randint(1, 3),
        "tau": 0.2,
        "factor": rng.choice([1.0, 2.0]),
        "gamma": rng.choice([0.1, 10.0]),
        "suppress_end": rng.choice(["off", "confidence", "prediction"]),
        "fill_end": rng.choice([True, False]),
        "early_commit": rng.choice([True, False]),
        "early_commit_margin": 0.001,
        "cache": rng.choice(["off", "window"]),
        "refresh_interval": rng.choice([2, 5, 30]),
        "detail": rng.choice(["round", "step"]),
    }


def story(events: list[Event]) -> list[object]:
    """All that may not differ, down to the last bit of every probability; not the times."""
    told: list[object] = [event_data(event) for event in events if isinstance(event, RoundEnded)]
    completed = events[-1]
    assert isinstance(completed, Completed)
    return [*told, completed.text, completed.finish_reason, completed.usage, completed.tie]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_alone_equals_among_others(figure, numbers):
    rng = random.Random(20261123)
    ensemble = Ensemble("tiny", [tiny(name) for name in TINY])
    num_cases, approximated = 0, Counter()
    with running_engine(ensemble.members) as engine:
        while num_cases < numbers(80, 300):
            asked = [random_request(rng) for _ in range(rng.randint(2, 16))]
            together = run_together(engine, [ensemble.request(**request) for request in asked])
            for request, events in zip(asked, together, strict=True):
                assert story(events) == story(list(ensemble.generate(**request)))
                approximated.update(events[-1].tie.approximations)
            num_cases += len(asked)
    told = ", ".join(f"{name} in {count}" for name, count in sorted(approximated.items()))
    figure(f"batch invariance: {num_cases} requests are equal alone and among 1 to 15 others ({told})")


def test_the_batch_budget_changes_nothing_but_the_batches():
    rng = random.Random(7)
    ensemble = Ensemble("tiny", [tiny(name) for name in TINY])
    asked = [random_request(rng) for _ in range(6)]
    alone = [story(list(ensemble.generate(**request))) for request in asked]
    for budget in (1, 100, 10_000):
        with running_engine(ensemble.members, max_batch_positions=budget) as engine:
            requests: list[Request] = [ensemble.request(**request) for request in asked]
            together = run_together(engine, requests)
        assert [story(events) for events in together] == alone, budget
