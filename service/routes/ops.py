"""Probes, metrics, versions: what an operator asks."""

import platform
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

import tie_core
from service.loading import Loaded
from service.openapi import errors
from service.state import ServiceOf

router = APIRouter(tags=["operations"])


@router.get("/livez")
@router.get("/v2/health/live")
@router.head("/livez", include_in_schema=False)
@router.head("/v2/health/live", include_in_schema=False)
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", responses=errors(503))
@router.get("/health", responses=errors(503))
@router.get("/v2/health/ready", responses=errors(503))
@router.head("/readyz", include_in_schema=False)
@router.head("/health", include_in_schema=False)
@router.head("/v2/health/ready", include_in_schema=False)
async def readyz(service: ServiceOf) -> dict[str, str]:
    """Every model is loaded and its thread beats."""
    if obstacle := service.lifecycle.obstacle():
        raise obstacle
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
def metrics(service: ServiceOf) -> Response:  # in a thread: reading devices may block
    """Metrics in Prometheus' text format."""
    return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def versions() -> dict[str, str]:
    """The versions of the server, Python, torch and transformers."""
    return _versions()


@cache
def _versions() -> dict[str, str]:
    """Looked up once: it reads files."""
    return {
        "version": tie_core.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


@router.get("/info", responses=errors(503))
async def info(service: ServiceOf) -> dict[str, Any]:
    """Every member with where it is, what it takes and how it does; and the ensembles."""
    loaded = service.runs.check_loaded()
    beats, limit = loaded.engine.heartbeats(), service.settings.server.stale_after_seconds
    states = {name: "stalled" if beats.get(name, 0.0) > limit else "ready" for name in loaded.members}
    states |= dict.fromkeys(loaded.engine.down, "down")
    return {
        "version": tie_core.__version__,
        "phase": service.lifecycle.phase,
        "members": [_member(loaded, name, state) for name, state in states.items()],
        "ensembles": [
            {"name": name, "members": [member.name for member in ensemble.members]}
            for name, ensemble in loaded.ensembles.items()
        ],
        "requests": {"running": loaded.engine.num_running, "waiting": loaded.engine.num_waiting},
    }


def _member(loaded: Loaded, name: str, state: str) -> dict[str, Any]:
    member, warmed = loaded.members[name], loaded.engine.warm_ups[name]
    model = member.model
    return {
        "name": name,
        "family": model.family,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "tokenizer": member.vocabulary.fingerprint,
        "max_positions": model.max_positions,
        "memory": {"weights_bytes": model.weights_bytes, "position_bytes": warmed.position_bytes},
        "budget": {"max_positions": warmed.max_positions, "threads": warmed.num_threads, "lanes": warmed.num_lanes},
        "state": state,
    }
