"""Scripted members for load: they answer with the digits of the prompt's key, so that a mix-up shows in the text.

What they predict depends on the canvas alone, so a request has one right answer whatever runs beside it.
"""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Final, cast
from zlib import crc32

import numpy as np
import torch

from service.loading import Loaded, Loader, load, start
from service.settings import Settings
from tests.service.fakes import FakeLoader, Faults, ScriptedMember, scripted_member
from tie_core.engine.observer import Observer
from tie_core.member import Member, Pack, load_member
from tie_core.prediction import Columns

KEY: Final = re.compile(r"key (\d{12})")
SURE: Final = 8
"""So many masked positions before the end, a member no longer changes its mind."""
FAULTS: Final = ("fault raise", "fault dream raise", "fault nan")
"""Prompts over which members of `faulty_zoo` fail: both by an exception, one of them, both by what is no number."""
LONGEST_FAULT: Final = 64  # tokens of a canvas that are searched
HANG: Final = "hang 3600"  # a forward over a prompt with this does not return: one of its lanes hangs


@dataclass(frozen=True)
class EchoingMember(ScriptedMember):
    """Predicts the digits of the key of its canvas, with doubts that depend on the canvas."""

    digits: tuple[int, ...] = ()

    def _guess(self, canvas: list[int], watched: list[int]) -> Columns:
        text = self.vocabulary.decode(tuple(each for each in canvas if each != self.vocabulary.mask_id))
        if HANG in text:
            self.model.lanes.open(2, 1)
            self.model.lanes.map(time.sleep, [0, 3600])
        key = KEY.search(text)
        digits = key[1] if key else "0"
        moment = canvas.count(self.vocabulary.mask_id)
        seed = crc32(repr((self.name, digits, len(canvas), moment // 4)).encode())
        luck = [crc32(position.to_bytes(4, "big"), seed) for position in watched]
        doubts = [moment > SURE and one % 17 == 0 for one in luck]
        tokens = np.array(
            [
                self.digits[(int(digits[position % len(digits)]) + doubt) % 10]
                for position, doubt in zip(watched, doubts, strict=True)
            ]
        )
        top1 = np.array([0.5 + one % 400 / 1000 for one in luck])
        return Columns(tokens, top1, top1 / 2, top1 - 1, tokens, top1, np.full(len(luck), True))


def echoing_member(name: str, faults: Faults) -> EchoingMember:
    plain = scripted_member(name, faults)
    digits = tuple(plain.vocabulary.encode(str(digit))[0] for digit in range(10))
    return EchoingMember(plain.name, plain.model, plain.vocabulary, faults, digits)


def echoing(seconds: float = 0.0) -> Loader:
    """A loader of echoing members whose forwards take so long."""

    def make(settings: Settings, observer: Observer) -> Loaded:
        faults = Faults(seconds=seconds)
        members: Mapping[str, Member] = {
            model.name: cast(Member, echoing_member(model.name, faults)) for model in settings.models
        }
        with faults.away():
            return start(settings, observer, members, dict.fromkeys(members, 0.1))

    return make


def scripted(seconds: float = 0.0) -> Loader:
    """A loader of the service's scripted members, whose forwards take so long."""
    return FakeLoader(Faults(seconds=seconds))


def gated(gate: Event) -> Loader:
    """The same, whose forwards wait for the gate of another process."""
    return FakeLoader(Faults(gate=cast(threading.Event, gate)))


def zoo() -> Loader:
    """The loader of every server."""
    return load


@dataclass(frozen=True)
class FaultyMember(Member):
    """A real member that fails over the prompts of `FAULTS`."""

    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        whole, start = pack.whole, 0
        for length in whole.lengths if whole else ():
            assert whole is not None
            text = self.vocabulary.decode(tuple(whole.ids[start : start + min(length, LONGEST_FAULT)].tolist()))
            if "fault raise" in text or ("fault dream" in text and "dream" in self.name):
                raise RuntimeError("a fault of the test's own")
            if "fault nan" in text:
                inside = ((whole.positions >= start) & (whole.positions < start + length)).numpy()
                columns.is_finite[: len(inside)][inside] = False
            start += length
        return columns


def faulty_zoo() -> Loader:
    """The zoo, with faults that prompts call for."""

    def make(settings: Settings, observer: Observer) -> Loaded:
        torch.set_num_threads(1)
        members: dict[str, Member] = {}
        for model in settings.models:
            plain = load_member(model.name, model.path.expanduser(), model.device, model.dtype)
            members[model.name] = FaultyMember(plain.name, plain.model, plain.vocabulary)
        return start(settings, observer, members, dict.fromkeys(members, 0.1))

    return make
