"""Who answers: the engine in this process, or anything else that tells a request's story by the same events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from platform import python_version
from typing import Any, Final, Protocol

import torch
import transformers

import tie_core
from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.leaders import leaders_of, led
from tie_core.events import Event

Listener = Callable[[Event], None]
TEXT_FILES: Final = (".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Endings of the files that say how a model is built, how it is asked and what its tokens are."""


@dataclass(frozen=True, slots=True)
class Question:
    """An item's prompt under one condition. `options` are the task's with the condition's over them."""

    id: str
    prompt: str
    options: Mapping[str, Any]
    condition: Condition

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}]


class Side(Protocol):
    """Answers up to `at_once` questions at a time. `ask` returns at once; its listener is called from any thread, and
    last with `Completed` or `Failed`. `is_here`: it takes conditions that no request can ask for."""

    at_once: int
    is_here: bool

    @property
    def members(self) -> Sequence[str]: ...

    def resolve(self, options: Mapping[str, Any], models: Sequence[str] = ()) -> Mapping[str, Any]:
        """All options of a request that asks these members (none: all) for these options."""
        ...

    def circumstances(self) -> Mapping[str, Any]:
        """Versions and members, as far as answers depend on them."""
        ...

    def ask(self, question: Question, listen: Listener) -> None: ...


class EngineSide:
    """A running engine in this process. `checkpoints` are the members' folders, by name."""

    def __init__(self, engine: Engine, ensemble: Ensemble, checkpoints: Mapping[str, Path], at_once: int) -> None:
        self.at_once, self.is_here = at_once, True
        self._engine, self._ensemble, self._checkpoints = engine, ensemble, checkpoints

    @property
    def members(self) -> Sequence[str]:
        return [member.name for member in self._ensemble.members]

    def resolve(self, options: Mapping[str, Any], models: Sequence[str] = ()) -> Mapping[str, Any]:
        return asdict(self._ensemble.resolve(self._ensemble.choose(models or None), options))

    def circumstances(self) -> Mapping[str, Any]:
        return {
            "versions": {
                "tie-server": tie_core.__version__,
                "python": python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "members": {
                member.name: {
                    "weights": weights_digest(self._checkpoints[member.name]),
                    "files": files_digest(self._checkpoints[member.name]),
                    "device": str(member.model.device),
                    "dtype": str(member.model.dtype).removeprefix("torch."),
                }
                for member in self._ensemble.members
            },
        }

    def ask(self, question: Question, listen: Listener) -> None:
        condition = question.condition
        request = self._ensemble.request(
            messages=question.messages,
            models=condition.models or None,
            request_id=question.id,
            **question.options,
        )
        if condition.needs_models_here:
            choose = leaders_of(condition.leaders, request, seed=question.prompt)
            request = led(request, choose, is_normalised=condition.is_normalised)
        self._engine.submit(request, listen)


def weights_digest(checkpoint: Path) -> str:
    """The first 12 hexadecimal digits of the weight file's SHA-256; of several files, of one over theirs in order."""
    digests = []
    for path in sorted(checkpoint.glob("*.safetensors")):
        with path.open("rb") as file:
            digests.append(file_digest(file, "sha256"))
    digest = digests[0] if len(digests) == 1 else sha256(b"".join(each.digest() for each in digests))
    return digest.hexdigest()[:12]


def files_digest(checkpoint: Path) -> str:
    """The same over the names and contents of configuration, chat template and tokenizer."""
    digest = sha256()
    for path in sorted(path for path in checkpoint.iterdir() if path.suffix in TEXT_FILES):
        content = sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.name}\0{content}\0".encode())
    return digest.hexdigest()[:12]
