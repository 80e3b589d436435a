"""Wrong families, each made of a right one: what a check of the conformance kit has to find."""

import itertools
import threading
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.members import GOLDEN
from tie_core.member import Member, Pack
from tie_core.models import dream, footprint, mask_predictor
from tie_core.models.families import FAMILIES
from tie_core.models.family import Family
from tie_core.models.fields import Fields
from tie_core.models.footprint import Footprint, footprint_of
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.prediction import Columns
from tie_core.testing import Specimen, load_specimen
from tie_core.vocabulary import Vocabulary, load_vocabulary
from tie_core.zoo import SUFFIX, member_path
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

ITEM = make_items(VALIDATION_SEED, 1)[0]
KNOWN = (ITEM.prompt, f"{ITEM.reasoning}{SUFFIX}{ITEM.answer}")


def sound() -> Specimen:
    return load_specimen(GOLDEN / "dream-tiny", recorded=GOLDEN / "dream_forward.safetensors")


def with_member(**changed: Any) -> Specimen:
    specimen = sound()
    return replace(specimen, member=replace(specimen.member, **changed))


def with_model(kind: type[MaskPredictor]) -> Specimen:
    specimen = sound()
    model = copy(specimen.model)
    model.__class__ = kind
    return replace(specimen, member=replace(specimen.member, model=model))


def with_vocabulary(kind: type[Vocabulary], **changed: Any) -> Specimen:
    specimen = sound()
    vocabulary = specimen.member.vocabulary
    values = {field.name: getattr(vocabulary, field.name) for field in fields(vocabulary)}
    return replace(specimen, member=replace(specimen.member, vocabulary=kind(**values | changed)))


def of_kind(kind: type[Member]) -> Specimen:
    specimen = sound()
    return replace(specimen, member=kind(specimen.member.name, specimen.member.model, specimen.member.vocabulary))


def as_family(patch: pytest.MonkeyPatch, **changed: Any) -> Family:
    """Dream, from now on, with another part."""
    family = replace(dream.FAMILY, **changed)
    patch.setitem(FAMILIES, "dream", family)  # type: ignore[arg-type]
    return family


# refusals


def raises_what_nobody_catches(patch: pytest.MonkeyPatch) -> Specimen:
    def read(config: Fields) -> dict[str, Any]:
        config.values["hidden_act"].lower()
        return dream.read_config(config)

    specimen = sound()
    as_family(patch, read_config=read)
    return specimen


def takes_nonsense_for_a_needed_field(patch: pytest.MonkeyPatch) -> Specimen:
    def read(config: Fields) -> dict[str, Any]:
        eps = config.values["rms_norm_eps"]
        plain = Fields(config.file, {**config.values, "rms_norm_eps": 1e-6})
        return dream.read_config(plain) | {"rms_norm_eps": eps if isinstance(eps, float) else 1e-6}

    specimen = sound()
    as_family(patch, read_config=read)
    return specimen


# footprint


def _estimating(patch: pytest.MonkeyPatch, share: float) -> Specimen:
    def estimate(*told: Any) -> Footprint:
        whole = footprint_of(*told)
        return replace(whole, position_bytes=int(whole.position_bytes * share))

    patch.setattr(footprint, "footprint_of", estimate)
    patch.setattr(mask_predictor, "footprint_of", estimate)
    return sound()


def tells_half_of_what_it_takes(patch: pytest.MonkeyPatch) -> Specimen:
    return _estimating(patch, 0.5)


def tells_thrice_what_it_takes(patch: pytest.MonkeyPatch) -> Specimen:
    return _estimating(patch, 3.0)


def is_not_what_its_headers_say(patch: pytest.MonkeyPatch) -> Specimen:
    specimen = sound()
    specimen.model.footprint = replace(specimen.model.footprint, weights_bytes=1)
    return specimen


# forwards


class LacksAColumn(MaskPredictor):
    def predict(self, *asked: Any) -> Tensor:
        return super().predict(*asked)[:, :-1]


class AnswersInDoubles(MaskPredictor):
    def predict(self, *asked: Any) -> Tensor:
        return super().predict(*asked).double()


class GivesNoNumbers(MaskPredictor):
    def logits(self, *asked: Any) -> Tensor:
        return super().logits(*asked) * float("nan")


class DropsOut(MaskPredictor):
    counter = itertools.count()

    def hidden(self, *asked: Any) -> Tensor:
        return super().hidden(*asked) * (1 + 1e-3 * (next(self.counter) % 7))


