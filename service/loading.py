"""From settings to what answers requests: a plan, members, ensembles, engine. Blocks: it runs in a thread."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from service.placement import check_placement
from service.self_test import check_answers, check_zoo, is_zoo
from service.settings import EnsembleSettings, Settings
from tie_core.engine.engine import Engine
from tie_core.engine.observer import Observer
from tie_core.ensemble import Ensemble
from tie_core.member import Member, load_member


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that is resident. The engine runs."""

    engine: Engine
    members: Mapping[str, Member]
    ensembles: Mapping[str, Ensemble]
    load_seconds: Mapping[str, float]


Loader = Callable[[Settings, Observer], Loaded]


def load(settings: Settings, observer: Observer) -> Loaded:
    """Load every configured model, once they are known to fit, and start the engine.

    Raises:
        TieError: a checkpoint or a device that cannot be used, or a failed self-test.
    """
    check_placement(settings.models, settings.limits)
    members: dict[str, Member] = {}
    seconds: dict[str, float] = {}
    for model in settings.models:
        started = time.monotonic()
        members[model.name] = load_member(model.name, model.path.expanduser(), model.device, model.dtype)
        seconds[model.name] = time.monotonic() - started
    loaded = start(settings, observer, members, seconds)
    with _closing_on_failure(loaded.engine):
        for chosen in settings.ensembles:
            if is_zoo(chosen, settings.models):
                check_zoo(loaded.engine, loaded.ensembles[chosen.name])
    return loaded


def start(
    settings: Settings, observer: Observer, members: Mapping[str, Member], seconds: Mapping[str, float]
) -> Loaded:
    """Resident members become ensembles and a running engine, once every member answers as it should.

    Raises:
        TieError: a device without memory for its model, or a failed self-test.
    """
    limits = settings.limits
    engine = Engine(
        tuple(members.values()),
        max_running=limits.max_running,
        max_waiting=limits.max_waiting,
        max_batch_positions=limits.max_batch_positions,
        tick_seconds=limits.tick_seconds,
        stall_seconds=limits.stall_seconds,
        observer=observer,
    )
    engine.start()
    ensembles = {ensemble.name: _ensemble(ensemble, members) for ensemble in settings.ensembles}
    with _closing_on_failure(engine):
        for ensemble in ensembles.values():
            check_answers(engine, ensemble)
    return Loaded(engine, members, ensembles, seconds)


@contextmanager
def _closing_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.close()
        raise


def _ensemble(settings: EnsembleSettings, members: Mapping[str, Member]) -> Ensemble:
    chosen = [members[name] for name in settings.models]
    return Ensemble(settings.name, chosen, settings.defaults, settings.policy_defaults)
