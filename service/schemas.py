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
    """A JSON object with known fields of exact types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Message(Body):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class AnswerBody(Body):
    """The answer region: what stands before it, how long it is, how much of it is scored (null: all)."""

    suffix: str | None = Field(None, max_length=256)
    length: int | None = None
    scored_positions: int | None = None


class TieBody(Body):
    """Rounds, their assessment and the final choice."""

    interval: int | None = None
    score: ScoreName | None = None
    cross_model: bool | None = None
    selection: SelectionName | None = None
    best_model: str | None = None
    calibration: dict[str, dict[str, dict[str, float]]] | None = None
    min_models: int | None = None
    relay_boundary: RelayBoundary | None = None


class UnmaskingBody(Body):
    """Which masked positions a step commits."""

    policy: PolicyName | None = None
    k: int | None = None
    tau: float | None = None
    factor: float | None = None
    gamma: float | None = None
    suppress_end: EndSetting | None = None
    fill_end: bool | None = None


class GenerateBody(Body):
    """`POST /v1/tie/generate`. Exactly one of `messages` and `prompt`; everything else has a default.

    `stop` cuts the final text. `seed` is taken and changes nothing: decoding is greedy.
    """

    messages: list[Message] | None = Field(None, min_length=1, max_length=MAX_MESSAGES)
    prompt: str | None = None
    ensemble: str | None = None
    models: list[str] | None = Field(None, min_length=1, max_length=64)
    task: Task | None = None
    gen_length: int | None = None
    reasoning_length: int | None = None
    block_size: int | None = None
    answer: AnswerBody | None = None
    tie: TieBody | None = None
    unmasking: UnmaskingBody | None = None
    cache: CacheName | None = None
    refresh_interval: int | None = None
    early_commit: bool | None = None
    early_commit_margin: float | None = None
    stop: Stops | None = None
    seed: int | None = None
    stream: bool | None = None
    events: Detail | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    deadline_ms: int | None = Field(None, ge=1, le=86_400_000)
    on_deadline: OnDeadline | None = None

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
