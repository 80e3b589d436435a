"""The ways of answering that are compared: options over an ensemble's and a task's own, and what no request can ask."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from tie_core.errors import TaskError
from tie_core.options import ScoreName, options_of

NEVER: Final = 1_000_000
"""An interval that no canvas reaches: no round ends before a member has completed."""
SCORES: Final[tuple[ScoreName, ...]] = get_args(ScoreName)


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of answering, known by its `key`: what differs from the ensemble's defaults and the task's options.

    `leaders` (a name that `leaders.py` knows) and `is_normalised` are for ablations: no request can ask for them, so
    they need the models in this process. `models` are the members that are asked (none: all).
    """

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    leaders: str = ""
    is_normalised: bool = True
    models: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        words = [f"{name}={_word(value)}" for name, value in sorted(self.options.items())]
        words += [f"leaders={self.leaders}"] * bool(self.leaders) + ["is_normalised=false"] * (not self.is_normalised)
        return " ".join(words + [f"models={','.join(self.models)}"] * bool(self.models))

    @property
    def needs_models_here(self) -> bool:
        return bool(self.leaders) or not self.is_normalised


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


POST: Final = Condition("post-generation ensemble", {"interval": NEVER})
"""No relay at all: the members' own runs, one of which is chosen at the end."""
CHOSEN: Final = Condition("the chosen one", leaders="chosen")
"""Stands for the condition that is chosen on validation items; nothing is ever asked under it."""
RANDOM: Final = Condition("random leader", {"score": "tcc"}, leaders="random")


def tie_by(score: str, what: str = "", **options: Any) -> Condition:
    """TIE with this score; `what` is said of the other options."""
    return Condition(", ".join(filter(None, ("TIE", score, what))), {"score": score, **options})


def standard() -> tuple[Condition, ...]:
    """The post-generation ensemble, and TIE with each score that there is."""
    return (POST, *map(tie_by, SCORES))


def parse_conditions(words: str) -> tuple[Condition, ...]:
    """`post,random,tcc`, or with options and then semicolons between: `post; score=top1 interval=4; models=a,b`.

    Raises:
        TaskError: a name that is none of `post`, `random` and the scores.
        OptionsError: options that are not written as NAME=VALUE.
    """
    parts = words.split(";") if "=" in words or ";" in words else words.split(",")
    conditions = [_parse(part.strip()) for part in parts if part.strip()]
    return tuple({condition.key: condition for condition in conditions}.values())


def _parse(word: str) -> Condition:
    named = {"post": POST, "random": RANDOM, "chosen": CHOSEN} | {score: tie_by(score) for score in SCORES}
    if word in named:
        return named[word]
    if "=" not in word:
        raise TaskError(f"there is no condition {word!r}: give {', '.join(named)}, or options as NAME=VALUE")
    options = options_of(word.split())
    models = tuple(name for name in str(options.pop("models", "")).split(",") if name)
    return Condition(f"TIE, {word}", options, models=models)
