"""OpenTelemetry, off unless configured: FastAPI's own instrumentation for the requests, and a span for each round.

Nothing that a client sent is on a span: no prompt, no header, no path but the route's. Its packages are optional.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

import tie_core
from service.loading import Loaded, Loader
from service.settings import Settings, SettingsError, TelemetrySettings
from tie_core.engine.observer import Observer
from tie_core.events import Completed, Failed
from tie_core.request import Request
from tie_core.tie import Outcome, Round

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

CLIENTS_WORDS: Final = (
    "http.url",
    "http.target",
    "http.host",
    "http.server_name",
    "http.user_agent",
    "http.method",
    "url.full",
    "url.path",
    "url.query",
    "server.address",
    "user_agent.original",
    "http.request.method_original",
)
"""Attributes that the instrumentation fills with what the client sent."""
NO_HEADERS: Final = ["(?!)"]
"""Matches nothing. An empty list would ask the environment."""
QUIET: Final = r"^https?://[^/]+/(livez|readyz|health|metrics|v2/health/live|v2/health/ready)\Z"
TRACE_HEADERS: Final = frozenset({b"traceparent", b"tracestate", b"baggage"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Telemetry:
    """Spans of one app. `provider` decides where they go; `make_provider` makes the configured one."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tie", tie_core.__version__)
        self._parents: dict[str, Context] = {}  # of each running request

    def instrument(self, app: FastAPI) -> None:
        """Around everything else, so that a request's span is open while it is admitted and answered."""
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.metrics import NoOpMeterProvider

        FastAPIInstrumentor.instrument_app(
            app,
            server_request_hook=_forget_the_clients_words,
            tracer_provider=self._provider,
            meter_provider=NoOpMeterProvider(),
            excluded_urls=QUIET,
            http_capture_headers_server_request=NO_HEADERS,
            http_capture_headers_server_response=NO_HEADERS,
            exclude_spans=["receive", "send"],
        )
        build = app.build_middleware_stack
        app.build_middleware_stack = lambda: OwnTraces(build())  # type: ignore[method-assign]

    def around(self, load: Loader) -> Loader:
        """A loader whose engine tells its rounds here too."""

        def load_and_follow(settings: Settings, observer: Observer) -> Loaded:
            return load(settings, cast(Observer, RoundSpans(observer, self)))

        return load_and_follow

    def follow(self, request_id: str) -> Callable[[], None]:
        """Rounds of this request become children of the span that is open here, until what is returned is called."""
        from opentelemetry.context import get_current

        self._parents[request_id] = get_current()
        return lambda: self._note_end_of(request_id)

    def note_round(self, request: Request, ended: Round, seconds: float) -> None:
        """From the engine's thread."""
        parent = self._parents.get(request.id)
        if parent is None:
            return
        now = time.time_ns()
        span = self._tracer.start_span("tie.round", parent, start_time=now - int(seconds * 1e9))
        span.set_attributes(_attributes_of(request, ended))
        span.end(now)

    def note_end(self, request: Request, event: Completed | Failed) -> None:
        """From the engine's thread: the request's own span says how it ended."""
        from opentelemetry.trace import get_current_span

        span = get_current_span(self._parents.get(request.id))
        span.set_attribute("tie.ensemble", request.ensemble)
        if isinstance(event, Completed):
            span.set_attribute("tie.rounds", event.tie.rounds)
            span.set_attribute("tie.final_model", event.tie.final_model)
            span.set_attribute("tie.finish_reason", event.finish_reason)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _note_end_of(self, request_id: str) -> None:
        self._parents.pop(request_id, None)


class OwnTraces:
    """Every request begins a trace of its own: a client neither writes on one nor switches it off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [header for header in scope["headers"] if header[0].lower() not in TRACE_HEADERS]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


class RoundSpans:
    """An observer that passes everything on to another one, and tells of rounds and ends."""

    def __init__(self, observer: Observer, telemetry: Telemetry) -> None:
        self._observer = observer
        self._telemetry = telemetry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def on_round(self, request: Request, ended: Round, seconds: float) -> None:
        self._telemetry.note_round(request, ended, seconds)
        self._observer.on_round(request, ended, seconds)

    def on_end(self, request: Request, event: Completed | Failed, outcome: Outcome | None) -> None:
        self._telemetry.note_end(request, event)
        self._observer.on_end(request, event, outcome)


def make_telemetry(settings: TelemetrySettings) -> Telemetry | None:
    """What the settings ask for; None without them.

    Raises:
        SettingsError: the packages are not installed.
    """
    if settings.otlp_endpoint is None and not settings.use_otel_variables:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("[telemetry] needs OpenTelemetry: .venv/bin/pip install -e '.[otel]'") from None
    ours = Resource.create({SERVICE_NAME: settings.service_name, SERVICE_VERSION: tie_core.__version__})
    provider = TracerProvider(resource=ours)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint)))
    return Telemetry(provider)


def _attributes_of(request: Request, ended: Round) -> dict[str, Any]:
    names = [member.name for member in request.members]
    attributes: dict[str, Any] = {
        "tie.request_id": request.id,
        "tie.ensemble": request.ensemble,
        "tie.round": ended.number,
        "tie.leader": names[ended.leader.member],
        "tie.switched": ended.switched,
    }
    for run, score in zip(ended.trajectories, ended.scores, strict=True):
        if score.value is not None:
            attributes[f"tie.score.{names[run.member]}"] = float(score.value)
    if ended.lost:
        attributes["tie.lost"] = [names[member] for member in ended.lost]
    return attributes


def _forget_the_clients_words(span: "Span", scope: Scope) -> None:
    """The route, which is ours, stays; it also names the span."""
    attributes = getattr(span, "attributes", None) or {}
    for name in CLIENTS_WORDS:
        if name in attributes and attributes[name] not in METHODS:
            span.set_attribute(name, "")
