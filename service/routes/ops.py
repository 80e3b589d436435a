"""Probes, metrics, versions: what an operator asks."""

import platform
from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

import tie_core
from service.openapi import errors
from service.state import ServiceOf

router = APIRouter(tags=["operations"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", responses=errors(503))
@router.get("/health", responses=errors(503))
async def readyz(service: ServiceOf) -> dict[str, str]:
    """Every model is loaded and its thread beats."""
    if obstacle := service.lifecycle.obstacle():
        raise obstacle
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
def metrics(service: ServiceOf) -> Response:
    """The Prometheus text format. In a thread: reading devices may block."""
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def versions() -> dict[str, str]:
    return {
        "version": tie_core.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
