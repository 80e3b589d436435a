"""Every family that is exported moves, passes promtool, and keeps its labels to what the configuration names."""

import io
import re
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.log import make_logger
from service.metrics import Metrics
from service.observer import EngineObserver
from service.routes.openai import CHAT, COMPLETIONS
from service.series import make_series
from service.settings import LimitSettings
from tests.docker.programs import program
from tests.service.fakes import NAMES, FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until
from tests.service.traffic import LIMITS, make_traffic
from tie_core.errors import LossReason
from tie_core.options import TieBreak
from tie_core.scoring import SCORES
from tie_core.selection import Leader

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]
CONSTANT = {"tie_build_info", "tie_request_places"}
STATES = {"running", "waiting"}
OF_LOADING = {
    "tie_device_memory_bytes",
    "tie_model_loaded",
    "tie_model_weights_bytes",
    "tie_model_load_duration_seconds",
}
LABELS = {
    "ensemble": {"tie"},
    "endpoint": {GENERATE, CHAT, COMPLETIONS},
    "model": set(NAMES),
    "from_model": set(NAMES),
    "to_model": set(NAMES),
    "finish_reason": {"stop", "length", "deadline", "error", "cancelled"},
    "type": {
        "invalid_request_error",
        "service_unavailable_error",
        "server_error",
        "rate_limit_error",
        "authentication_error",
    },
    "reason": {
        "loading",
        "draining",
        "queue_full",
        "quota_exceeded",
        "too_many_connections",
        *get_args(LossReason),
    },
    "cause": {"disconnect", "delete", "shutdown"},
    "phase": {"queued", "running"},
    "purpose": {"decode", "score"},
    "fate": {"kept", "discarded"},
    "score": set(SCORES),
    "rule": {"lowest_tcc", "best_model", "most_selected"},
    "result": {"copied", "transcoded", "overflow", "identical"},
    "device": {"cpu"},
    "kind": {"resident"},
    "state": STATES,
}


def scrape(served: Served) -> str:
    response = served.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return response.text


