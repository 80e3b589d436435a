"""The list of what can be asked, in OpenAI's shape: the ensembles, then the members."""

import time
from typing import Any

from fastapi import APIRouter

from service.loading import Loaded
from service.openai_schemas import unknown_model
from service.openapi import errors
from service.settings import EnsembleSettings, Settings
from service.state import ServiceOf
from tie_core.ensemble import Ensemble
from tie_core.member import Member

router = APIRouter(tags=["models"])
OWNER = "tie-server"
LOADED_AT = int(time.time())


def _entry(name: str, **extra: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": LOADED_AT, "owned_by": OWNER, **extra}


def _ensemble(ensemble: Ensemble, settings: EnsembleSettings) -> dict[str, Any]:
    return _entry(
        ensemble.name,
        kind="ensemble",
        members=[member.name for member in ensemble.members],
        about=settings.about,
        examples=settings.examples,
    )


def _member(member: Member) -> dict[str, Any]:
    model = member.model
    return _entry(
        member.name,
        kind="member",
        family=model.family,
        tokenizer=member.vocabulary.fingerprint,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        weights_bytes=model.weights_bytes,
    )


@router.get("/v1/models", responses=errors(503))
async def models(service: ServiceOf) -> dict[str, Any]:
    """Ensembles first, the default one at the top."""
    return {"object": "list", "data": _entries(service.runs.check_loaded(), service.settings)}


@router.get("/v1/models/{name}", responses=errors(404, 503))
async def model(name: str, service: ServiceOf) -> dict[str, Any]:
    """One of them by its name."""
    loaded = service.runs.check_loaded()
    found = next((entry for entry in _entries(loaded, service.settings) if entry["id"] == name), None)
    if found is None:
        raise unknown_model(loaded)
    return found


def _entries(loaded: Loaded, settings: Settings) -> list[dict[str, Any]]:
    ensembles = [_ensemble(loaded.ensembles[each.name], each) for each in settings.ensembles]
    return ensembles + [_member(member) for member in loaded.members.values()]
