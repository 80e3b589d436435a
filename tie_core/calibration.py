"""Readings of unequal members made comparable: each member's own logistic turns them into a chance. Beyond the paper.

Knows numbers and names only. `evaluation/` learns a calibration; `tie.py` and `selection.py` ask it who is reliable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import exp
from typing import Any, Final

from tie_core.errors import OptionsError

MAX_COEFFICIENT: Final = 10_000.0
LEAST_LOGIT: Final = -700.0  # below, exp overflows
MAX_MEMBERS: Final = 64
NAMES: Final = ("intercept", "slope")
SHAPE: Final = "calibration has for each member a table of rules, each with an intercept and a slope"

CalibrationTable = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Member -> rule (a score, or `lowest_tcc` for the final answer) -> `intercept` and `slope`."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The chance, 0 to 1, that what a member committed leads to a right answer, by a reading of it: higher is better.

    1 / (1 + exp(-(intercept + slope * reading))). The slope is not negative: a better reading is never worse.
    """

    intercept: float
    slope: float

    def __call__(self, reading: float | Fraction) -> float:
        logit = self.intercept + self.slope * float(reading)
        return 1 / (1 + exp(-max(logit, LEAST_LOGIT)))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The reliabilities of a request's members, in their order, by rule. Without any, readings stay what they are."""

    by_rule: Mapping[str, Sequence[Reliability]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: CalibrationTable | None, members: Sequence[str]) -> "Calibration":
        rules = next(iter(table.values())) if table else {}
        return cls({rule: [Reliability(**table[name][rule]) for name in members] for rule in rules} if table else {})

    def reliability(self, rule: str, member: int, reading: float | Fraction) -> float | None:
        """None where this rule's readings are compared as they are."""
        return self.by_rule[rule][member](reading) if rule in self.by_rule else None

    def comparable(self, rule: str, member: int, reading: float | None) -> float | None:
        """What this rule compares of a member: the reading itself, or the chance that it stands for."""
        chance = None if reading is None else self.reliability(rule, member, reading)
        return reading if chance is None else chance


PLAIN: Final = Calibration()


def check_calibration(table: object, rules: Iterable[str]) -> None:
    """Whether an option `calibration` can be used; `rules` are those that it may be of.

    Raises:
        OptionsError: it cannot.
    """
    if table is None:
        return
    if not isinstance(table, Mapping) or not 1 <= len(table) <= MAX_MEMBERS:
        raise OptionsError("calibration", f"{SHAPE}: for 1 to {MAX_MEMBERS} members")
    allowed, members = tuple(rules), list(table.values())
    if any(not isinstance(member, Mapping) or not member or not set(member) <= set(allowed) for member in members):
        raise OptionsError("calibration", f"{SHAPE}: the rules are {', '.join(allowed)}")
    if any(set(member) != set(members[0]) for member in members):
        raise OptionsError("calibration", "calibration has the same rules for every member: one alone compares nothing")
    for coefficients in (each for member in members for each in member.values()):
        _check_coefficients(coefficients)


def _check_coefficients(given: Any) -> None:
    if not isinstance(given, Mapping) or set(given) != set(NAMES) or not all(map(_is_bounded, given.values())):
        raise OptionsError("calibration", f"{SHAPE}: numbers from -{MAX_COEFFICIENT:g} to {MAX_COEFFICIENT:g}")
    if given["slope"] < 0:
        raise OptionsError("calibration", "calibration's slope is 0 or more: a higher reading is never less reliable")


def _is_bounded(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_COEFFICIENT
