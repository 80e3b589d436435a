"""Our own scores conform, and every check finds the wrong scores that were made for it."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tie_core.scoring import (
    SCORES,
    Evidence,
    Rule,
    commit_value,
    history_value,
    mean_margin,
    mean_negative_entropy,
    mean_top1,
    reading_value,
    scored_positions,
)
from tie_core.testing import SCORE_CHECKS, ScoreSpecimen, check_score, load_score

BOUNDS: Mapping[str, tuple[float, float]] = {
    "tcc": (-math.inf, 0),
    "tcc_end": (-math.inf, 0),
    "entropy": (-math.log(1_000_000), 0),
    "top1": (0, 1),
    "margin": (0, 1),
    "commit": (0, 1),
    "commit_top1": (0, 1),
}


@pytest.mark.parametrize("name", SCORES)
def test_our_own_scores_conform(name: str) -> None:
    check_score(name, *BOUNDS[name])


def surest_reader(evidence: Evidence) -> float | None:
    return max((value for read in evidence.readings if (value := mean_top1(*read)) is not None), default=None)


def rewarded(evidence: Evidence) -> float | None:
    """Of ends that were committed surely, the more the steadier: no share of either alone."""
    written, seen = commit_value(evidence), tcc(evidence)
    return None if written is None or seen is None else written / (1 - seen)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(partial(reading_value, mean_top1), "itself"),
        Rule(partial(reading_value, mean_negative_entropy), "itself"),
        Rule(surest_reader, "everybody"),
        Rule(rewarded),
    ],
)
def test_right_scores_that_we_do_not_have_conform(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "margin", rule)

    check_score("margin")


def tcc(evidence: Evidence) -> float | None:
    return history_value(evidence.history)


def margin(evidence: Evidence) -> float | None:
    return reading_value(mean_margin, evidence)


def turned(evidence: Evidence) -> float | None:
    value = tcc(evidence)
    return None if value is None else -value


def stable_without_evidence(evidence: Evidence) -> float:
    return 0.0 - float(evidence.history.changes.value)


def divided_by_nothing(evidence: Evidence) -> float:
    return math.nan if evidence.history.last is None else float(tcc(evidence) or 0)


def counted(evidence: Evidence) -> Any:
    return -evidence.history.changes.value if evidence.history.changes.has_evidence else None


def said_nothing(evidence: Evidence) -> float | None:
    return None if tcc(evidence) is None else 0.5


def blind_readers_count(evidence: Evidence) -> float | None:
    """Who sees ends alone is taken for a reader who is not sure at all."""
    values = [mean_top1(prediction, scope) or 0.0 for prediction, scope in evidence.readings]
    return math.fsum(values) / len(values) if any(values) else None


def as_they_come(evidence: Evidence) -> float | None:
    values = [value for read in evidence.readings if (value := mean_top1(*read)) is not None]
    return sum(values) / len(values) if values else None


def first_reader_alone(evidence: Evidence) -> float | None:
    return mean_top1(*evidence.readings[0]) if evidence.readings else None


def summed(evidence: Evidence) -> float | None:
    """Over A, by no number."""
    last, scope = evidence.history.last, evidence.history.scope
    scored = scored_positions(last, scope) if last else ()
    return math.fsum(last.top1[last.positions.index(each)] for each in scored) if last and scored else None


def product_of_commits(evidence: Evidence) -> float | None:
    return math.prod(evidence.confidences) if evidence.confidences else None


def sorted_in_place(evidence: Evidence) -> float | None:
    assert isinstance(evidence.confidences, list)
    evidence.confidences.sort()
    return commit_value(evidence)


def remembering() -> Rule:
    """A moving mean over whatever it was asked before."""
    seen: list[float] = []

    def value(evidence: Evidence) -> float | None:
        if (now := tcc(evidence)) is None:
            return None
        seen.append(now)
        return sum(seen) / len(seen)

    return Rule(value)


def taking_turns() -> Rule:
    """Members score by when they are asked."""
    turns = itertools.count()
    return Rule(lambda evidence: None if tcc(evidence) is None else float(next(turns) % 3))


PLANTS: Mapping[str, Mapping[str, Any]] = {
    "registered": {"readers is 'all'": lambda: Rule(tcc, "all")},  # type: ignore[arg-type]
    "values": {
        "is a Fraction": lambda: Rule(counted),
        "a value is nan": lambda: Rule(divided_by_nothing),
        "outside": lambda: Rule(lambda evidence: None if tcc(evidence) is None else 2.0),
    },
    "direction": {
        "is the sign turned": lambda: Rule(turned),
        "all score the same": lambda: Rule(said_nothing),
        "no value": lambda: Rule(lambda evidence: None),
    },
    "evidence": {
        "in which nothing was seen scores 0.0": lambda: Rule(stable_without_evidence),
        "a reader whose A is empty": lambda: Rule(blind_readers_count, "everybody"),
    },
    "readers": {
        "that nobody makes": lambda: Rule(margin, "nobody"),
        "let nobody read": lambda: Rule(tcc, "everybody"),
        "of itself change nothing": lambda: Rule(commit_value, "itself"),
    },
    "order": {
        "the order of the readers": lambda: Rule(as_they_come, "everybody"),
        "changes the value": lambda: Rule(first_reader_alone, "everybody"),
    },
    "size": {"at twice as many positions": lambda: Rule(summed), "divide": lambda: Rule(product_of_commits)},
    "memory": {"something is remembered": remembering, "evidence is changed": lambda: Rule(sorted_in_place)},
    "rounds": {"scores differ in the order": taking_turns},
    "reset": {"depend on an earlier round": remembering},
}
"""By check, what its message has to say of each plant."""
EVERY_PLANT = [(check, words) for check, plants in PLANTS.items() for words in plants]


@pytest.mark.parametrize(("check", "words"), EVERY_PLANT)
def test_a_check_finds_what_it_is_there_for(check: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = PLANTS[check][words]()
    monkeypatch.setitem(SCORES, "margin", rule)

    with pytest.raises(AssertionError) as broken:
        SCORE_CHECKS[check](ScoreSpecimen("margin", rule, -100.0, 1.0))

    assert words in str(broken.value)


def test_every_check_has_a_plant() -> None:
    assert PLANTS.keys() == SCORE_CHECKS.keys()


def test_a_score_that_is_not_registered_is_told_where_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = ScoreSpecimen("luck", Rule(tcc))

    with pytest.raises(AssertionError, match="SCORES has no luck"):
        SCORE_CHECKS["registered"](specimen)
    monkeypatch.setitem(SCORES, "luck", specimen.rule)  # type: ignore[misc]
    with pytest.raises(AssertionError, match="ScoreName has no luck"):
        SCORE_CHECKS["registered"](specimen)
    with pytest.raises(KeyError):
        load_score("fortune")


def test_one_call_tells_all_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "tcc", Rule(turned))

    with pytest.raises(AssertionError, match=r"tcc: 1 checks are broken\n  direction: a better round"):
        check_score("tcc")


def test_a_rule_that_raises_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "tcc", replace(SCORES["tcc"], value=lambda evidence: evidence.readings[0]))

    with pytest.raises(AssertionError, match="values: raised IndexError"):
        check_score("tcc")
