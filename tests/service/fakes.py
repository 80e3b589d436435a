"""Members without weights: real vocabularies, predictions made from a hash of the canvas. The engine is the real one.

`Faults` says how they misbehave. What they answer depends on the canvas alone, so every run of a request is the same.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, cast
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from service.loading import Loaded, start
from service.settings import EnsembleSettings, ModelSettings, Settings
from tests.vocabularies import load as load_vocabulary
from tie_core.engine.observer import Observer
from tie_core.member import Member, Pack
from tie_core.models.footprint import Footprint
from tie_core.models.key_values import KeyValues
from tie_core.models.lanes import Lanes
from tie_core.prediction import Columns
from tie_core.vocabulary import Vocabulary

NAMES = ("zoo-llada", "zoo-dream")
POISON = "0000"  # a prompt with this fails in its first forward
HUGE = "2222"  # a canvas with this never fits the memory, nor does any other beside it
DEADLY = "3333"  # a canvas with this ends the thread of the first member
STEADY = "1111"  # for a prompt with this no member ever changes its mind, so all rounds are tied
OPTIONS: dict[str, Any] = {"reasoning": 24, "answer": 18, "suffix": " Answer:", "block_size": 8, "interval": 8}


@dataclass
class Faults:
    """`gate` open lets forwards through; `seconds` is what each takes once the server is ready."""

    gate: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.gate.set()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Forwards take no time: models are measured and tested meanwhile."""
        seconds, self.seconds = self.seconds, 0.0
        yield
        self.seconds = seconds


@dataclass(frozen=True)
class ScriptedMember(Member):
    """Predicts digits, the surer the fewer masks are left.

    A guess costs little Python, since a real member's forward leaves the interpreter to others.
    """

    faults: Faults = field(default_factory=Faults)

    def read(self, pack: Pack) -> Columns:
        assert self.faults.gate.wait(60), "nobody opened the gate"
        time.sleep(self.faults.seconds)
        whole = pack.whole
        assert whole is not None
        parts, start = [], 0
        for length in whole.lengths:
            inside = (whole.positions >= start) & (whole.positions < start + length)
            canvas = whole.ids[start : start + length].tolist()
            parts.append(self._guess(canvas, (whole.positions[inside] - start).tolist()))
            start += length
        return Columns.joined(parts)

    def _guess(self, canvas: list[int], watched: list[int]) -> Columns:
        first = len(canvas) - (
            OPTIONS["reasoning"] + OPTIONS["answer"] + len(self.vocabulary.encode(OPTIONS["suffix"]))
        )
        prompt = tuple(canvas[:first])
        text = _text_of(self.vocabulary, prompt)
        if DEADLY in text and self.name == NAMES[0]:
            raise SystemExit
        if HUGE in text:
            raise torch.OutOfMemoryError("CUDA out of memory")
        moment = 0 if STEADY in text else canvas.count(self.vocabulary.mask_id) // 4
        seed = crc32(repr((self.name, prompt, moment)).encode())
        luck = seed >> ((np.array(watched) - first) % 16)
        tokens = _digits_of(self.vocabulary)[luck % 10]
        top1 = 0.5 + luck % 400 / 1000
        is_finite = np.full(len(luck), POISON not in text)
        return Columns(tokens, top1, top1 / 2, top1 - 1, tokens, top1, is_finite)


@lru_cache(1_024)
def _text_of(vocabulary: Vocabulary, prompt: tuple[int, ...]) -> str:
    return vocabulary.decode(prompt)


@cache
def _digits_of(vocabulary: Vocabulary) -> NDArray[np.int64]:
    return np.array([vocabulary.encode(str(digit))[0] for digit in range(10)])


def scripted_member(name: str, faults: Faults) -> ScriptedMember:
    vocabulary: Vocabulary = load_vocabulary(name)
    model: Any = SimpleNamespace(
        family=name.removeprefix("zoo-"),
        device="cpu",
        dtype="torch.float32",
        weights_bytes=1_000,
        max_positions=65_536,
        lanes=Lanes(),
        logits_are_shifted=False,
        vocab_rows=400,
        upload=lambda tensor: tensor,
        key_values=KeyValues(1, 1, 1, torch.float32, torch.device("cpu")),
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
        with self.faults.away():
            self.loaded = start(settings, observer, members, dict.fromkeys(members, 0.1))
        return self.loaded


def fake_settings(**sections: Any) -> Settings:
    """Two scripted members in one ensemble, with the zoo's layout."""
    models = [ModelSettings(name=name, path="nowhere") for name in NAMES]
    ensemble = EnsembleSettings(
        name="tie", models=list(NAMES), defaults=OPTIONS, about="Anything: these guess.", examples=["1 2 3", "4 5 6"]
    )
    return Settings(models=models, ensembles=[ensemble], **sections)
