"""The app: everything put together, nothing decided."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from structlog.typing import FilteringBoundLogger

import tie_core
from service.errors import ApiError, on_api_error, on_http_error
from service.gate import Gate
from service.keys import Keys
from service.lifecycle import Lifecycle
from service.loading import Loader, load
from service.log import make_logger
from service.metrics import Metrics
from service.middleware import BodyLimits, RequestScope
from service.openapi import add_schemas
from service.routes import docs, models, openai, ops, page, tie
from service.runs import Runs
from service.series import make_series
from service.settings import Settings
from service.state import Service
from service.telemetry import Telemetry, make_telemetry
from tie_core.errors import TieError

GENERATING: Final = (tie.GENERATE, openai.CHAT, openai.COMPLETIONS)
"""The routes whose requests run on the models."""


def create_app(
    settings: Settings,
    load: Loader = load,
    log: FilteringBoundLogger | None = None,
    telemetry: Telemetry | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """An app that loads its models when it starts. `load` makes what answers requests.

    Raises:
        SettingsError: the settings ask for telemetry, and its packages are not installed; or for API keys, and their
            file cannot be used.
    """
    log = log or make_logger()
    telemetry = telemetry or make_telemetry(settings.telemetry)
    if telemetry is not None:
        load = telemetry.around(load)
    metrics = metrics or Metrics()
    make_series(metrics, settings, GENERATING)
    runs = Runs(settings, metrics.request)
    keys = Keys(settings.auth.keys_file.expanduser(), log) if settings.auth.keys_file else None
    service = Service(settings, metrics, runs, Lifecycle(settings, runs, metrics, log, load), telemetry, keys)
    app = FastAPI(
        title="TIE Server",
        version=tie_core.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.service = service
    _add_middleware(app, service, log)
    for module in (tie, openai, models, ops, docs, page):
        app.include_router(module.router)
    add_schemas(app, settings)
    if telemetry is not None:
        telemetry.instrument(app)
    return app


def _add_middleware(app: FastAPI, service: Service, log: FilteringBoundLogger) -> None:
    """The last one added is the outermost."""
    limits = service.settings.limits
    app.add_middleware(BodyLimits, max_bytes=limits.max_body_bytes, seconds=limits.body_seconds)
    app.add_middleware(Gate, server=service.settings.server, auth=service.settings.auth, keys=service.keys)
    app.add_middleware(RequestScope, log=log, metrics=service.metrics.request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(TieError, on_api_error)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    lifecycle = app.state.service.lifecycle
    await run_in_threadpool(app.openapi)  # kept by FastAPI: made when somebody asks, it would hold the event loop, and
    # so would anyio's back end, which the first thread or stream imports
    lifecycle.start()
    yield
    lifecycle.hurry()
    await lifecycle.stop()
    if (telemetry := app.state.service.telemetry) is not None:
        await asyncio.to_thread(telemetry.close)
