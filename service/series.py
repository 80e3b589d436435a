"""Every series of `/metrics` that the configuration allows, made before it counts anything.

So a first event is an increase from 0, which `rate()` sees, and the number of series never grows.
"""

from collections.abc import Sequence
from itertools import permutations, product
from typing import Final, get_args

from service.errors import AUTHENTICATION, INVALID, RATE_LIMIT, SERVER, UNAVAILABLE
from service.metrics import EngineMetrics, Metrics, RequestMetrics
from service.run import Cause
from service.settings import LimitSettings, Settings
from tie_core.errors import LossReason
from tie_core.events import FinishReason
from tie_core.options import RelayResult, ScoreName, SelectionName

REFUSALS: Final = ("draining", "loading", "queue_full", "quota_exceeded", "too_many_connections")
ENDS: Final = (*get_args(FinishReason), "cancelled", "error")
SCORES: Final = get_args(ScoreName)


def make_series(metrics: Metrics, settings: Settings, endpoints: Sequence[str]) -> None:
    """`endpoints` are the routes that generate."""
    _of_requests(metrics.request, [ensemble.name for ensemble in settings.ensembles], endpoints)
    _of_limits(metrics.request, settings.limits)
    _of_models(metrics.engine, [model.name for model in settings.models])
    _of_ensembles(metrics.engine, settings)


def _of_requests(metrics: RequestMetrics, ensembles: Sequence[str], endpoints: Sequence[str]) -> None:
    for labels in product(ensembles, endpoints, ENDS):
        metrics.requests.labels(*labels)
    for kind in (INVALID, UNAVAILABLE, SERVER, RATE_LIMIT, AUTHENTICATION):
        metrics.errors.labels(kind)
    for reason in REFUSALS:
        metrics.rejections.labels(reason)
    for cause_and_state in product(get_args(Cause), ("queued", "running")):
        metrics.cancellations.labels(*cause_and_state)
    for ensemble in ensembles:
        metrics.running.labels(ensemble)
        metrics.waiting.labels(ensemble)
    for endpoint in endpoints:
        metrics.streams_open.labels(endpoint)
        metrics.merged.labels(endpoint)


def _of_limits(metrics: RequestMetrics, limits: LimitSettings) -> None:
    metrics.places.labels("running").set(limits.max_running)
    metrics.places.labels("waiting").set(limits.max_waiting)


def _of_models(metrics: EngineMetrics, models: Sequence[str]) -> None:
    for model in models:
        metrics.step_duration.labels(model)
        metrics.batch_rows.labels(model)
        metrics.barrier_wait.labels(model)
        metrics.steps.labels(model)
        metrics.out_of_memory.labels(model)
        metrics.restarts.labels(model)
    for model, purpose in product(models, ("decode", "score")):
        metrics.forwards.labels(model, purpose)
        metrics.positions.labels(model, purpose)
    for labels in product(models, ("kept", "discarded")):
        metrics.committed.labels(*labels)
    for labels in product(models, SCORES):
        metrics.wins.labels(*labels)
    for labels in product(models, get_args(SelectionName)):
        metrics.selections.labels(*labels)
    for labels in product(models, get_args(LossReason)):
        metrics.degraded.labels(*labels)


def _of_ensembles(metrics: EngineMetrics, settings: Settings) -> None:
    for score in SCORES:
        metrics.ties.labels(score)
    for ensemble in settings.ensembles:
        metrics.round_duration.labels(ensemble.name)
        for score in SCORES:
            metrics.rounds.labels(ensemble.name, score)
        for pair in permutations(ensemble.models, 2):
            metrics.switches.labels(*pair)
            for result in get_args(RelayResult):
                metrics.transcodes.labels(*pair, result)
