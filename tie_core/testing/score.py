"""The checks of a score, without any model: what the assessment of a round and the relay after it rely on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Final, get_args

from tie_core.canvas import Canvas
from tie_core.options import ScoreName, TieOptions
from tie_core.prediction import Prediction
from tie_core.scoring import SCORES, Evidence, History, Readers, Rule, Scope
from tie_core.testing.checking import demand, findings, hold
from tie_core.testing.evidence import blind_reading, make_pair, make_stories, nothing_seen
from tie_core.testing.scripted import END, VOCABULARY, Guess, Oracle, canvas, drive
from tie_core.tie import Round, tie

NUM_STORIES: Final = 40
ROUNDING: Final = 1e-9
Reading = tuple[Prediction, Scope]


@dataclass(frozen=True, slots=True)
class ScoreSpecimen:
    """A score under its name; `least` and `most` bound what it gives."""

    name: str
    rule: Rule
    least: float = -math.inf
    most: float = math.inf

    def value(self, evidence: Evidence) -> float | None:
        """Of what the rule is given: only the readings that its `readers` make."""
        return self.rule.value(replace(evidence, readings=self.shown(evidence.readings)))

    def shown(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        count = {"nobody": 0, "itself": 1}.get(self.rule.readers)
        return list(readings)[:count]


def check_registered(score: ScoreSpecimen) -> None:
    """The name is one of `SCORES` and of `ScoreName`, and the rule says who reads for it.

    `ScoreName` is what requests, schemas and metrics are made of, `SCORES` what the loop asks. Source: ours,
    `docs/architecture.md`, "Where something is added".
    """
    hold(score.name in SCORES, f"SCORES has no {score.name}: add the rule there")
    hold(score.name in get_args(ScoreName), f"ScoreName has no {score.name}: no request could ask for it")
    hold(score.rule.readers in get_args(Readers), f"readers is {score.rule.readers!r}, not one of {get_args(Readers)}")


def check_values(score: ScoreSpecimen) -> None:
    """A value is a finite float within the bounds, or None; it goes out as JSON and into a calibration.

    Also after the first step alone, with no commits, and where fewer members read than the round began with, since
    members may be lost. Source: section 4.2.
    """
    for evidence in _evidences(score):
        value = score.value(evidence)
        if value is None:
            continue
        hold(type(value) is float, f"a value is a {type(value).__name__}, not a float or None")
        hold(math.isfinite(value), f"a value is {value}: nothing can be compared with it")
        hold(score.least <= value <= score.most, f"a value is {value:g}, outside {score.least:g} to {score.most:g}")


def check_direction(score: ScoreSpecimen) -> None:
    """Higher is better: a round that is steadier, surer, and read as it was written never scores lower.

    And it scores higher than one that wavers and doubts, or the score tells nothing apart. Source: section 4.2; the
    leader is the argmax.
    """
    pairs = [[score.value(story.evidence()) for story in make_pair(seed)] for seed in range(NUM_STORIES)]
    known = [(worse, better) for worse, better in pairs if worse is not None and better is not None]
    hold(bool(known), "no value for rounds in which everything was seen")
    for worse, better in known:
        hold(better >= worse, f"a better round scores {better:g}, a worse one {worse:g}: is the sign turned?")
    hold(any(better > worse for worse, better in known), "better and worse rounds all score the same")


def check_evidence(score: ScoreSpecimen) -> None:
    """Without evidence there is no value, and a reader that sees ends alone says nothing.

    Where every answer position predicts an end, a trajectory looks perfectly stable; it must rank below all that have
    evidence, which None does and 0 does not. Source: section 4.2 leaves it open; ours, `docs/paper-map.md`.
    """
    value = score.value(nothing_seen())
    hold(value is None, f"a round in which nothing was seen scores {value}: give None")
    if score.rule.readers != "everybody":
        return
    for story in make_stories(1, NUM_STORIES):
        evidence = story.evidence(num_readers=2)
        with_blind = replace(evidence, readings=[*evidence.readings, blind_reading()])
        words = "a reader whose A is empty changes the score: leave it out"
        hold(score.value(evidence) == score.value(with_blind), words)


def check_readers(score: ScoreSpecimen) -> None:
    """The readings that `readers` asks for are needed, and are enough.

    Each costs a forward: `everybody` M x M - M of them a round, which a score that looks at none spends for nothing;
    and one that needs readings that nobody makes has never a value. Source: section 4.2, appendix (cost).
    """
    stories = make_stories(2, NUM_STORIES)
    values = [score.value(story.evidence()) for story in stories]
    hold(any(value is not None for value in values), "there is never a value: does it need readings that nobody makes?")
    if score.rule.readers == "nobody":
        return
    others = stories[1:] + stories[:1]
    swapped = [
        score.value(replace(story.evidence(), readings=other.evidence().readings))
        for story, other in zip(stories, others, strict=True)
    ]
    hold(values != swapped, f"the readings of {score.rule.readers} change nothing: let nobody read for this score")


def check_order(score: ScoreSpecimen) -> None:
    """The members' order changes no bit: readings may come in any.

    A sum of floats depends on the order; `math.fsum` does not. A last bit decides a round where two trajectories are
    alike. Source: section 4.2 (a mean over the members).
    """
    if score.rule.readers != "everybody":
        return
    for story in make_stories(3, NUM_STORIES):
        evidence = story.evidence()
        values = {score.value(replace(evidence, readings=list(read))) for read in permutations(evidence.readings)}
        hold(len(values) == 1, f"the order of the readers changes the value: {sorted(map(str, values))}")


def check_size(score: ScoreSpecimen) -> None:
    """A value does not grow with the answer: twice as many positions that do the same score the same.

    Trajectories of one round have unlike many scored positions, and without a share of |A| the longer one loses.
    Source: section 4.2 (normalisation), table 8.
    """
    for story in make_stories(4, NUM_STORIES):
        once, twice = score.value(story.evidence()), score.value(story.doubled().evidence())
        is_same = once == twice or (
            once is not None and twice is not None and math.isclose(once, twice, rel_tol=ROUNDING, abs_tol=ROUNDING)
        )
        hold(is_same, f"the same at twice as many positions scores {twice}, once {once}: divide by their number")


def check_memory(score: ScoreSpecimen) -> None:
    """A value follows from its evidence alone: asked again later it is the same, and the evidence is not changed.

    So nothing of an earlier round or of another request comes in, nor of what a trajectory did afterwards; and equal
    trajectories tie exactly. Source: section 4.3 (histories start anew after a relay).
    """
    first = [score.value(evidence) for evidence in _evidences(score)]
    evidences = list(_evidences(score))
    before = deepcopy(evidences)
    backwards = [score.value(evidence) for evidence in reversed(evidences)]
    hold(first == backwards[::-1], "the same evidence has another value later: something is remembered")
    hold(evidences == before, "evidence is changed by scoring it")


def check_rounds(score: ScoreSpecimen) -> None:
    """In whole runs the same members lead, with the same scores, in whatever order they stand.

    Three scripted members in the real loop. Source: sections 4.1 to 4.3.
    """
    plain = _rounds(score, MEMBERS)
    for order in permutations(range(len(MEMBERS))):
        other = _rounds(score, [MEMBERS[number] for number in order])
        for ended, expected in zip(other, plain, strict=True):
            scores = {number: ended.scores[place] for place, number in enumerate(order)}
            hold([scores[number] for number in range(3)] == [*expected.scores], f"scores differ in the order {order}")
            if expected.leader.tie_break is None:
                led = order[ended.leader.member]
                hold(led == expected.leader.member, f"round {ended.number} has another leader in the order {order}")


def check_reset(score: ScoreSpecimen) -> None:
    """After a relay a score starts anew: what a member did in an earlier round changes no later score.

    Two runs whose first rounds differ and whose relays do not. Source: section 4.3.
    """
    plain, changed = (_rounds(score, [first, *MEMBERS[1:]]) for first in (MEMBERS[0], _member(0.9, 7, True)))
    hold(plain[0].trajectories != changed[0].trajectories, "the first rounds were to differ")
    for ended, expected in zip(changed[1:], plain[1:], strict=True):
        hold(ended.scores == expected.scores, f"the scores of round {ended.number} depend on an earlier round")


def _rounds(score: ScoreSpecimen, members: Sequence[Oracle]) -> list[Round]:
    check_registered(score)
    options = TieOptions(reasoning=12, answer=4, block_size=4, interval=4, score=score.name)  # type: ignore[arg-type]
    blank = canvas(12, 4, block_size=4)
    return drive(tie([VOCABULARY] * len(members), [blank] * len(members), options), members, options).rounds


def _member(sure: float, changes_every: int, wavers_early: bool = False) -> Oracle:
    """Writes what all write; of the answer it says now this and now that, and is as sure as it is."""

    def oracle(seen: Canvas) -> Mapping[int, Guess]:
        left, answer = seen.masked_left, seen.layout.answer_region
        moment = left if wavers_early and left > 12 else left // changes_every
        guesses = dict.fromkeys(seen.layout.reasoning_region, (1, sure))
        return guesses | {position: (1 + (moment + position) % 3, sure - position / 100) for position in answer}

    return oracle


MEMBERS: Final = (_member(0.9, 7), _member(0.5, 3), _member(0.7, 2))

SCORE_CHECKS: Final[Mapping[str, Callable[[ScoreSpecimen], None]]] = {
    "registered": check_registered,
    "values": check_values,
    "direction": check_direction,
    "evidence": check_evidence,
    "readers": check_readers,
    "order": check_order,
    "size": check_size,
    "memory": check_memory,
    "rounds": check_rounds,
    "reset": check_reset,
}


def load_score(name: str, least: float = -math.inf, most: float = math.inf) -> ScoreSpecimen:
    """A score of `SCORES`; KeyError for a name that is not there."""
    return ScoreSpecimen(name, {str(known): rule for known, rule in SCORES.items()}[name], least, most)


def check_score(name: str, least: float = -math.inf, most: float = math.inf) -> None:
    """Hold the score of that name against everything that a round relies on; it lies between `least` and `most`.

    Raises:
        AssertionError: some checks are broken; the message names all of them.
        KeyError: there is no such score.
    """
    demand(name, findings(SCORE_CHECKS, load_score(name, least, most)))


def _evidences(score: ScoreSpecimen) -> Iterator[Evidence]:
    """Made anew each time: whole rounds, their beginnings, with fewer readers, with no commits."""
    for story in make_stories(5, NUM_STORIES):
        for num_steps in range(1, len(story.steps) + 1):
            yield story.evidence(num_steps, num_readers=num_steps % 4)
        yield replace(story.evidence(), confidences=[])
        yield replace(story.evidence(), history=History(Scope(range(0), frozenset({END}))))
