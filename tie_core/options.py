"""What a caller may choose: `TieOptions` and the task presets. Validated once, at the door, then frozen.
And the names that answers tell of them by, so that whoever reads answers needs no more.

Lengths and intervals of the presets are the paper's; docs/paper-map.md says what it leaves open.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from tie_core.calibration import CalibrationTable, check_calibration
from tie_core.errors import OptionsError

Task = Literal["general", "math", "planning", "code", "open"]
ScoreName = Literal["tcc", "top1", "entropy", "margin", "tcc_end", "commit", "commit_top1"]  # the last three: ours
SelectionName = Literal["lowest_tcc", "best_model", "most_selected"]
PolicyName = Literal["top_k", "threshold", "factor", "entropy_bound"]
SuppressEnd = Literal["off", "confidence", "prediction"]
RelayBoundary = Literal["auto", "block", "step"]
CacheName = Literal["off", "window"]
Detail = Literal["round", "step", "snapshot"]
Approximation = Literal["cache_window", "early_commit", "fill_end"]
RelayResult = Literal["identical", "copied", "transcoded", "overflow"]
TieBreak = Literal["top1", "last_leader", "order", "no_evidence", "progress", "leader_lost"]

MAX_FACTOR = 2.0  # of `factor`: above it a position with confidence 0 would pass
MAX_GAMMA = 100.0  # nats; the entropy of a vocabulary of a million tokens is 14
MAX_GENERATED = 8192  # a canvas longer than this is a mistake: no published MDLM was trained on it


@dataclass(frozen=True, slots=True, kw_only=True)
class TieOptions:
    """The options of one request.

    The generated part has L = R + S + A positions. Of `gen_length` (L), `reasoning` (R) and `answer` (A) one may be
    None: it takes what the others and the suffix leave.

    `suppress_end` keeps end tokens from being committed early: `confidence` commits them last (the setting of
    LLaDA-1.5's own GSM8K evaluation), `prediction` never predicts EOS. Statistics never see it.
    `relay_boundary` says where a round may end: `auto` is a block boundary between different tokenizers, else any step.
    `calibration` makes the readings of unequal members comparable under the rules that it names (docs/evaluation.md).
    `min_models` members must be left in every round, or the request ends.
    `k`, `tau`, `factor` and `gamma` (nats) each belong to one unmasking policy. Approximations, off by default:
    `fill_end` writes end-of-text behind a committed one, to the end of its region; `early_commit` ends a request whose
    answer all members agree on, with `early_commit_margin` as the least top-1 minus top-2 probability; `cache: window`
    reads the whole canvas only after a relay and every `refresh_interval` steps, else what is decided or watched.
    """

    task: Task = "general"
    gen_length: int | None = None
    reasoning: int | None = None
    answer: int | None = None
    suffix: str = "Answer:"
    block_size: int = 16
    scored_positions: int | None = None
    interval: int = 16
    score: ScoreName = "tcc"
    cross_model: bool = True
    selection: SelectionName = "lowest_tcc"
    best_model: str | None = None
    calibration: CalibrationTable | None = None
    min_models: int = 1
    relay_boundary: RelayBoundary = "auto"
    policy: PolicyName = "top_k"
    k: int = 1
    tau: float = 0.9
    factor: float = 1.0
    gamma: float = 0.1
    suppress_end: SuppressEnd = "off"
    fill_end: bool = False
    early_commit: bool = False
    early_commit_margin: float = 0.9
    cache: CacheName = "off"
    refresh_interval: int = 16

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        for name, (low, high) in _RANGES.items():
            _check_range(name, getattr(self, name), low, high)
        for name, most in _POSITIVE.items():
            _check_positive(name, getattr(self, name), most)
        for name in ("cross_model", "fill_end", "early_commit"):
            _check_type(name, getattr(self, name), bool, "true or false")
        check_calibration(self.calibration, (*get_args(ScoreName), "lowest_tcc"))
        _check_type("suffix", self.suffix, str, "a string")
        if any(0xD800 <= ord(character) < 0xE000 for character in self.suffix):
            raise OptionsError("suffix", "suffix holds a lone surrogate, which is no text")
        if self.selection == "best_model" and self.best_model is None:
            raise OptionsError("best_model", "selection best_model needs best_model: the name of a member")
        if self.gen_length is None and (self.reasoning is None or self.answer is None):
            raise OptionsError("gen_length", "give gen_length, or both the reasoning and the answer length")
        if self.reasoning is None and self.answer is None:
            raise OptionsError("answer", "give the answer length or the reasoning length beside gen_length")
        if None not in (self.gen_length, self.reasoning, self.answer):
            raise OptionsError("gen_length", "of gen_length, reasoning and answer give two: the third follows")

    def region_lengths(self, suffix: int) -> tuple[int, int]:
        """R and A for a suffix of S tokens (the longest among the members, so that R and A are equal everywhere)."""
        if self.gen_length is None:
            reasoning, answer = self.reasoning or 0, self.answer or 0  # both are given
        elif self.answer is not None:
            reasoning, answer = self.gen_length - suffix - self.answer, self.answer
        else:
            assert self.reasoning is not None
            reasoning, answer = self.reasoning, self.gen_length - suffix - self.reasoning
        if min(reasoning, answer) < 0 or reasoning + answer == 0:
            needed = suffix + (self.answer or 0) + (self.reasoning or 0)
            raise OptionsError(
                "gen_length",
                f"the canvas has no room: suffix and named lengths take {needed} positions, so ask for more than that"
                " or for a shorter answer",
            )
        if reasoning + suffix + answer > MAX_GENERATED:
            raise OptionsError("gen_length", f"a canvas has at most {MAX_GENERATED} generated positions")
        return reasoning, answer


PRESETS: dict[Task, dict[str, Any]] = {
    "general": {"gen_length": 128, "answer": 16, "interval": 32},
    "math": {"gen_length": 256, "answer": 32, "interval": 16},
    "planning": {"gen_length": 256, "answer": 32, "interval": 32},
    "code": {
        "gen_length": 512,
        "reasoning": 0,
        "suffix": "```python\n",
        "scored_positions": 8,
        "interval": 32,
    },
    "open": {"gen_length": 128, "answer": 0, "suffix": "", "interval": 16},
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "task": get_args(Task),
    "score": get_args(ScoreName),
    "selection": get_args(SelectionName),
    "policy": get_args(PolicyName),
    "suppress_end": get_args(SuppressEnd),
    "relay_boundary": get_args(RelayBoundary),
    "cache": get_args(CacheName),
}
_RANGES: dict[str, tuple[int, int]] = {
    "gen_length": (1, MAX_GENERATED),
    "reasoning": (0, MAX_GENERATED),
    "answer": (0, MAX_GENERATED),
    "block_size": (1, MAX_GENERATED),
    "scored_positions": (1, MAX_GENERATED),
    "interval": (1, 1_000_000),
    "min_models": (1, 64),
    "k": (1, MAX_GENERATED),
    "refresh_interval": (1, 1_000_000),
}
_POSITIVE: dict[str, float] = {"tau": 1.0, "factor": MAX_FACTOR, "gamma": MAX_GAMMA, "early_commit_margin": 1.0}
_LENGTHS = ("gen_length", "reasoning", "answer")


def resolve_options(*layers: Mapping[str, Any]) -> TieOptions:
    """The options that the layers give, later ones winning: ensemble defaults, then what the request says.

    The task preset lies under the first layer (its interval suits tcc alone), and the task is the last one named. A
    layer that sets a length over two others frees one of them, so that `gen_length: 64` alone always works.

    Raises:
        OptionsError: an unknown name or a value out of range.
    """
    task: Task = next((layer["task"] for layer in reversed(layers) if "task" in layer), "general")
    _check_choice("task", task, get_args(Task))
    named: dict[str, Any] = dict(PRESETS[task])
    if any(layer.get("score", "tcc") != "tcc" for layer in layers):
        del named["interval"]
    for layer in layers:
        for name in layer:
            if name not in _NAMES:
                raise OptionsError(name, f"unknown option; the options are {', '.join(sorted(_NAMES))}")
        if any(name in layer for name in _LENGTHS):
            named = _free_a_length(named, layer)
        named |= layer
    return TieOptions(**{**named, "task": task})


def options_of(words: Iterable[str]) -> dict[str, Any]:
    """Options as people write them, `score=top1`, `tau=0.8`, `cross_model=false`: a value is JSON, or else a string.

    Raises:
        OptionsError: a word without a name and an equals sign.
    """
    options: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise OptionsError("option", f"{word!r} is no option: give NAME=VALUE, score=top1 for example")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def check_effect(asked: Mapping[str, Any], options: TieOptions) -> None:
    """Nothing that was asked for is without any effect.

    Raises:
        OptionsError: an option says how to do what is not done.
    """
    for name, (switch, needed) in _EFFECTIVE_WITH.items():
        if asked.get(name) is not None and getattr(options, switch) != needed:
            words = "true" if needed is True else needed
            raise OptionsError(name, f"{name} has no effect unless {switch} is {words}: ask for that too")
    if (asked.get("calibration") or None) and not _is_calibrated(options):
        raise OptionsError("calibration", "calibration has no effect: it is of another score and of no final choice")


def check_members(options: TieOptions, members: Sequence[str]) -> None:
    """Requests that say nothing else can be answered by members of these names.

    Raises:
        OptionsError: an option names a stranger, or lacks a member.
    """
    if options.best_model is not None and options.best_model not in members:
        raise OptionsError("best_model", f"best_model is one of {', '.join(members)}")
    if options.calibration is not None and options.calibration.keys() != set(members):
        raise OptionsError("calibration", f"calibration is of each of {', '.join(members)}, and of nobody else")


def _is_calibrated(options: TieOptions) -> bool:
    """Whether a calibration decides anything: a leader, or the final answer."""
    rules = {rule for member in (options.calibration or {}).values() for rule in member}
    return options.score in rules or ("lowest_tcc" in rules and options.selection != "best_model")


def _free_a_length(named: dict[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the length that the layer's own ones replace, so that two of the three decide.

    Of two that it does not name, `gen_length` goes; where it names `gen_length` itself, the reasoning goes, unless
    there is none by design (code).
    """
    kept = [name for name in _LENGTHS if named.get(name) is not None and name not in layer]
    num_named = sum(layer.get(name) is not None for name in _LENGTHS)
    if len(kept) + num_named < 3 or num_named == 3:
        return named
    if len(kept) == 1:
        spare = kept[0]
    elif "gen_length" in kept:
        spare = "gen_length"
    else:
        spare = "answer" if named["reasoning"] == 0 else "reasoning"
    return {name: value for name, value in named.items() if name != spare}


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise OptionsError(name, f"{name} is one of {', '.join(allowed)}")


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if value is None and name in _OPTIONAL:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionsError(name, f"{name} is a whole number from {low} to {high}")


def _check_positive(name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= most:
        raise OptionsError(name, f"{name} is a number above 0 and at most {most:g}")


def _check_type(name: str, value: object, kind: type, words: str) -> None:
    if not isinstance(value, kind):
        raise OptionsError(name, f"{name} is {words}")


_EFFECTIVE_WITH: dict[str, tuple[str, object]] = {
    "k": ("policy", "top_k"),
    "tau": ("policy", "threshold"),
    "factor": ("policy", "factor"),
    "gamma": ("policy", "entropy_bound"),
    "early_commit_margin": ("early_commit", True),
    "refresh_interval": ("cache", "window"),
    "best_model": ("selection", "best_model"),
}
_OPTIONAL = (*_LENGTHS, "scored_positions")
_NAMES = frozenset(field.name for field in fields(TieOptions))
