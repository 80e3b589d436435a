"""The bodies of requests, and their way to the core's options. Names come from the `Literal`s in `tie_core`.

Types are strict, unknown fields refused. Ranges and defaults are the core's business.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from service.encoding import ComplexityError, JsonError, check_complexity, from_json
from service.errors import ApiError
from tie_core.engine.deadlines import OnDeadline
from tie_core.options import CacheName, Detail, PolicyName, RelayBoundary, ScoreName, SelectionName, SuppressEnd, Task

TOP_LEVEL_OPTIONS: Final = {
    "task",
    "gen_length",
    "block_size",
    "cache",
    "refresh_interval",
    "early_commit",
    "early_commit_margin",
}
Shape = TypeVar("Shape", bound=BaseModel)
LENGTHS: Final = "the lengths here are `gen_length`, or `reasoning_length` and `answer.length`"
HINTS: Final[Mapping[str, str]] = {
    "model": "`ensemble` names an ensemble here, and `models` lists its members to ask",
    "max_tokens": LENGTHS,
    "max_completion_tokens": LENGTHS,
}
"""OpenAI's fields that have another name on the native route."""
FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


def _end_setting(value: object) -> object:
    """`true` is LLaDA-1.5's own setting."""
    return {True: "confidence", False: "off"}[value] if isinstance(value, bool) else value


EndSetting = Annotated[
    SuppressEnd,
    BeforeValidator(_end_setting),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["off", "confidence", "prediction"]}]}),
]


MAX_MESSAGES: Final = 1024
Stops = Annotated[
    list[str],
    Field(max_length=4),  # at the fifth nothing more is looked at: each wrong item would be an error of its own
    BeforeValidator(lambda stop: [stop] if isinstance(stop, str) else stop),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 4}]}),
]


class Body(BaseModel):
    """A JSON object with known fields of exact types.

    What stands below a field is its line of `docs/api-reference.md` and its description in `/openapi.json`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Message(Body):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    """Whose turn it is."""
    content: str
    """The text; a special token that is spelled in it stays text."""


class AnswerBody(Body):
    """The answer region: what stands before it, how long it is, how much of it is scored (null: all)."""

    suffix: str | None = Field(None, max_length=256)
    """Fixed text between the reasoning and the answer."""
    length: int | None = None
    """Answer positions (A)."""
    scored_positions: int | None = None
    """How many masked answer positions are scored, the first ones; null: all."""


class TieBody(Body):
    """Rounds, their assessment and the final choice."""

    interval: int | None = None
    """Denoising steps that each member makes between two assessments (n)."""
    score: ScoreName | None = None
    """How reliable a trajectory is: the paper's four, or three of ours."""
    cross_model: bool | None = None
    """Whether every member reads each trajectory for a score that reads; else its own alone."""
    selection: SelectionName | None = None
    """Which of the finished answers is given."""
    best_model: str | None = None
    """The member that `selection: best_model` takes."""
    calibration: dict[str, dict[str, dict[str, float]]] | None = None
    """For each member and rule an `intercept` and a `slope`: readings of unequal members made comparable."""
    min_models: int | None = None
    """How many members must be left in every round."""
    relay_boundary: RelayBoundary | None = None
    """Where a round may end: `auto` is a block boundary between different tokenizers, else any step."""


class UnmaskingBody(Body):
    """Which masked positions a step commits."""

    policy: PolicyName | None = None
    """The rule that chooses, among the masked positions of the active block."""
    k: int | None = None
    """`top_k`: how many of the most confident."""
    tau: float | None = None
    """`threshold`: the confidence from which all are committed."""
    factor: float | None = None
    """`factor`: the bound of (n + 1)(1 - c) for n positions of confidence c or more."""
    gamma: float | None = None
    """`entropy_bound`: the bound of the summed entropies, in nats."""
    suppress_end: EndSetting | None = None
    """End tokens are committed last (`confidence`), or EOS is never predicted (`prediction`)."""
    fill_end: bool | None = None
    """An approximation: behind a committed EOS its region is filled with it."""


