"""A route's body becomes a request that can be submitted, or what is wrong with it is said; in a tokenising thread."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from service.errors import ApiError
from service.loading import Loaded
from service.schemas import GenerateBody
from service.settings import Settings
from tie_core.engine.deadlines import ON_DEADLINE, Deadline
from tie_core.options import check_effect
from tie_core.request import Request

Parse = Callable[[Loaded], tuple[GenerateBody, object]]
"""A route's body as the native one, and what its reply needs beyond that. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid request, what it says of its answer, and what becomes of it when nobody waits or time is over."""

    request: Request
    stream: bool | None
    goes_on: bool
    deadline: Deadline | None
    asked: object

    def deadline_after(self, seconds: float) -> Deadline | None:
        """What is left of it once so much has gone by."""
        if self.deadline is None:
            return None
        return replace(self.deadline, seconds=max(0.0, self.deadline.seconds - seconds))


def prepare(parse: Parse, loaded: Loaded, settings: Settings, request_id: str, tenant: str) -> Prepared:
    """Parse, tokenise, validate.

    Raises:
        ApiError, TieError: what is wrong with the request.
    """
    body, told = parse(loaded)
    _check_prompt(body, settings.limits.max_prompt_chars)
    ensemble = loaded.ensembles.get(body.ensemble or settings.default_ensemble.name)
    if ensemble is None:
        known = ", ".join(loaded.ensembles)
        message = f"ensemble is one of {known}; a lone member is asked by its name in `models`"
        raise ApiError(404, "model_not_found", message, param="ensemble")
    request = ensemble.request(
        prompt=body.prompt,
        messages=[message.model_dump() for message in body.messages] if body.messages else None,
        models=body.models,
        request_id=request_id,
        tenant=tenant,
        detail=body.events or "round",
        **body.ending(),
        **(asked := body.options()),
    )
    check_effect(asked, request.options)
    deadline = _deadline(body, settings.limits.max_seconds)
    return Prepared(request, body.stream, body.on_disconnect == "continue", deadline, told)


def _check_prompt(body: GenerateBody, most_chars: int) -> None:
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "invalid_prompt", "give exactly one of `messages` and `prompt`", param="messages")
    if body.messages and not body.messages[-1].content.strip():
        message = "the last message is empty: write what the models are to answer, or leave it out"
        raise ApiError(400, "invalid_prompt", message, param=f"messages[{len(body.messages) - 1}].content")
    if body.num_chars > most_chars:
        message = f"{body.num_chars:,} characters of prompt exceed {most_chars:,}: shorten it"
        raise ApiError(400, "prompt_too_long", message, param="prompt" if body.prompt else "messages")


def _deadline(body: GenerateBody, most_seconds: float | None) -> Deadline | None:
    """The request's own, or the server's where that is sooner."""
    asked = [seconds for seconds in (body.deadline_seconds, most_seconds) if seconds]
    if asked:
        return Deadline(min(asked), body.on_deadline or ON_DEADLINE)
    if body.on_deadline is not None:
        raise ApiError(400, "invalid_value", "on_deadline has no effect without deadline_ms", param="on_deadline")
    return None
