"""On one member a large request and small ones share the forwards, whoever came first."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.engine.cramped import cramped
from tests.running import Listening, running_engine
from tie_core.ensemble import Ensemble
from tie_core.events import Completed, Event

ROOM = 96  # positions of a forward
SMALL = {"gen_length": 12, "answer": 4, "block_size": 4, "interval": 4}  # 12 steps, in rounds of 4
LARGE = {**SMALL, "gen_length": 220, "interval": 1_000}  # one round of 218 steps, and no room beside it
NUM_SMALL = 24


class Ending(Listening):
    """Notes in `ended` how many forwards there were when its request ended."""

    def __init__(self, name: str, ended: dict[str, int], forwards: list[tuple[int, ...]]) -> None:
        super().__init__()
        self._note = lambda: ended.setdefault(name, len(forwards))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Completed):
            self._note()
        super().__call__(event)


@pytest.mark.parametrize("large_comes_first", [True, False])
def test_neither_large_nor_small_requests_starve(large_comes_first: bool, figure: Callable[[str], None]) -> None:
    """Forwards are counted: in a cycle every row has one, so the large row has as many steps as each small one."""
    member = cramped("llada-tiny", 100_000)
    ensemble = Ensemble("tiny", [member])
    ended: dict[str, int] = {}

    names = [*(f"small-{number}" for number in range(NUM_SMALL)), "large"]
    with running_engine([member], max_batch_positions=ROOM) as engine:
        forwards = member.memory.forwards
        forwards.clear()
        listeners = []
        for name in reversed(names) if large_comes_first else names:
            listeners.append(Ending(name, ended, forwards))
            engine.submit(ensemble.request(prompt=name, **(LARGE if name == "large" else SMALL)), listeners[-1])
        for listener in listeners:
            listener.wait()

    assert set(ended) == set(names)
    small_ended = max(ended[name] for name in names if name != "large")
    of_large = [number for number, lengths in enumerate(forwards) if max(lengths) > ROOM]
    gaps = [after - before for before, after in pairwise(of_large)]
    figure(
        f"fairness: {NUM_SMALL} small requests beside a large one that fills a forward: {small_ended} forwards, "
        f"{sum(number < small_ended for number in of_large)} of them the large one's, at most {max(gaps)} apart"
    )
    assert max(gaps) <= NUM_SMALL / 4 + 1  # at least four small rows fit a forward
    assert small_ended <= 2 * NUM_SMALL * 10 / 4  # ten steps each; the large row has had no more forwards than they
