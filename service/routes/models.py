"""The list of what can be asked, in OpenAI's shape: the ensembles, then the members."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from service.openai_schemas import unknown_model
from service.openapi import errors
from service.option_places import body_of
from service.settings import EnsembleSettings, LimitSettings
from service.state import ServiceOf
from tie_core.engine.deadlines import ON_DEADLINE
from tie_core.ensemble import Ensemble
from tie_core.errors import OptionsError
from tie_core.member import Member

router = APIRouter(tags=["models"])
OWNER = "tie-server"
LOADED_AT = int(time.time())


def _entry(name: str, **extra: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": LOADED_AT, "owned_by": OWNER, **extra}


def _ensemble(ensemble: Ensemble, settings: EnsembleSettings, defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    return _entry(
        ensemble.name,
        kind="ensemble",
        members=[member.name for member in ensemble.members],
        about=settings.about,
        examples=settings.examples,
        defaults=defaults,
    )


def _own_defaults(ensemble: Ensemble, limits: LimitSettings) -> dict[str, Any] | None:
    """None where a request that says nothing is refused, which hides no other ensemble."""
    with suppress(OptionsError):
        return _defaults(ensemble, limits, {})
    return None


def _defaults(ensemble: Ensemble, limits: LimitSettings, said: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for a request that says this, by the names of the native route's body."""
    seconds = limits.max_seconds
    deadline = None if seconds is None else int(seconds * 1000)
    own = {"stop": None, "deadline_ms": deadline, "on_deadline": ON_DEADLINE}
    return body_of(asdict(ensemble.resolve(ensemble.members, said))) | own


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
    loaded, limits = service.runs.check_loaded(), service.settings.limits
    ensembles = [(loaded.ensembles[each.name], each) for each in service.settings.ensembles]
    told = [_ensemble(ensemble, each, _own_defaults(ensemble, limits)) for ensemble, each in ensembles]
    return {"object": "list", "data": told + [_member(member) for member in loaded.members.values()]}


@router.get("/v1/models/{name}", responses=errors(400, 404, 503))
async def model(
    name: str,
    service: ServiceOf,
    task: str | None = None,
    score: str | None = None,
    policy: str | None = None,
    gen_length: str | None = None,
    reasoning_length: str | None = None,
    answer_length: str | None = None,
) -> dict[str, Any]:
    """One of them by its name; of an ensemble with the `defaults` of requests that name these."""
    loaded, limits = service.runs.check_loaded(), service.settings.limits
    words = {"task": task, "score": score, "policy": policy}
    lengths = {"gen_length": gen_length, "reasoning": reasoning_length, "answer": answer_length}
    asked = words | {option: _number(text) for option, text in lengths.items()}
    said = {option: value for option, value in asked.items() if value is not None}
    if name in loaded.ensembles:
        ensemble = loaded.ensembles[name]
        defaults = _defaults(ensemble, limits, said) if said else _own_defaults(ensemble, limits)
        return _ensemble(ensemble, service.settings.find_ensemble(name), defaults)
    if name in loaded.members:
        return _member(loaded.members[name])
    raise unknown_model(loaded)


def _number(text: str | None) -> int | str | None:
    """A whole number, or the text, which is refused as every other value that no length has."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return text
