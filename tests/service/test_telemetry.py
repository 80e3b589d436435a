"""Spans of requests and rounds: what they tell, and that they tell nothing of what a client sent."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.app import create_app
from service.routes.openai import CHAT
from service.settings import Settings, SettingsError, TelemetrySettings
from service.telemetry import Telemetry, make_telemetry
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until

SECRET = "271828314159"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def served(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server whose spans stay in memory; the environment asks for headers, and is not heard."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(provider)
    with serving(fake_settings(), FakeLoader(), telemetry=telemetry) as served:
        yield served


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_request_is_a_span_with_a_child_for_each_round(served: Served, exporter: InMemorySpanExporter) -> None:
    completed = served.post({"prompt": SECRET}).json()

    wait_until(lambda: any(span.name.startswith("POST") for span in exporter.get_finished_spans()))
    spans = exporter.get_finished_spans()
    (parent,) = [span for span in spans if span.name.startswith("POST")]
    rounds = [span for span in spans if span.name == "tie.round"]
    assert parent.name == f"POST {GENERATE}"
    assert attributes(parent)["tie.final_model"] == completed["tie"]["final_model"]
    assert attributes(parent)["tie.rounds"] == completed["tie"]["rounds"] == len(rounds)
    assert [attributes(span)["tie.round"] for span in rounds] == list(range(1, len(rounds) + 1))
    for span in rounds:
        assert span.parent is not None
        assert span.parent.span_id == parent.context.span_id
        assert attributes(span)["tie.leader"] in completed["tie"]["wins"]
        assert isinstance(attributes(span)["tie.score.zoo-llada"], float)
        assert parent.start_time <= span.start_time < span.end_time


def test_a_streamed_chat_is_followed_as_well(served: Served, exporter: InMemorySpanExporter) -> None:
    body = {"model": "tie", "messages": [{"role": "user", "content": SECRET}], "stream": True}

    served.client.post(CHAT, json=body)

    wait_until(lambda: any(span.name == f"POST {CHAT}" for span in exporter.get_finished_spans()))
    assert any(span.name == "tie.round" for span in exporter.get_finished_spans())


def test_spans_hold_nothing_of_what_a_client_sent(served: Served, exporter: InMemorySpanExporter) -> None:
    headers = {"user-agent": f"agent-{SECRET}", "x-private": SECRET, "authorization": f"Bearer {SECRET}"}

    served.post({"prompt": SECRET}, headers=headers)
    served.client.get(f"/v1/models/{SECRET}?key={SECRET}", headers=headers)
    served.client.get(f"/{SECRET}", headers=headers)
    served.client.request(SECRET, "/v1/models", headers=headers)

    wait_until(lambda: len([span for span in exporter.get_finished_spans() if span.parent is None]) >= 4)
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "/v1/models/{name}" in told
    assert SECRET not in told


def test_nothing_of_it_is_imported_or_made_unless_configured() -> None:
    program = "import sys, service.server; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=115, check=True)

    assert not {"opentelemetry.sdk", "opentelemetry.instrumentation"} & set(done.stdout.split())
    assert make_telemetry(TelemetrySettings()) is None
    assert create_app(Settings()).state.service.telemetry is None


def test_a_configured_collector_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = make_telemetry(TelemetrySettings(otlp_endpoint="http://127.0.0.1:9/v1/traces"))

    assert telemetry is not None
    telemetry.close()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(SettingsError, match=r"pip install -e \x27\.\[otel\]"):
        make_telemetry(TelemetrySettings(use_otel_variables=True))


def test_the_extra_is_written_as_the_message_says() -> None:
    assert "\notel = [\n" in (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")


def test_a_client_neither_writes_on_a_trace_nor_switches_it_off(served: Served, exporter: InMemorySpanExporter) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    for flags in ("01", "00"):
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-{flags}", "tracestate": f"x={SECRET}"}
        served.post({"prompt": "rev 3"}, headers=headers)
    served.client.get("/v1/tie/requests/livez")

    def parents() -> list[ReadableSpan]:
        return [span for span in exporter.get_finished_spans() if span.name != "tie.round"]

    wait_until(lambda: len(parents()) == 3)
    for span in parents():
        assert span.parent is None
        assert span.context.trace_id != int(trace, 16)
        assert not span.context.trace_state
    assert not [span for span in parents() if span.name.endswith(("/livez", "/readyz"))]
