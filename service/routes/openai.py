"""OpenAI's routes: chat and text completions, answered by an ensemble or by one of its members."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.encoding import to_json
from service.loading import Loaded
from service.openai_replies import Chunks, reply
from service.openai_schemas import Asked, ChatBody, CompletionBody, Kind, parse_openai
from service.openapi import body_of, completed_by
from service.routes.tie import admit_body
from service.run import Caller
from service.schemas import GenerateBody
from service.state import Service, ServiceOf
from service.streams import REPLAYED, EventStream, answer

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
router = APIRouter(tags=["openai"])


def _admitting(kind: Kind, endpoint: str) -> Callable[[Request, ServiceOf], Awaitable[Caller]]:
    async def admit(request: Request, service: ServiceOf) -> Caller:
        return await admit_body(request, service, partial(_parse, kind), "", endpoint)

    return admit


def _parse(kind: Kind, raw: bytes, loaded: Loaded) -> tuple[GenerateBody, object]:
    return parse_openai(raw, kind, loaded)


async def _response(caller: Caller, request: Request, service: Service) -> Response:
    asked = caller.record.asked
    assert isinstance(asked, Asked)
    if caller.transport == "json":
        completed = await answer(caller, request.receive)
        headers = REPLAYED if caller.is_replay else None
        return Response(
            to_json(reply(asked, completed, caller.record.created)), media_type="application/json", headers=headers
        )
    chunks = Chunks(asked, caller.record.id, caller.record.created)
    return EventStream(caller, service.settings.server, service.metrics.request, chunks)


@router.post(CHAT, openapi_extra=body_of(ChatBody), responses=completed_by("ChatCompletion"))
async def chat_completions(
    caller: Annotated[Caller, Depends(_admitting("chat", CHAT))], request: Request, service: ServiceOf
) -> Response:
    """Answer a chat. `model` is an ensemble or one member; `stream: true` sends what can no longer change."""
    return await _response(caller, request, service)


@router.post(COMPLETIONS, openapi_extra=body_of(CompletionBody), responses=completed_by("TextCompletion"))
async def completions(
    caller: Annotated[Caller, Depends(_admitting("completion", COMPLETIONS))], request: Request, service: ServiceOf
) -> Response:
    """Answer a raw prompt, without a chat template."""
    return await _response(caller, request, service)