def by_family(text: str) -> dict[str, Values]:
    return {
        family.name: {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


@pytest.fixture(scope="module")
def scrapes() -> list[str]:
    """While loading, in the middle of the traffic, and after it."""
    loader = FakeLoader(Faults())
    loader.gate.clear()
    with serving(fake_settings(limits=LIMITS), loader, until_ready=False) as served:
        before = scrape(served)
        loader.gate.set()
        wait_until(lambda: served.client.get("/readyz").status_code == 200)
        meanwhile = make_traffic(served, loader)
        wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0)
        return [before, meanwhile, scrape(served)]


def test_every_exported_family_moves(scrapes: list[str], figure: Callable[[str], None]) -> None:
    before, meanwhile, after = map(by_family, scrapes)

    still = {name for name in after if before[name] == meanwhile[name] == after[name]}
    still -= {name for name in after if name.startswith("process_")}  # the client library's own

    figure(f"metrics: {len(after)} families, all but {', '.join(sorted(still))} moved")
    assert still == CONSTANT


def test_every_series_is_there_before_it_counts(scrapes: list[str], figure: Callable[[str], None]) -> None:
    before, meanwhile, after = map(by_family, scrapes)

    for name, values in after.items():
        assert values.keys() == meanwhile[name].keys(), name
        assert values.keys() == before[name].keys() or name in OF_LOADING, name
    figure(f"metrics: {sum(map(len, after.values()))} series, from the first scrape to the last")


def test_a_restarted_thread_is_counted() -> None:
    metrics, log = Metrics(), io.StringIO()
    observer = EngineObserver(metrics.engine, lambda *_: None, make_logger(log))

    observer.on_restart("zoo-dream")

    assert metrics.registry.get_sample_value("tie_worker_restarts_total", {"model": "zoo-dream"}) == 1
    assert "restarted" in log.getvalue()


@pytest.mark.parametrize("reason", [None, *get_args(TieBreak)])
def test_a_tie_is_a_best_score_that_was_shared(reason: TieBreak | None) -> None:
    metrics = Metrics()
    observer = EngineObserver(metrics.engine, lambda *_: None, make_logger(io.StringIO()))
    options = SimpleNamespace(score="tcc")
    request: Any = SimpleNamespace(id="r", ensemble="tie", options=options, members=[SimpleNamespace(name="zoo-dream")])
    facts = {"number": 1, "switched": False, "relayed": (), "trajectories": (), "canvases": ()}
    ended: Any = SimpleNamespace(leader=Leader(0, reason), **facts)

    observer.on_round(request, ended, 0.1)

    num_ties = metrics.registry.get_sample_value("tie_score_ties_total", {"score": "tcc"}) or 0
    assert num_ties == (reason in ("top1", "last_leader", "order"))


def test_every_family_of_the_contract_exists() -> None:
    names = set(re.findall(r"^# HELP (\w+)", Metrics().exposition().decode(), re.MULTILINE))

    assert {
        "tie_admission_rejections_total",
        "tie_barrier_wait_seconds",
        "tie_batch_rows",
        "tie_build_info",
        "tie_degraded_requests_total",
        "tie_denoising_steps_total",
        "tie_device_memory_bytes",
        "tie_final_selections_total",
        "tie_forward_positions_total",
        "tie_generated_tokens_total",
        "tie_leader_switches_total",
        "tie_model_forwards_total",
        "tie_model_load_duration_seconds",
        "tie_model_loaded",
        "tie_model_weights_bytes",
        "tie_prompt_tokens_total",
        "tie_ready",
        "tie_request_cancellations_total",
        "tie_request_duration_seconds",
        "tie_request_errors_total",
        "tie_request_places",
        "tie_request_queue_seconds",
        "tie_request_rounds",
        "tie_requests_running",
        "tie_requests_total",
        "tie_requests_waiting",
        "tie_round_duration_seconds",
        "tie_round_wins_total",
        "tie_rounds_total",
        "tie_score_ties_total",
        "tie_sse_streams_open",
        "tie_step_duration_seconds",
        "tie_stream_states_merged_total",
        "tie_time_to_first_answer_token_seconds",
        "tie_time_to_first_state_seconds",
        "tie_tokens_committed_total",
        "tie_transcode_duration_seconds",
        "tie_transcodes_total",
        "tie_worker_restarts_total",
    } <= names


def test_gauges_return_to_rest(scrapes: list[str]) -> None:
    after = by_family(scrapes[-1])

    for name in ("tie_requests_running", "tie_requests_waiting", "tie_sse_streams_open"):
        assert set(after[name].values()) == {0}


def test_places_are_those_of_the_settings() -> None:
    metrics = Metrics()

    make_series(metrics, fake_settings(limits=LimitSettings(max_running=3, max_waiting=5)), ())

    places = {state: metrics.registry.get_sample_value("tie_request_places", {"state": state}) for state in STATES}
    assert places == {"running": 3, "waiting": 5}


def test_counts_agree_with_each_other(scrapes: list[str]) -> None:
    after = by_family(scrapes[-1])

    kept = sum(value for (_, labels), value in after["tie_tokens_committed"].items() if ("fate", "kept") in labels)
    assert kept > 0
    assert sum(after["tie_round_wins"].values()) == sum(after["tie_rounds"].values())
    assert after["tie_requests"][("tie_requests_total", key(finish_reason="cancelled"))] == 1
    assert after["tie_requests"][("tie_requests_total", key(finish_reason="error"))] == 2
    assert after["tie_requests"][("tie_requests_total", key(finish_reason="length"))] == 10


def key(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"ensemble": "tie", "endpoint": GENERATE, **labels}.items()))


def test_labels_come_from_the_configuration(scrapes: list[str]) -> None:
    for family, values in by_family(scrapes[-1]).items():
        for _, labels in values:
            for name, value in labels:
                assert family in CONSTANT or name == "le" or value in LABELS[name], (family, name, value)


def test_promtool_finds_nothing_to_say(scrapes: list[str]) -> None:
    command = [program("promtool"), "check", "metrics"]

    done = subprocess.run(command, input=scrapes[-1], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_two_apps_share_no_metric() -> None:
    first, second = Metrics(), Metrics()

    first.request.queue.observe(1)

    assert second.registry.get_sample_value("tie_request_queue_seconds_count") == 0
