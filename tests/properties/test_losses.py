"""What comes out depends on the member and the round of a loss, and not on its moment."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tie_core.canvas import Canvas
from tie_core.errors import LossReason
from tie_core.options import TieOptions, resolve_options
from tie_core.testing.scripted import END, VOCABULARY, Drive, Guess, Oracle, canvas, drive
from tie_core.tie import Decode, Probe, tie

BLANK = canvas(6, 3, block_size=2)
ANSWERS = range(7, 10)
Work = Decode | Probe


def scripted(seed: int, doubt: float, sureness: float) -> Oracle:
    """Guesses that depend on the canvas: in so many of them another answer than its own, and mostly so sure of them."""

    def oracle(seen: Canvas) -> Mapping[int, Guess]:
        chance = random.Random(repr((seed, seen.generated)))
        answer = chance.choice((3, 4, END)) if chance.random() < doubt else 3
        return {
            position: (answer if position in ANSWERS else chance.choice((1, 2)), chance.choice((sureness, 0.6)))
            for position in range(BLANK.layout.length)
        }

    return oracle


oracles = st.lists(
    st.builds(scripted, st.integers(0, 2**20), st.sampled_from((0.0, 0.3, 0.9)), st.sampled_from((0.7, 0.95, 0.99))),
    min_size=2,
    max_size=3,
)
all_options = st.builds(
    lambda **options: resolve_options({"reasoning": 6, "answer": 3, "block_size": 2, **options}),
    score=st.sampled_from(("tcc", "top1", "entropy", "margin")),
    interval=st.integers(1, 9),
    policy=st.sampled_from(("top_k", "threshold")),
    early_commit=st.booleans(),
    early_commit_margin=st.sampled_from((0.1, 0.5, 0.9)),
    selection=st.sampled_from(("lowest_tcc", "most_selected")),
)


def run(scripts: list[Oracle], options: TieOptions, is_lost: Callable[[int, Work], bool]) -> Drive:
    def why(number: int, work: Work) -> LossReason | None:
        return "exception" if is_lost(number, work) else None

    program = tie([VOCABULARY] * len(scripts), [BLANK] * len(scripts), options)
    return drive(program, scripts, options, why)


@settings(deadline=None)
@given(oracles, all_options, st.data())
def test_a_member_lost_at_any_moment_of_a_round_is_lost_to_all_of_it(
    scripts: list[Oracle], options: TieOptions, data: st.DataObject
) -> None:
    asked: defaultdict[tuple[int, int], list[Work]] = defaultdict(list)

    def note(number: int, item: Work) -> bool:
        asked[number, item.member].append(item)
        return False

    run(scripts, options, note)
    assume(several := [key for key, items in asked.items() if len(items) > 1])
    number, member = data.draw(st.sampled_from(several), label="round and member")
    at_once = run(scripts, options, lambda now, item: (now, item.member) == (number, member))

    for moment in asked[number, member]:
        later = run(scripts, options, lambda now, item, moment=moment: now == number and item == moment)

        assert later.rounds == at_once.rounds
        assert later.outcome == at_once.outcome