class SeesNoLastToken(MaskPredictor):
    def hidden(self, ids: Tensor, lengths: Any, positions: Tensor) -> Tensor:
        blinded = ids.clone()
        blinded[torch.tensor(lengths).cumsum(0) - 1] = 0
        return super().hidden(blinded, lengths, positions)


class SeesNoFirstToken(MaskPredictor):
    def hidden(self, ids: Tensor, lengths: Any, positions: Tensor) -> Tensor:
        blinded = ids.clone()
        blinded[[0, *torch.tensor(lengths).cumsum(0)[:-1].tolist()]] = 0
        return super().hidden(blinded, lengths, positions)


class SeesItsNeighbours(MaskPredictor):
    def hidden(self, ids: Tensor, lengths: Any, positions: Tensor) -> Tensor:
        return super().hidden(ids, (sum(lengths),), positions)


class ReadsItsOwnRow(MaskPredictor):
    """And says that it is shifted."""

    def hidden(self, ids: Tensor, lengths: Any, positions: Tensor) -> Tensor:
        self.logits_are_shifted = False
        try:
            return super().hidden(ids, lengths, positions)
        finally:
            self.logits_are_shifted = True


class CountsWindowsFromZero(MaskPredictor):
    def hidden_in_windows(self, ids: Tensor, windows: Any, *asked: Any) -> Tensor:
        return super().hidden_in_windows(ids, [torch.arange(len(window)) for window in windows], *asked)


def depends_on_the_number_of_rows(patch: pytest.MonkeyPatch) -> Specimen:
    """No product is filled up to a multiple of rows, so the last bits depend on them."""
    patch.setattr(mask_predictor, "num_filler_rows", lambda *_: 0)
    return load_specimen(member_path("zoo-dream"))


def declares_the_other_shift(patch: pytest.MonkeyPatch) -> Specimen:
    as_family(patch, logits_are_shifted=False)
    return load_specimen(member_path("zoo-dream"), known=KNOWN)


def turns_by_another_angle(patch: pytest.MonkeyPatch) -> Specimen:
    def read(config: Fields) -> dict[str, Any]:
        return dream.read_config(config) | {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}

    as_family(patch, read_config=read)
    return sound()


def swaps_two_weights(patch: pytest.MonkeyPatch) -> Specimen:
    swapped = {"gate_proj": "up_proj", "up_proj": "gate_proj"}

    def rename(name: str) -> str:
        found = next((part for part in swapped if part in name), None)
        return name.replace(found, swapped[found]) if found else name

    as_family(patch, rename=rename)
    return sound()


# tokens


def _with_mask(token: int) -> Specimen:
    specimen = sound()
    model = copy(specimen.model)
    model.token_ids = replace(model.token_ids, mask=token)
    vocabulary = load_vocabulary(specimen.folder, mask_id=token, eos_id=model.eos_id, vocab_rows=model.vocab_rows)
    return replace(specimen, member=Member("specimen", model, vocabulary))


def takes_another_token_for_the_mask(patch: pytest.MonkeyPatch) -> Specimen:
    return _with_mask(520)


def has_two_opinions_of_the_mask(patch: pytest.MonkeyPatch) -> Specimen:
    return with_vocabulary(Vocabulary, mask_id=520)


def has_a_mask_that_ends(patch: pytest.MonkeyPatch) -> Specimen:
    vocabulary = sound().member.vocabulary
    return with_vocabulary(Vocabulary, end_ids=vocabulary.end_ids | {vocabulary.mask_id})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllowsEverything(Vocabulary):
    def forbidden_ids(self, vocab_rows: int) -> tuple[int, ...]:
        return (self.mask_id,)


class ProposesOthers(Member):
    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        return replace(columns, proposals=np.where(columns.proposals == 5, 6, 5))


class ProposesWhateverIsSurest(Member):
    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        return replace(columns, proposals=columns.tokens)


class HidesItsMind(Member):
    """Its statistics leave the forbidden tokens out."""

    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        return replace(columns, tokens=columns.proposals)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strips(Vocabulary):
    def encode(self, text: str) -> tuple[int, ...]:
        return Vocabulary.encode(self, text.strip())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadsSpellings(Vocabulary):
    """As a tokenizer does by itself."""

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._chat_template._tokenizer(text, add_special_tokens=False)["input_ids"])

    def text_bytes(self, tokens: Any) -> bytes:
        return str(self._chat_template._tokenizer.decode(list(tokens))).encode()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnowsNoBytes(Vocabulary):
    def byte_token(self, byte: int) -> int | None:
        return None if byte > 0x7F else Vocabulary.byte_token(self, byte)


