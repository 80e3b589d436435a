"""Members without weights: real vocabularies, predictions made from a hash of the canvas. The engine is the real one.

`Faults` says how they misbehave. What they answer depends on the canvas alone, so every run of a request is the same.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import torch

from service.loading import Loaded, start
from service.settings import EnsembleSettings, ModelSettings, Settings
from tests.vocabularies import load as load_vocabulary
from tie_core.engine.observer import Observer
from tie_core.errors import MemberError
from tie_core.member import Member, Query
from tie_core.models.footprint import Footprint
from tie_core.prediction import Prediction
from tie_core.vocabulary import Vocabulary

NAMES = ("zoo-llada", "zoo-dream")
POISON = "0000"  # a prompt with this fails in its first forward
HUGE = "2222"  # a canvas with this never fits the memory, nor does any other beside it
STEADY = "1111"  # for a prompt with this no member ever changes its mind, so all rounds are tied
OPTIONS = {"reasoning": 24, "answer": 18, "suffix": " Answer:", "block_size": 8, "interval": 8}


@dataclass
class Faults:
    """`gate` open lets forwards through; `seconds` is what each takes."""

    gate: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.gate.set()


@dataclass(frozen=True)
class ScriptedMember(Member):
    """Predicts digits, the surer the fewer masks are left."""

    faults: Faults = field(default_factory=Faults)

    def predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        assert self.faults.gate.wait(60), "nobody opened the gate"
        time.sleep(self.faults.seconds)
        if any(HUGE in self.vocabulary.decode(query.canvas.prompt) for query in queries):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [self._read(query) for query in queries]

    def _read(self, query: Query) -> Prediction | MemberError:
        canvas = query.canvas
        prompt = self.vocabulary.decode(canvas.prompt)
        if POISON in prompt:
            return MemberError(f"model {self.name} gave logits that are not finite")
        moment = 0 if STEADY in prompt else canvas.masked_left // 4
        seed = crc32(repr((self.name, canvas.prompt, moment)).encode())
        digits = [self.vocabulary.encode(str(digit))[0] for digit in range(10)]
        tokens = tuple(digits[(seed >> position % 16) % 10] for position in query.watched)
        top1 = tuple(0.5 + (seed >> position % 16) % 400 / 1000 for position in query.watched)
        margin = tuple(probability / 2 for probability in top1)
        entropy = tuple(probability - 1 for probability in top1)
        return Prediction(query.watched, tokens, top1, margin, entropy, tokens, top1)


def scripted_member(name: str, faults: Faults) -> ScriptedMember:
    vocabulary: Vocabulary = load_vocabulary(name)
    model: Any = SimpleNamespace(
        family=name.removeprefix("zoo-"),
        device="cpu",
        dtype="torch.float32",
        weights_bytes=1_000,
        max_positions=65_536,
        footprint=Footprint(weights_bytes=1_000, position_bytes=100, cache_bytes=10, vocab_rows=400),
    )
    return ScriptedMember(name, model, vocabulary, faults)


@dataclass
class FakeLoader:
    """Stands in for `service.loading.load`. `gate` holds loading up, `error` ends it."""

    faults: Faults = field(default_factory=Faults)
    gate: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    loaded: Loaded | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, settings: Settings, observer: Observer) -> Loaded:
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        members: Mapping[str, Member] = {
            model.name: cast(Member, scripted_member(model.name, self.faults)) for model in settings.models
        }
        self.loaded = start(settings, observer, members, dict.fromkeys(members, 0.1))
        return self.loaded


def fake_settings(**sections: Any) -> Settings:
    """Two scripted members in one ensemble, with the zoo's layout."""
    models = [ModelSettings(name=name, path="nowhere") for name in NAMES]
    ensemble = EnsembleSettings(name="tie", models=list(NAMES), defaults=OPTIONS)
    return Settings(models=models, ensembles=[ensemble], **sections)
