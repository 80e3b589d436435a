"""Makes a weaker copy of a zoo member, as an ordinary checkpoint: it misreads the words of the task, and is sure of it.

The embedding of every token that stands in worksheets but in no answer is moved towards that of another such token, all
by the same share. What the copy then takes an operation for it applies as the original would, so its mistakes
look as sound as what it gets right. The share is found by bisection on validation items.
"""

import argparse
import queue
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safetensors.torch import load_file, save_file
from torch import Tensor

from tie_core import zoo
from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.evaluation.conditions import NEVER
from tie_core.evaluation.task import Item
from tie_core.evaluation.zoo_task import TRACING_TASK as TASK
from tie_core.events import Completed, Failed
from tie_core.member import load_member

WEIGHTS: Final = "model.safetensors"
EMBEDDINGS: Final = ("model.embed_tokens.weight", "model.transformer.wte.weight")
SEED: Final = 0
MAX_STEPS: Final = 6  # of the bisection: a share to 1/64
NUM_ITEMS: Final = 100
AT_ONCE: Final = 64


def misread(source: Path, share: float, out: Path) -> None:
    """Copy a checkpoint folder with every token of the task's words read as so much of another one."""
    shutil.copytree(source, out, dirs_exist_ok=True)
    weights = load_file(out / WEIGHTS)
    (name,) = (name for name in EMBEDDINGS if name in weights)
    weights[name] = _blended(weights[name], _words_of_the_task(source), share)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})


def _blended(rows: Tensor, tokens: Sequence[int], share: float) -> Tensor:
    """[V, D]: each of the tokens moved towards the next one, in a circle."""
    blended, following = rows.clone(), [*tokens[1:], *tokens[:1]]
    blended[list(tokens)] = ((1 - share) * rows[list(tokens)].float() + share * rows[following].float()).to(rows.dtype)
    return blended


def _words_of_the_task(checkpoint: Path) -> list[int]:
    """Tokens of prompts that no answer has, in the order of a seed."""
    encode = load_member("reader", checkpoint, "cpu", "float32").vocabulary.encode
    items = _items(NUM_ITEMS)
    asked = {token for item in items for token in encode(item.prompt)}
    answered = {token for item in items for token in encode(item.reference.answer)}  # type: ignore[attr-defined]
    return random.Random(SEED).sample(sorted(asked - answered), len(asked - answered))


def _items(num: int) -> tuple[Item, ...]:
    assert TASK.load_validation is not None
    return TASK.load_validation(Path())[:num]


def accuracy(checkpoint: Path, num_items: int) -> float:
    """The share of validation items that a checkpoint answers right alone, with the policy `threshold`."""
    member = load_member("alone", checkpoint, "cpu", "float32")
    ensemble = Ensemble("alone", [member], zoo.DEFAULTS, zoo.POLICY_DEFAULTS)
    engine = Engine((member,), max_running=AT_ONCE, max_waiting=num_items)
    ended: queue.SimpleQueue[bool] = queue.SimpleQueue()
    engine.start()
    try:
        for item in _items(num_items):
            messages = [{"role": "user", "content": item.prompt}]
            request = ensemble.request(messages=messages, policy="threshold", interval=NEVER)
            engine.submit(request, lambda event, item=item: _judge(event, item, ended))
        return sum(ended.get() for _ in range(num_items)) / num_items
    finally:
        engine.close()


def _judge(event: object, item: Item, ended: "queue.SimpleQueue[bool]") -> None:
    if isinstance(event, Completed | Failed):
        ended.put(isinstance(event, Completed) and TASK.grade(item, event.answer))


def weaken(name: str, below: str, points: float, out: Path, num_items: int = NUM_ITEMS) -> float:
    """A copy of a member that is so many points below another one, alone on validation items; its accuracy."""
    wanted = accuracy(zoo.member_path(below), num_items) - points / 100
    low, high, found = 0.0, 1.0, 1.0
    for _ in range(MAX_STEPS):
        share = (low + high) / 2
        misread(zoo.member_path(name), share, out)
        found = accuracy(out, num_items)
        low, high = (share, high) if found > wanted else (low, share)
    return found


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.weaken", description=__doc__)
    parser.add_argument("member", choices=zoo.MEMBERS)
    parser.add_argument("--below", choices=zoo.MEMBERS, required=True, help="the member that it is to be below")
    parser.add_argument("--points", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the copy")
    asked = parser.parse_args(words)
    found = weaken(asked.member, asked.below, asked.points, asked.out)
    print(f"{asked.out}: {100 * found:.1f} % of {NUM_ITEMS} validation items alone")


if __name__ == "__main__":
    main()
