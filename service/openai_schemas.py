"""The bodies of the OpenAI routes, and their way to the native one. What should change an answer and cannot is refused.

Unknown fields are ignored, as OpenAI's servers do; TIE's own sections are as strict as on the native route.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.errors import ApiError
from service.loading import Loaded
from service.schemas import MAX_MESSAGES, GenerateBody, Stops, json_object, validated
from tie_core.events import FinishReason

Kind = Literal["chat", "completion"]
OBJECTS: Final[Mapping[Kind, str]] = {"chat": "chat.completion", "completion": "text_completion"}
CHUNKS: Final[Mapping[Kind, str]] = {"chat": "chat.completion.chunk", "completion": "text_completion"}
REASONS: Final[Mapping[FinishReason, str]] = {"stop": "stop", "length": "length", "deadline": "length"}
"""The native route's reasons as OpenAI's: a client knows no deadline, and `tie.partial` tells it."""
EXTENSIONS: Final = frozenset(GenerateBody.model_fields) - {
    "messages",
    "prompt",
    "ensemble",
    "models",
    "stream",
    "stop",
    "seed",
}
"""The native fields that an OpenAI body may carry beside OpenAI's own."""
ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class OpenAiBody(BaseModel):
    """An object of OpenAI's: known fields have their exact types, the others are not read."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, use_attribute_docstrings=True)


class StreamOptions(OpenAiBody):
    """`include_usage` puts the usage on a last chunk."""

    include_usage: bool | None = None
    """Whether the last chunk has the usage."""


def _joined_text(content: object) -> object:
    """Text parts in a row; what is no list is left to the type's own check."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        raise ValueError('a part of a message is {"type": "text", "text": string}: other kinds cannot be read')
    return "".join(map(str, texts))


def _only_prompt(prompt: object) -> object:
    if not isinstance(prompt, list):
        return prompt
    if len(prompt) != 1 or not isinstance(prompt[0], str):
        raise ValueError("a request has one prompt, a string: send each prompt by itself, as text")
    return prompt[0]


PARTS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type", "text"],
        "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    },
}
TextContent = Annotated[str, BeforeValidator(_joined_text), WithJsonSchema({"anyOf": [{"type": "string"}, PARTS]})]
OnePrompt = Annotated[
    str,
    BeforeValidator(_only_prompt),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}]}
    ),
]


class ChatMessage(OpenAiBody):
    """One turn of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    """Whose turn it is; `developer` is read as `system`."""
    content: TextContent
    """A string, or a list of text parts."""


class CommonBody(OpenAiBody):
    """What both routes read. `model` is an ensemble or one of its members."""

    model: str
    """An ensemble, or one of its members alone."""
    max_tokens: int | None = Field(None, ge=1)
    """The canvas where it is free, an upper bound of the text where it is not."""
    stop: Stops | None = None
    """Strings that the final text ends before, up to 4."""
    stream: bool | None = None
    """Chunks of text that can no longer change, then `[DONE]`."""
    stream_options: StreamOptions | None = None
    """What a stream has beside its text."""
    diffusing: bool | None = None
    """Every chunk has the whole text of the moment, to be replaced."""


class ChatBody(CommonBody):
    """`POST /v1/chat/completions`, with any field of the native route but those that name the same thing."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    """The chat; each member reads it through its own chat template."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """The newer name of `max_tokens`."""


class CompletionBody(CommonBody):
    """`POST /v1/completions`, with any field of the native route but those that name the same thing."""

    prompt: OnePrompt
    """The text as it is, without a chat template."""


class _NativeBody(GenerateBody):
    """The native body, with the one thing that only OpenAI's bodies have."""

    max_tokens: int | None = None

    def ending(self) -> dict[str, Any]:
        return {**super().ending(), "max_tokens": self.max_tokens}


