"""A real Prometheus scrapes a running server: the dashboard's queries all have data, and alerts tell what happens."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from service.routes.openai import CHAT
from tests.docker.programs import DOCKER, ROOT, program
from tests.docker.scraping import Scraping, scraping
from tests.docker.test_alerts import RUNBOOK, alerts
from tests.docker.test_dashboard import panels
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import PROMPT, Served, serving, wait_until
from tests.service.traffic import LIMITS, make_traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE = 40.0  # seconds until Prometheus has seen what happened; loading waits no longer than 60
VARIABLES = {"$__rate_interval": "10s", "$instance": ".*"}  # what Grafana puts into a query
PANELS = [panel for panel in panels() if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A server's whole life as Prometheus saw it, and the alerts that were active in each part of it."""

    prometheus: Scraping
    while_loading: set[str]
    while_well: set[str]
    after_faults: set[str]
    after_the_end: set[str]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program("prometheus")  # it is missed before anything runs
    loader = FakeLoader(Faults())
    loader.gate.clear()
    with ExitStack() as stack:
        with serving(fake_settings(limits=LIMITS), loader, until_ready=False) as served, ExitStack() as opened:
            opened.callback(loader.gate.set)
            prometheus = stack.enter_context(scraping(served.url, tmp_path_factory.mktemp("prometheus")))
            while_loading = alerts_once(prometheus, lambda active: "TieNotReady" in active)
            loader.gate.set()
            ask_in_several_ways(served)
            wait_until_scraped(prometheus, served)
            while_well = alerts_once(prometheus, lambda active: not active)
            make_traffic(served, loader)
            wait_until_scraped(prometheus, served)
            after_faults = alerts_once(prometheus, {"TieMemberRestarting", "TieOutOfMemory"}.issubset)
        after_the_end = alerts_once(prometheus, lambda active: "TieDown" in active)
        yield Watched(prometheus, while_loading, while_well, after_faults, after_the_end)


def ask_in_several_ways(served: Served) -> None:
    wait_until(lambda: served.client.get("/readyz").status_code == 200)
    assert served.post({"prompt": PROMPT}).status_code == 200
    assert served.events({"prompt": PROMPT, "events": "step"})[-1]["type"] == "tie.completed"
    chat = {"model": "tie", "messages": [{"role": "user", "content": PROMPT}]}
    assert served.client.post(CHAT, json=chat).status_code == 200


def wait_until_scraped(prometheus: Scraping, served: Served) -> None:
    """Prometheus has seen every request that the server has ended."""
    ended = sum(
        sample.value
        for family in served.service.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tie_requests_total"
    )
    wait_until(lambda: prometheus.value("sum(tie_requests_total)") == ended, PATIENCE)


def alerts_once(prometheus: Scraping, are_wanted: Callable[[set[str]], bool]) -> set[str]:
    """The active alerts as soon as they are those that are wanted, or what they are when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not are_wanted(active := prometheus.active_alerts()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return active


def filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_has_data(watched: Watched, panel: dict[str, Any]) -> None:
    shown = []
    for target in panel["targets"]:
        series = watched.prometheus.series(filled_in(target["expr"]))
        assert series, target["expr"]
        legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert all(legend == one.labels.keys() for one in series), f"{target['expr']}: the legend tells {legend}"
        shown += [value for one in series for value in one.values]

    assert any(value > 0 for value in shown), "a flat line at 0"
    if panel["fieldConfig"]["defaults"]["unit"] == "percentunit":
        assert all(0 <= value <= 1 + 1e-9 for value in shown), "no share"


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    rules = watched.prometheus.rules()

    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in alerts()}
    assert [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []


@pytest.mark.parametrize("page", ["alerts", "targets"])
def test_the_pages_that_the_runbook_names_are_there(watched: Watched, page: str) -> None:
    """At one of two paths: Debian's Prometheus is built without the newer pages."""
    runbook = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    named = [path for path in (f"/{page}", f"/classic/{page}") if f"{path}`" in runbook]

    answered = [watched.prometheus.client.get(path).status_code for path in named]

    assert 200 in answered, named


def test_alerts_tell_a_server_that_is_not_ready(watched: Watched) -> None:
    assert "TieNotReady" in watched.while_loading


def test_alerts_say_nothing_of_a_server_that_answers(watched: Watched) -> None:
    assert watched.while_well == set()


def test_alerts_tell_a_thread_that_ended_and_memory_that_ran_out(watched: Watched) -> None:
    assert {"TieMemberRestarting", "TieOutOfMemory"} <= watched.after_faults


def test_alerts_tell_a_server_that_is_gone(watched: Watched) -> None:
    assert "TieDown" in watched.after_the_end


def test_what_alerts_read_is_there(watched: Watched) -> None:
    expressions = " ".join(alert["expr"] for alert in alerts())
    selectors = set(re.findall(r"\b(?:tie_\w+|up)\b(?:\{[^}]*\})?", expressions))

    assert len(selectors) > 10
    assert [selector for selector in selectors if not watched.prometheus.labels(selector)] == []


def test_alerts_were_tested_on_series_as_they_are(watched: Watched) -> None:
    content = yaml.safe_load((DOCKER / "prometheus" / "alerts_test.yml").read_text(encoding="utf-8"))
    series = {one["series"] for test in content["tests"] for one in test["input_series"]}

    for one in series:
        name, labels = one.split("{", 1)
        real = watched.prometheus.labels(name)
        assert real, name
        assert set(re.findall(r"(\w+)=", labels)) <= set.intersection(*real), one