class GenerateBody(Body):
    """`POST /v1/tie/generate`. Exactly one of `messages` and `prompt`; everything else has a default.

    `stop` cuts the final text. `seed` is taken and changes nothing: decoding is greedy.
    """

    messages: list[Message] | None = Field(None, min_length=1, max_length=MAX_MESSAGES)
    """The chat; each member reads it through its own chat template."""
    prompt: str | None = None
    """The text as it is, without a chat template."""
    ensemble: str | None = None
    """Who answers; without it the ensemble that is configured first."""
    models: list[str] | None = Field(None, min_length=1, max_length=64)
    """The members that answer, to leave the others out; one alone is fine."""
    task: Task | None = None
    """The preset of lengths, suffix and interval."""
    gen_length: int | None = None
    """All generated positions: reasoning, suffix and answer (L)."""
    reasoning_length: int | None = None
    """Reasoning positions (R)."""
    block_size: int | None = None
    """Positions of a block; blocks are decoded from left to right."""
    answer: AnswerBody | None = None
    """The answer region."""
    tie: TieBody | None = None
    """Rounds, their assessment and the final choice."""
    unmasking: UnmaskingBody | None = None
    """Which masked positions a step commits."""
    cache: CacheName | None = None
    """`window` is an approximation: most steps read little more than they decide."""
    refresh_interval: int | None = None
    """`cache: window`: steps between two forwards over the whole canvas."""
    early_commit: bool | None = None
    """An approximation: the request ends once all members are sure of the same answer."""
    early_commit_margin: float | None = None
    """`early_commit`: the least top-1 minus top-2 probability."""
    stop: Stops | None = None
    """Strings that the final text ends before, up to 4."""
    seed: int | None = None
    """Taken, without effect: decoding is greedy."""
    stream: bool | None = None
    """`true`: events; `false`: one JSON answer, whatever `Accept` says."""
    events: Detail | None = None
    """`round` (the default), `step`: every denoising step too, `snapshot`: whole canvases in their place."""
    on_disconnect: Literal["cancel", "continue"] | None = None
    """`cancel` (the default), or the run goes on when its connection is gone."""
    deadline_ms: int | None = Field(None, ge=1, le=86_400_000)
    """Milliseconds from admission, the queue included."""
    on_deadline: OnDeadline | None = None
    """`error` (the default), or the answer so far."""

    def options(self) -> dict[str, Any]:
        """The core's options that the request names. null is "not said", but for `scored_positions`."""
        said = self.model_dump(include=TOP_LEVEL_OPTIONS, exclude_none=True)
        if self.reasoning_length is not None:
            said["reasoning"] = self.reasoning_length
        for section in (self.tie, self.unmasking):
            said |= section.model_dump(exclude_none=True) if section else {}
        return said | (self._answer_options(self.answer) if self.answer else {})

    def ending(self) -> dict[str, Any]:
        """What cuts the final text, by the core's names."""
        return {"stop": self.stop or ()}

    @staticmethod
    def _answer_options(answer: AnswerBody) -> dict[str, Any]:
        said = {"suffix": answer.suffix, "answer": answer.length}
        options: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        if "scored_positions" in answer.model_fields_set:
            options["scored_positions"] = answer.scored_positions
        return options

    @property
    def deadline_seconds(self) -> float | None:
        return None if self.deadline_ms is None else self.deadline_ms / 1000

    @property
    def num_chars(self) -> int:
        """Characters of text that the members are to read."""
        return len(self.prompt or "") + sum(len(message.content) for message in self.messages or ())


PARTS: Final[Mapping[str, type[Body]]] = {
    "messages": Message,
    "answer": AnswerBody,
    "tie": TieBody,
    "unmasking": UnmaskingBody,
}


def parse_generate(raw: bytes) -> GenerateBody:
    """The body of the native route.

    Raises:
        ApiError: 400, naming the first field at fault.
    """
    return validated(json_object(raw), GenerateBody)


def json_object(raw: bytes) -> dict[str, Any]:
    """Raises:
    ApiError: 400, the body is not strict JSON, too complex, or no object.
    """
    try:
        check_complexity(raw)
        body = from_json(raw)
    except ComplexityError as error:
        raise ApiError(400, "body_too_complex", str(error)) from None
    except JsonError as error:
        raise ApiError(400, "invalid_json", str(error)) from None
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_value", "the body is not a JSON object: send one, in braces")
    return body


def validated(body: Any, shape: type[Shape]) -> Shape:
    """Raises:
    ApiError: 400, naming the first field at fault.
    """
    if issubclass(shape, GenerateBody):
        _check_size(body)
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise _refused(error.errors(include_url=False, include_input=False)[0]) from None


def _check_size(body: Any) -> None:
    """Refuse an object with more keys than the schema has fields, before each of them becomes an error of its own."""
    if not isinstance(body, dict):
        return
    messages = body.get("messages")
    if not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
        messages = []  # more are refused by their number
    objects: list[tuple[type[Body], Any]] = [(GenerateBody, body)]
    objects += [(PARTS[name], body.get(name)) for name in ("answer", "tie", "unmasking")]
    objects += [(Message, message) for message in messages]
    for part, value in objects:
        if isinstance(value, dict) and len(value) > len(part.model_fields):
            allowed = ", ".join(part.model_fields)
            raise ApiError(400, "unknown_field", f"the body has unknown fields; the fields there are {allowed}")


def _refused(detail: Mapping[str, Any]) -> ApiError:
    loc = detail["loc"]
    param = _path(loc)
    if detail["type"] == "extra_forbidden":
        part = PARTS[str(loc[0])] if len(loc) > 1 else GenerateBody
        hint = HINTS.get(param or "") or f"the fields here are {', '.join(part.model_fields)}"
        return ApiError(400, "unknown_field", f"{param}: unknown field; {hint}", param=param)
    if detail["type"] == "model_type":
        return ApiError(400, "invalid_value", f"{param or 'the body'}: should be a JSON object", param=param)
    if detail["type"] in ("too_short", "too_long"):
        bound = f"{detail['ctx'].get('min_length', 0):,} at least"
        if detail["type"] == "too_long":
            bound = f"{detail['ctx']['max_length']:,} at most"
        return ApiError(400, "invalid_value", f"{param or 'the body'}: send {bound}", param=param)
    message = detail["msg"].replace("Input should", "should").replace("Field", "field")
    message = message.removeprefix("Value error, ")
    return ApiError(400, "invalid_value", f"{param or 'the body'}: {message}", param=param)


def _path(loc: tuple[int | str, ...]) -> str | None:
    """`messages[0].content`; a name that is no name is not repeated."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if FIELD_NAME.fullmatch(part) else ".(unreadable name)"
    return text.removeprefix(".") or None
