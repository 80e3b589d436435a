"""Requests that each carry a secret, and the search for secrets where they must not be."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.reliability.asking import Reply, as_openai, mixed_body

WINDOW: Final = 11
"""So many digits of a key in a row give it away: members may doubt a digit, and a canvas may hold a part of it."""
CUT_SHARE: Final = 0.25
OPENAI_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Errand:
    """One request with its secret, and after how many seconds its client leaves, if it does."""

    key: str
    body: dict[str, Any]
    transport: str
    cut_after: float | None


def errands(num: int, seed: int, *, longest: int) -> list[Errand]:
    chance = random.Random(seed)
    keys = [f"{number:012}" for number in chance.sample(range(10**11, 10**12), num)]
    made = []
    for key in keys:
        body, transport = mixed_body(chance, key, longest=longest)
        if chance.random() < OPENAI_SHARE:
            body, transport = as_openai(body, transport, is_diffusing=chance.random() < 0.5)
        cut_after = chance.uniform(0, 1.0) if chance.random() < CUT_SHARE else None
        made.append(Errand(key, body, transport, cut_after))
    return made


class Keys:
    """All secrets of a run, to be found again by a part of one, from wherever in it."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._owners = {part: key for key in keys for part in windows(key + key[: WINDOW - 1])}

    def found(self, digits: Iterable[str]) -> set[str]:
        """The keys of which a part is in these runs of digits."""
        return {self._owners[part] for run in digits for part in windows(run) if part in self._owners}


def windows(text: str) -> Iterator[str]:
    return (text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1))


def shown(reply: Reply) -> list[str]:
    """Every run of digits that a client got to see, those included that events tell token by token."""
    if reply.is_streamed:
        return runs([*joined(texts(event) for event in reply.events), *reply.deltas, "".join(reply.deltas)])
    return runs([reply.text])


def runs(strings: Iterable[str]) -> list[str]:
    """Runs of digits, long enough to matter."""
    split = ("".join(char if char.isdigit() else " " for char in text).split() for text in strings)
    return [run for parts in split for run in parts if len(run) >= WINDOW]


def joined(parts: Iterable[Iterable[str]]) -> list[str]:
    return [text for part in parts for text in part]


def texts(value: Any) -> list[str]:
    """All strings of an event at any depth; tokens in a row, and commits by their positions, as one string."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return joined(texts(each) for each in value.values())
    if isinstance(value, list) and value and all(isinstance(each, list) and len(each) == 3 for each in value):
        return ["".join(str(text) for _, text, _ in sorted(value, key=lambda each: each[0]))]
    if isinstance(value, list) and value and all(each is None or isinstance(each, str) for each in value):
        return ["".join(each or " " for each in value)]
    return joined(texts(each) for each in value) if isinstance(value, list) else []
