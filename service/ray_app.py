"""Replicas of the whole ensemble on Ray Serve: `serve run service.ray_app:build`. Needs the extra `ray`.

Ray's proxies take the connections, its controller counts and heals the replicas. A replica is the app of `tie serve` in
a process of its own, without its sockets: what `protocol.py`, `door.py` and `loop.py` are for is Ray's business here.
"""

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from service.app import create_app
from service.configuration import load_settings
from service.ray_metrics import ReplicaMetrics
from service.server import CLOSING_SECONDS, tune_process
from service.settings import ModelSettings, Settings

ANY_ADDRESS: Final = "0.0.0.0"  # Ray says where its proxies listen, so they are taken to be reachable


class Arguments(BaseModel):
    """What may stand behind `serve run service.ray_app:build`."""

    model_config = ConfigDict(extra="forbid")

    config: Path | None = None


class SessionRouter(RequestRouter):
    """The requests of a session go to one replica as long as it is there, others to the idler one of two."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Of two: how long a queue is is told after the fact, so of all it would be one for a whole burst."""
        session = ""
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True  # who is full is asked again later, not at once
            session = pending_request.metadata.session_id
        if session and candidate_replicas:
            return [[max(candidate_replicas, key=lambda replica: _weight(session, replica.replica_id.unique_id))]]
        return [random.sample(candidate_replicas, min(2, len(candidate_replicas)))]


def _weight(session: str, replica: str) -> bytes:
    """Rendezvous hashing: when a replica comes or goes, only its own sessions move."""
    return hashlib.sha256(f"{replica} {session}".encode()).digest()


class Replica:
    """The whole ensemble. Takes requests once its models are loaded and tested, and is replaced if it stays unready."""

    def __init__(self, settings: Settings) -> None:
        tune_process()
        self._metrics = ReplicaMetrics()
        self._app = create_app(settings, metrics=self._metrics)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app

    async def check_health(self) -> None:
        """Asked once before the first request, and then all the time.

        Raises:
            Exception: the models cannot be loaded.
            ApiError: what `/readyz` would say no with. After three in a row Ray starts another replica.
        """
        lifecycle = self._app.state.service.lifecycle
        await lifecycle.until_loaded()
        if obstacle := lifecycle.obstacle():
            raise obstacle

    async def own_metrics(self) -> tuple[str, str]:
        """This replica's name, and its metrics as text."""
        text = await asyncio.to_thread(self._metrics.own_exposition)
        return serve.get_replica_context().replica_id.unique_id, text


def build(arguments: Arguments) -> Application:
    """The application, by the settings that `tie serve` reads; they are read once, here.

    Raises:
        SettingsError: settings that cannot be used, or that say nothing of who may ask.
    """
    settings = load_settings(arguments.config, host=ANY_ADDRESS)
    if settings.ray.max_replicas > 1:
        server = settings.server.model_copy(update={"needs_session": True})
        settings = settings.model_copy(update={"server": server})
    return deployment(settings).bind(settings)


def deployment(settings: Settings) -> serve.Deployment:
    """How Ray is to keep the replicas. One that is stopped has as long for its requests as under SIGTERM."""
    configured = serve.deployment(
        name="tie",
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.ray.min_replicas,
            max_replicas=settings.ray.max_replicas,
            target_ongoing_requests=settings.limits.max_running,
        ),
        max_ongoing_requests=settings.limits.max_connections,
        graceful_shutdown_timeout_s=settings.server.drain_seconds + CLOSING_SECONDS,
        ray_actor_options={"num_cpus": settings.ray.cpus, "num_gpus": num_gpus(settings.models)},
        request_router_config=RequestRouterConfig(request_router_class=SessionRouter),  # type: ignore[arg-type]
    )
    return configured(serve.ingress()(Replica))


def num_gpus(models: list[ModelSettings]) -> int:
    """How many a replica needs, so that `cuda:1` is the second of its own."""
    indices = [int(model.device.partition(":")[2] or 0) for model in models if model.device.startswith("cuda")]
    return max(indices, default=-1) + 1
