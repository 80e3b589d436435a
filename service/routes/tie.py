"""The native route: an ensemble's answer as JSON, as server-sent events, or as one JSON event a line."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from service.encoding import to_json
from service.errors import ApiError
from service.openapi import body_of, streamed
from service.run import Run
from service.schemas import GenerateBody, parse_generate
from service.state import ServiceOf
from service.streams import EventStream, answer
from tie_core.events import Failed, event_data

GENERATE = "/v1/tie/generate"
router = APIRouter(tags=["tie"])


async def admit(request: Request, service: ServiceOf) -> Run:
    """Everything that can refuse a request, before the first byte of an answer."""
    service.runs.check_open()
    check_media_type(request)
    raw = await request.body()
    accept, request_id = request.headers.get("accept", ""), request.state.request_id
    run = await service.runs.admit(lambda _: parse_generate(raw), accept, request_id, GENERATE)
    request.state.exits.callback(note_end, request.state.log, run)
    request.state.exits.callback(run.release)
    return run


def check_media_type(request: Request) -> None:
    """Raises:
    ApiError: 415.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "unsupported_media_type", "send content-type: application/json")


def note_end(fields: dict[str, Any], run: Run) -> None:
    """What the log line says about the run."""
    fields |= {"ensemble": run.request.ensemble, "transport": run.transport}
    if run.queue_seconds is not None:
        fields["queue_ms"] = round(run.queue_seconds * 1000, 3)
    if isinstance(run.end, Failed):
        fields["reason"] = str(run.end.error)
    fields["finish_reason"] = run.finish_reason(run.end) if run.end else "cancelled"


@router.post(GENERATE, openapi_extra=body_of(GenerateBody), responses=streamed())
async def generate(run: Annotated[Run, Depends(admit)], request: Request, service: ServiceOf) -> Response:
    """Answer one prompt with an ensemble. `stream: true` or the Accept header choose how."""
    if run.transport != "json":
        return EventStream(run, service.settings.server, service.metrics.request)
    completed = await answer(run, request.receive)
    return Response(to_json(event_data(completed)), media_type="application/json")
