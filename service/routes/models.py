"""The list of what can be asked, in OpenAI's shape: the ensembles, then the members."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from service.openai_schemas import unknown_model
from service.openapi import errors
from service.option_places import body_of
from service.settings import EnsembleSettings
from service.state import ServiceOf
from tie_core.ensemble import Ensemble
from tie_core.member import Member

router = APIRouter(tags=["models"])
OWNER = "tie-server"
LOADED_AT = int(time.time())


def _entry(name: str, **extra: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": LOADED_AT, "owned_by": OWNER, **extra}


def _ensemble(ensemble: Ensemble, settings: EnsembleSettings, said: Mapping[str, Any]) -> dict[str, Any]:
    return _entry(
        ensemble.name,
        kind="ensemble",
        members=[member.name for member in ensemble.members],
        about=settings.about,
        examples=settings.examples,
        defaults=body_of(asdict(ensemble.resolve(ensemble.members, said))),
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
    loaded = service.runs.check_loaded()
    ensembles = [_ensemble(loaded.ensembles[each.name], each, {}) for each in service.settings.ensembles]
    return {"object": "list", "data": ensembles + [_member(member) for member in loaded.members.values()]}


@router.get("/v1/models/{name}", responses=errors(400, 404, 503))
async def model(
    name: str, service: ServiceOf, task: str | None = None, score: str | None = None, policy: str | None = None
) -> dict[str, Any]:
    """One of them by its name; of an ensemble with the `defaults` of requests that name these."""
    loaded = service.runs.check_loaded()
    asked = {"task": task, "score": score, "policy": policy}
    said = {option: value for option, value in asked.items() if value is not None}
    if name in loaded.ensembles:
        return _ensemble(loaded.ensembles[name], service.settings.find_ensemble(name), said)
    if name in loaded.members:
        return _member(loaded.members[name])
    raise unknown_model(loaded)