def has_words_in_its_ends(patch: pytest.MonkeyPatch) -> Specimen:
    return with_vocabulary(Vocabulary, end_ids=sound().member.vocabulary.end_ids | {40})


def is_another_vocabulary_each_time(patch: pytest.MonkeyPatch) -> Specimen:
    return with_vocabulary(Vocabulary, fingerprint="today")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SaysNothingOfRoles(Vocabulary):
    def render_chat(self, messages: Any) -> tuple[int, ...]:
        return self.encode(messages[0]["content"])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RendersToText(Vocabulary):
    """And lets the tokenizer find special tokens in all of it, messages included."""

    def render_chat(self, messages: Any) -> tuple[int, ...]:
        tokenizer = self._chat_template._tokenizer
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EndsWithTheMessage(Vocabulary):
    def render_chat(self, messages: Any) -> tuple[int, ...]:
        return (*Vocabulary.render_chat(self, messages), *self.encode(messages[0]["content"]))


# runs


class CommitsTheLeastSure(Member):
    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        return replace(columns, confidences=1 - columns.confidences)


class AnswersOtherwiseInTheEngine(Member):
    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        if not threading.current_thread().name.startswith("tie-worker"):
            return columns
        return replace(columns, proposals=np.full_like(columns.proposals, 7))


class FailsBesideOthers(Member):
    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        is_crowded = pack.whole is not None and len(pack.whole.lengths) > 1
        return replace(columns, top1=columns.top1 * float("nan")) if is_crowded else columns


PLANTS: Mapping[str, Mapping[str, Any]] = {
    "refusals": {
        "raises AttributeError, no CheckpointError": raises_what_nobody_catches,
        "is taken, though the field is needed": takes_nonsense_for_a_needed_field,
    },
    "footprint": {
        "memory would run out": tells_half_of_what_it_takes,
        "memory stays unused": tells_thrice_what_it_takes,
        "the headers say": is_not_what_its_headers_say,
    },
    "shapes": {"not [3, 544]": LacksAColumn, "are torch.float64": AnswersInDoubles, "not all finite": GivesNoNumbers},
    "determinism": {"gives other bits": DropsOut},
    "sight": {"another last token changes nothing": SeesNoLastToken, "another first token": SeesNoFirstToken},
    "packing": {
        "not the bits of the canvas alone": SeesItsNeighbours,
        "something depends": depends_on_the_number_of_rows,
    },
    "shift": {"it reads those of the other convention": ReadsItsOwnRow},
    "known reply": {"predicts the known reply worse": declares_the_other_shift},
    "windows": {"a window of an unchanged canvas": CountsWindowsFromZero},
    "recorded": {"from the recorded ones": turns_by_another_angle, "wrong weights": swaps_two_weights},
    "mask": {
        "the tokenizer's is <|mask|> (535)": takes_another_token_for_the_mask,
        "the vocabulary's mask is 520": has_two_opinions_of_the_mask,
        "among the end tokens": has_a_mask_that_ends,
    },
    "proposals": {
        "rows beyond the tokenizer may be committed": AllowsEverything,
        "which no step may commit": ProposesWhateverIsSurest,
        "is not the token of the largest logit": ProposesOthers,
        "the argmax that scores read": HidesItsMind,
    },
    "vocabulary": {
        "comes back as": Strips,
        "becomes the special tokens": ReadsSpellings,
        "no token for the bytes": KnowsNoBytes,
        "have text": has_words_in_its_ends,
        "another fingerprint": is_another_vocabulary_each_time,
    },
    "chat": {
        "writes no special token": SaysNothingOfRoles,
        "in a message": RendersToText,
        "ends with the message": EndsWithTheMessage,
    },
    "decoding": {"plain decoding": CommitsTheLeastSure},
    "engine": {"in the engine, and to": AnswersOtherwiseInTheEngine, "the engine failed": FailsBesideOthers},
}
"""By check, what its message has to say of each plant."""


def planted(plant: Any, patch: pytest.MonkeyPatch) -> Specimen:
    if not isinstance(plant, type):
        found: Specimen = plant(patch)
        return found
    for kind, make in ((MaskPredictor, with_model), (Vocabulary, with_vocabulary), (Member, of_kind)):
        if issubclass(plant, kind):
            return make(plant)
    raise AssertionError(plant)