def _is_number(*allowed: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value in allowed


def _is_empty(value: Any) -> bool:
    return value is False or value in ([], {}, "")


ONLY_GREEDY: Final = "decoding is greedy: leave it out or send "
REFUSED: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "temperature": (_is_number(0), f"{ONLY_GREEDY}0"),
    "top_p": (_is_number(1), f"{ONLY_GREEDY}1"),
    "n": (_is_number(1), "a request has one answer: leave it out or send 1"),
    "best_of": (_is_number(1), "a request has one answer: leave it out or send 1"),
    "frequency_penalty": (_is_number(0), f"{ONLY_GREEDY}0"),
    "presence_penalty": (_is_number(0), f"{ONLY_GREEDY}0"),
    "logit_bias": (_is_empty, f"{ONLY_GREEDY}{{}}"),
    "tools": (_is_empty, "tools are not supported: leave them out"),
    "functions": (_is_empty, "functions are not supported: leave them out"),
    "logprobs": (_is_empty, "log probabilities are not told: leave it out; `tie` has the confidences"),
    "top_logprobs": (_is_number(0), "log probabilities are not told: leave it out; `tie` has the confidences"),
    "echo": (_is_empty, "the prompt is not repeated: leave it out or send false"),
    "suffix": (_is_empty, "text is not inserted before a suffix: leave it out; `answer.suffix` is another thing"),
    "response_format": (
        lambda value: value == {"type": "text"},
        'an answer is text: leave it out or send {"type": "text"}',
    ),
}
"""Fields that would change the answer, with the values that do not, and what to do about others. null is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reply to an OpenAI request needs beyond the native body."""

    kind: Kind
    model: str
    includes_usage: bool
    is_diffusing: bool


def parse_openai(raw: bytes, kind: Kind, loaded: Loaded) -> tuple[GenerateBody, Asked]:
    """The body in the native form.

    Raises:
        ApiError: 400, naming the first field at fault, or 404 for a model that is not here.
    """
    body = json_object(raw)
    _refuse_what_has_no_effect(body)
    shape: type[CommonBody] = ChatBody if kind == "chat" else CompletionBody
    asked = validated(body, shape)
    ensemble, models = _find(asked.model, loaded)
    native = {name: value for name, value in body.items() if name in EXTENSIONS}
    native |= {"ensemble": ensemble, "models": models, "stream": bool(asked.stream), "stop": asked.stop}
    native |= {"max_tokens": asked.max_tokens, **_prompt(asked)}
    if isinstance(asked, ChatBody) and asked.max_completion_tokens is not None:
        native["max_tokens"] = asked.max_completion_tokens
    includes_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    checked = validated(native, _NativeBody)
    return checked, Asked(kind, asked.model, includes_usage, bool(asked.diffusing))


def unknown_model(loaded: Loaded) -> ApiError:
    """404, with the names that there are."""
    known = ", ".join([*loaded.ensembles, *loaded.members])
    return ApiError(404, "model_not_found", f"there is no such model: the models are {known}", param="model")


def _refuse_what_has_no_effect(body: Mapping[str, Any]) -> None:
    for name, (is_harmless, words) in REFUSED.items():
        if body.get(name) is not None and not is_harmless(body[name]):
            raise ApiError(400, "unsupported_value", f"{name}: {words}", param=name)


def _find(model: str, loaded: Loaded) -> tuple[str, list[str] | None]:
    """The ensemble of that name, or the first one with a member of that name and that member alone."""
    if model in loaded.ensembles:
        return model, None
    for name, ensemble in loaded.ensembles.items():
        if model in (member.name for member in ensemble.members):
            return name, [model]
    raise unknown_model(loaded)


def _prompt(asked: CommonBody) -> dict[str, Any]:
    if isinstance(asked, ChatBody):
        return {"messages": [{"role": ROLES[message.role], "content": message.content} for message in asked.messages]}
    assert isinstance(asked, CompletionBody)
    return {"prompt": asked.prompt}
