"""Which items of a task are measured: all, those that settings are chosen on, or those that none is chosen on."""

import random
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, get_args

from tie_core.errors import TaskError
from tie_core.evaluation.task import Item, Task

Split = Literal["all", "test", "validation"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
PARTS: Final = 5
"""One of so many parts of a published set is set aside for validation, by a hash of the items' ids."""


def load_items(task: Task, folder: Path, split: Split, seed: int) -> tuple[Item, ...]:
    """The items of a split in the order of a seed, so that the first N are a sample.

    `all` and `test` are the same for a task with validation items of its own.

    Raises:
        TaskError: files that are missing or malformed, or a split without items.
    """
    if task.load_validation is not None:
        items = task.load_validation(folder) if split == "validation" else task.load(folder)
    else:
        items = tuple(item for item in task.load(folder) if split in ("all", _split_of(item)))
    if not items:
        raise TaskError(f"{task.name} has no {split} items in {folder}")
    return tuple(random.Random(seed).sample(items, len(items)))


def items_digest(items: Sequence[Item]) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over ids and prompts: what answers depend on."""
    return _digest((item.id, item.prompt) for item in items)


def references_digest(items: Sequence[Item]) -> str:
    """The same over ids and references: what the verdicts on answers depend on."""
    return _digest((item.id, repr(item.reference)) for item in items)


def _digest(told: Iterable[tuple[str, str]]) -> str:
    digest = sha256()
    for each in sorted(told):
        digest.update("".join(f"{words}\0" for words in each).encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()[:12]


def _split_of(item: Item) -> Split:
    part = int.from_bytes(sha256(item.id.encode()).digest()[:8]) % PARTS
    return "test" if part else "validation"
