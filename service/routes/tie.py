"""The native routes: an ensemble's answer as JSON, as server-sent events, or as one JSON event a line; and its run.

A run can be asked for, followed and cancelled by its id as long as it is kept.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.claims import read_once
from service.encoding import to_json
from service.errors import ApiError
from service.event_log import Reader
from service.loading import Loaded
from service.openapi import body_of, come_back_to, described, followed, followed_from, streamed
from service.record import Record
from service.run import Caller, Transport
from service.schemas import GenerateBody, parse_generate
from service.sessions import can_come_back, no_session
from service.state import Service, ServiceOf
from service.streams import REPLAYED, EventStream, answer
from tie_core.events import Completed, Failed, event_data

GENERATE = "/v1/tie/generate"
REQUEST = "/v1/tie/requests/{id}"
EVENTS = REQUEST + "/events"
DETAILS: Final = ("round", "step", "snapshot")
Parse = Callable[[bytes, Loaded], tuple[GenerateBody, object]]
"""A body as the native one, and what its reply needs beyond that, made in a tokenising thread. Raises ApiError."""
router = APIRouter(tags=["tie"])


async def admit(request: Request, service: ServiceOf) -> Caller:
    """Everything that can refuse a request, before the first byte of an answer."""
    accept = request.headers.get("accept", "")
    return await admit_body(request, service, lambda raw, _: (parse_generate(raw), None), accept, GENERATE)


async def admit_body(request: Request, service: Service, parse: Parse, accept: str, endpoint: str) -> Caller:
    """A running request of any route; it is told when its connection is through with it.

    Raises:
        ApiError: 408, 413, 415, whatever refuses a request, or 503 before anything is read.
    """
    service.runs.check_open()
    check_media_type(request)
    with service.bodies.reading() as body:
        async for part in request.stream():
            body.put(part)
        return await _admit(request, service, parse, body.whole(), accept, endpoint)


async def _admit(request: Request, service: Service, parse: Parse, raw: bytes, accept: str, endpoint: str) -> Caller:
    owner = owner_of(request)
    once = read_once(request.headers.getlist("idempotency-key"), owner, endpoint, raw)
    if not can_come_back(service.settings.server, request.headers):
        if once is not None:
            raise no_session("an idempotency key")
        parse = _parse_for_now(parse)
    if service.telemetry is not None:
        request.state.exits.callback(service.telemetry.follow(request.state.request_id))
    caller = await service.runs.admit(partial(parse, raw), accept, request.state.request_id, endpoint, owner, once)
    request.state.exits.callback(note_end, request.state.log, caller)
    request.state.exits.callback(caller.leave)
    return caller


def _parse_for_now(parse: Parse) -> Parse:
    """For who cannot come back: a run that goes on without its connection would be lost."""

    def checked(raw: bytes, loaded: Loaded) -> tuple[GenerateBody, object]:
        body, told = parse(raw, loaded)
        if body.on_disconnect == "continue":
            raise no_session("a run that goes on", param="on_disconnect")
        return body, told

    return checked


def owner_of(request: Request) -> str | None:
    """The API key's name, where keys are asked for."""
    owner: str | None = getattr(request.state, "key_id", None)
    return owner


def check_media_type(request: Request) -> None:
    """Raises:
    ApiError: 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "unsupported_media_type", "send content-type: application/json")


def note_end(fields: dict[str, Any], caller: Caller) -> None:
    """What the log line says about the run."""
    record = caller.record
    fields |= {"ensemble": record.ensemble, "endpoint": record.endpoint, "transport": caller.transport}
    if caller.is_replay:
        fields["joined"] = record.id
    if record.queue_seconds is not None:
        fields["queue_ms"] = round(record.queue_seconds * 1000, 3)
    if isinstance(record.end, Failed):
        fields["reason"] = str(record.end.error)
    if isinstance(record.end, Completed):
        usage, tie = record.end.usage, record.end.tie
        fields |= {"prompt_tokens": usage.prompt_tokens, "generated_tokens": usage.completion_tokens}
        fields |= {"rounds": tie.rounds, "degraded": tie.degraded}
    fields["finish_reason"] = record.finish_reason


@router.post(GENERATE, openapi_extra=body_of(GenerateBody), responses=streamed())
async def generate(caller: Annotated[Caller, Depends(admit)], request: Request, service: ServiceOf) -> Response:
    """Answer one prompt with an ensemble. `stream: true` or the Accept header choose how."""
    if caller.transport != "json":
        return EventStream(caller, service.settings.server, service.metrics.request)
    completed = await answer(caller, request.receive)
    headers = REPLAYED if caller.is_replay else None
    return Response(to_json(event_data(completed)), media_type="application/json", headers=headers)


async def find(id: str, request: Request, service: ServiceOf) -> Record:  # noqa: A002 (the path's name)
    if not can_come_back(service.settings.server, request.headers):
        raise no_session("a request by its id")
    return service.runs.find(id, owner_of(request))


Found = Annotated[Record, Depends(find)]


@router.get(REQUEST, openapi_extra=come_back_to(), responses=described())
async def show(record: Found, service: ServiceOf) -> Response:
    """The state of a request; its result when there is one."""
    return _described(record, service)


@router.delete(REQUEST, openapi_extra=come_back_to(), responses=described())
async def cancel(record: Found, service: ServiceOf) -> Response:
    """Cancel a request; nothing happens to one that has ended."""
    await service.runs.cancel(record)
    return _described(record, service)


@router.get(EVENTS, openapi_extra=followed_from(), responses=followed())
async def events(record: Found, request: Request, service: ServiceOf) -> Response:
    """What is kept of the events after `starting_after` or `Last-Event-ID`, then those that come."""
    transport: Transport = "ndjson" if "application/x-ndjson" in request.headers.get("accept", "") else "sse"
    reader = _reader(record, request)
    if reader.is_over:  # which also tells an EventSource to come back no more
        return Response(status_code=204)
    request.state.exits.enter_context(service.followers.one_more(record))
    caller = Caller(record, transport, leave=lambda: None)
    return EventStream(caller, service.settings.server, service.metrics.request, reader=reader)


def _described(record: Record, service: Service) -> Response:
    state = record.describe(service.settings.limits.kept_seconds)
    return Response(to_json(state), media_type="application/json")


def _reader(record: Record, request: Request) -> Reader:
    """Raises:
    ApiError: 400.
    """
    asked = request.query_params.get("starting_after")
    after = request.headers.get("last-event-id") or "0" if asked is None else asked
    num_produced = record.log.num_produced
    if not re.fullmatch("[0-9]{1,9}", after) or int(after) > num_produced:
        message = f"starting_after is the number of an event that was sent, 0 to {num_produced}"
        raise ApiError(400, "invalid_value", message, param="starting_after")
    detail = request.query_params.get("events", record.log.detail)
    for known in DETAILS:
        if detail == known and (detail == "round" or record.log.detail != "round"):
            return record.log.read(int(after), known)
    message = "events is round, or step or snapshot where the request itself asked for one of these"
    raise ApiError(400, "invalid_value", message, param="events")
