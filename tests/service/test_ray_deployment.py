"""What Ray Serve is told of the replicas, and what a replica tells it; without a Ray that runs."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from service.app import create_app
from service.errors import ApiError
from service.metrics import Metrics
from service.ray_app import Arguments, Replica, SessionRouter, build, deployment, num_gpus
from service.ray_metrics import joined
from service.settings import ModelSettings, RaySettings, ServerSettings, Settings, SettingsError
from tests.service.fakes import FakeLoader, fake_settings
from tie_core.errors import TieError

ANYBODY = "TIE_SERVER__ALLOW_PUBLIC"


def settings_of(application: Any) -> Settings:
    (settings,) = application._bound_deployment.init_args
    assert isinstance(settings, Settings)
    return settings


def models(*devices: str) -> list[ModelSettings]:
    return [ModelSettings(name=f"m{number}", path=Path("m"), device=device) for number, device in enumerate(devices)]


def test_who_may_ask_has_to_be_said_since_ray_chooses_the_address() -> None:
    with pytest.raises(SettingsError, match="ALLOW_PUBLIC"):
        build(Arguments())


def test_settings_are_those_of_tie_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "tie.toml"
    config.write_text("[limits]\nmax_running = 7\n[ray]\nmax_replicas = 3\ncpus = 2\n", encoding="utf-8")
    monkeypatch.setenv(ANYBODY, "true")
    monkeypatch.setenv("TIE_LIMITS__MAX_WAITING", "5")

    settings = settings_of(build(Arguments(config=config)))

    assert (settings.limits.max_running, settings.limits.max_waiting, settings.ray.cpus) == (7, 5, 2)


@pytest.mark.parametrize(("most", "needs_session"), [(1, False), (2, True)])
def test_several_replicas_ask_for_sessions(monkeypatch: pytest.MonkeyPatch, most: int, *, needs_session: bool) -> None:
    monkeypatch.setenv(ANYBODY, "true")
    monkeypatch.setenv("TIE_RAY__MAX_REPLICAS", str(most))

    assert settings_of(build(Arguments())).server.needs_session is needs_session


def test_ray_scales_by_the_places_of_a_replica_and_drains_as_long_as_a_server_does() -> None:
    ray = RaySettings(min_replicas=2, max_replicas=5, cpus=3)
    configured = deployment(Settings(ray=ray, server=ServerSettings(drain_seconds=100), models=models("cuda:1", "cpu")))

    scaling = configured._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 32)
    assert configured._deployment_config.graceful_shutdown_timeout_s > 100
    assert configured.ray_actor_options == {"num_cpus": 3, "num_gpus": 2}


def test_fewer_replicas_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(ValueError, match="raise max_replicas"):
        RaySettings(min_replicas=2)


@pytest.mark.parametrize(
    ("devices", "expected"), [(["cpu"], 0), (["cuda"], 1), (["cuda", "cuda:0"], 1), (["cpu", "cuda:2"], 3)]
)
def test_a_replica_has_every_gpu_that_its_models_name(devices: list[str], expected: int) -> None:
    assert num_gpus(models(*devices)) == expected


def replicas(*names: str) -> list[Any]:
    return [SimpleNamespace(replica_id=SimpleNamespace(unique_id=name)) for name in names]


def chosen(candidates: list[Any], session: str = "") -> list[str]:
    pending = SimpleNamespace(
        metadata=SimpleNamespace(session_id=session), routing_context=SimpleNamespace(should_backoff=False)
    )
    router: Any = object.__new__(SessionRouter)
    (group,) = asyncio.run(router.choose_replicas(candidates, pending))
    assert pending.routing_context.should_backoff
    return [replica.replica_id.unique_id for replica in group]


def test_a_session_stays_where_it_is_unless_its_own_replica_goes() -> None:
    all_of_them, without_c = replicas("a", "b", "c"), replicas("b", "a")
    sessions = [str(number) for number in range(300)]

    before = {session: chosen(all_of_them, session) for session in sessions}
    after = {session: chosen(without_c, session) for session in sessions}

    counts = Counter(name for (name,) in before.values())
    assert set(counts) == {"a", "b", "c"}
    assert min(counts.values()) > 60
    assert all(after[session] == before[session] for session in sessions if before[session] != ["c"])


def test_a_request_without_a_session_chooses_between_any_two() -> None:
    random.seed(0)

    pairs = {tuple(chosen(replicas("a", "b", "c"))) for _ in range(200)}

    assert len(pairs) == 6
    assert chosen(replicas("a")) == ["a"]
    assert chosen([], "session") == []


def replica(loader: FakeLoader) -> Any:
    """Without its constructor, which tunes the whole process."""
    made: Any = object.__new__(Replica)
    made._app = create_app(fake_settings(), loader)
    return made


def test_a_replica_takes_requests_once_its_models_are_there() -> None:
    async def scenario() -> tuple[bool, bool]:
        loader = FakeLoader()
        made = replica(loader)
        loader.gate.clear()
        async with made._app.router.lifespan_context(made._app):
            first = asyncio.create_task(made.check_health())
            await asyncio.sleep(0.2)
            was_early = first.done()
            loader.gate.set()
            await asyncio.wait_for(first, 20)
            await made.check_health()
            await made._app.state.service.lifecycle.stop()
            with pytest.raises(ApiError, match="stopped"):
                await made.check_health()
        return was_early, first.done()

    assert asyncio.run(scenario()) == (False, True)


def test_a_replica_whose_models_cannot_be_loaded_says_why() -> None:
    async def scenario() -> None:
        made = replica(FakeLoader(error=TieError("no such checkpoint")))
        async with made._app.router.lifespan_context(made._app):
            await asyncio.wait_for(made.check_health(), 20)

    with pytest.raises(TieError, match="no such checkpoint"):
        asyncio.run(scenario())


def test_metrics_of_all_replicas_are_one_exposition() -> None:
    one, other = Metrics(), Metrics()
    one.request.waiting.labels("tie").set(3)
    other.request.waiting.labels("tie").set(4)
    other.request.duration.observe(0.2)

    text = joined({"r1": one.exposition().decode(), "r2": other.exposition().decode()})

    families = {family.name: family for family in text_string_to_metric_families(text)}
    waiting = families["tie_requests_waiting"].samples
    assert [(sample.labels, sample.value) for sample in waiting] == [
        ({"replica": "r1", "ensemble": "tie"}, 3.0),
        ({"replica": "r2", "ensemble": "tie"}, 4.0),
    ]
    assert text.count("# TYPE tie_requests_waiting gauge") == 1
    counts = [sample for sample in families["tie_request_duration_seconds"].samples if sample.name.endswith("_count")]
    assert {sample.labels["replica"]: sample.value for sample in counts} == {"r1": 0.0, "r2": 1.0}
    alone = {family.name for family in text_string_to_metric_families(one.exposition().decode())}
    assert set(families) == alone
