"""OpenAI's routes: chat and text completions, answered by an ensemble or by one of its members."""

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.encoding import to_json
from service.loading import Loaded
from service.openai_replies import Chunks, reply
from service.openai_schemas import Asked, ChatBody, CompletionBody, Kind, parse_openai
from service.openapi import body_of, completed_by
from service.routes.tie import admit_body, read_body
from service.run import Caller
from service.schemas import GenerateBody
from service.state import ServiceOf
from service.streams import REPLAYED, EventStream, answer

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
router = APIRouter(tags=["openai"])


@dataclass(slots=True, eq=False)
class Admitted:
    """A running request; `asked` is there once a tokenising thread has parsed the body."""

    kind: Kind
    asked: Asked = field(init=False)
    caller: Caller = field(init=False)

    async def admit(self, request: Request, service: ServiceOf, endpoint: str) -> "Admitted":
        raw = await read_body(request, service)

        def parse(loaded: Loaded) -> GenerateBody:
            self.asked = parse_openai(raw, self.kind, loaded)
            return self.asked.body

        self.caller = await admit_body(request, service, parse, "", endpoint)
        return self

    async def response(self, request: Request, service: ServiceOf) -> Response:
        if self.caller.transport == "json":
            completed = await answer(self.caller, request.receive)
            headers = REPLAYED if self.caller.is_replay else None
            return Response(to_json(reply(self.asked, completed)), media_type="application/json", headers=headers)
        chunks = Chunks(self.asked, self.caller.record.id)
        return EventStream(self.caller, service.settings.server, service.metrics.request, chunks)


async def _admit_chat(request: Request, service: ServiceOf) -> Admitted:
    return await Admitted("chat").admit(request, service, CHAT)


async def _admit_completion(request: Request, service: ServiceOf) -> Admitted:
    return await Admitted("completion").admit(request, service, COMPLETIONS)


@router.post(CHAT, openapi_extra=body_of(ChatBody), responses=completed_by("ChatCompletion"))
async def chat_completions(
    admitted: Annotated[Admitted, Depends(_admit_chat)], request: Request, service: ServiceOf
) -> Response:
    """Answer a chat. `model` is an ensemble or one member; `stream: true` sends what can no longer change."""
    return await admitted.response(request, service)


@router.post(COMPLETIONS, openapi_extra=body_of(CompletionBody), responses=completed_by("TextCompletion"))
async def completions(
    admitted: Annotated[Admitted, Depends(_admit_completion)], request: Request, service: ServiceOf
) -> Response:
    """Answer a raw prompt, without a chat template."""
    return await admitted.response(request, service)
