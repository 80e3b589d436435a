"""A checkpoint's `config.json` read field by field, each with the type it must have.

Knows no family: it turns what is missing, mistyped or not covered into the error that a caller can act on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tie_core.errors import CheckpointError, UnsupportedModelError

MAX_COUNT: Final = 2**24
"""Above every size of a model, and small enough to multiply."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one JSON file. A field that is null counts as absent, as it does in the checkpoints'
    own code.
    """

    file: str
    values: Mapping[str, Any]

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        value = self._required(name)
        if not isinstance(value, str):
            raise self._mistyped(name, value, "a string")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; absent is empty."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._mistyped(name, value, "a list of strings")
        return tuple(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._required(name)
        if not isinstance(value, dict):
            raise self._mistyped(name, value, "an object")
        return value

    def count(self, name: str) -> int:
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_COUNT:
            raise self._mistyped(name, value, f"an integer from 1 to {MAX_COUNT}")
        return value

    def number(self, name: str) -> float:
        value = self._required(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise self._mistyped(name, value, "a number above 0")
        return float(value)

    def is_on(self, name: str) -> bool:
        value = self.values.get(name) or False
        if not isinstance(value, bool):
            raise self._mistyped(name, value, "true or false")
        return value

    def token_id(self, name: str) -> int | None:
        """A token id; of a list the first. None where absent."""
        value = self.values.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._mistyped(name, value, "a token id")
        return value

    def must_be(self, name: str, *allowed: object) -> None:
        """Refuse every value of this field that no code here covers. An absent field is None."""
        value = self.values.get(name)
        if any(type(value) is type(candidate) and value == candidate for candidate in allowed):
            return
        covered = " or ".join("absent" if candidate is None else repr(candidate) for candidate in allowed)
        raise UnsupportedModelError(
            f"{self.file} says {name} = {value!r}; covered is {covered}: use another checkpoint"
        )

    def _required(self, name: str) -> object:
        if not self.has(name):
            raise CheckpointError(
                f"{self.file} has no {name}, which is needed: restore the checkpoint's own {self.file}"
            )
        return self.values[name]

    def _mistyped(self, name: str, value: object, expected: str) -> CheckpointError:
        return CheckpointError(f"{self.file} says {name} = {value!r}, but it is {expected}: restore the file")
