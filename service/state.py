"""What the routes of one app share: its settings, runs, metrics and life."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.bodies import Bodies
from service.followers import Followers
from service.keys import Keys
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.runs import Runs
from service.settings import Settings
from service.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Service:
    """One per app, made by `create_app`, kept in `app.state.service`."""

    settings: Settings
    metrics: Metrics
    runs: Runs
    lifecycle: Lifecycle
    telemetry: Telemetry | None = None
    keys: Keys | None = None
    bodies: Bodies = field(default_factory=Bodies)
    followers: Followers = field(default_factory=Followers)


async def _service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service_of)]
