"""A real Prometheus with the repository's configuration and alerts, which scrapes a server of the tests."""

import math
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import yaml

from tests.docker.programs import DOCKER, program
from tests.service.served import wait_until

INTERVAL = "500ms"
STEP = 0.5  # seconds: the same, for queries over a range of time
START_SECONDS = 60.0


class Series(NamedTuple):
    """What a query gives, over time."""

    labels: dict[str, str]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Scraping:
    """A running Prometheus, asked over its HTTP API."""

    client: httpx.Client
    started: float

    def ask(self, path: str, **parameters: Any) -> Any:
        response = self.client.get(f"/api/v1/{path}", params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def value(self, expression: str) -> float | None:
        """Of the one series that there is now."""
        result = self.ask("query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else None

    def series(self, expression: str) -> list[Series]:
        """All since the start; without values that are no numbers, and without series that have no others."""
        moments = {"start": self.started, "end": time.time(), "step": STEP}
        found = self.ask("query_range", query=expression, **moments)["result"]
        series = [Series(one["metric"], [float(value) for _, value in one["values"]]) for one in found]
        numbers = [Series(one.labels, [*filter(math.isfinite, one.values)]) for one in series]
        return [one for one in numbers if one.values]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def active_alerts(self) -> set[str]:
        """Those that fire, or would if this went on."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}

    def labels(self, name: str) -> list[set[str]]:
        """The names of the labels of every series of a metric since the start."""
        return [{*series} - {"__name__"} for series in self.ask("series", **{"match[]": name})]


@contextmanager
def scraping(url: str, folder: Path) -> Iterator[Scraping]:
    """It keeps what it scrapes, and its log, in the folder."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(configuration_for(url)), encoding="utf-8")
    log = folder / "prometheus.log"
    command = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            wait_until(lambda: process.poll() is not None or address_in(log) is not None, START_SECONDS)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            with httpx.Client(base_url=f"http://{address_in(log)}", timeout=30, trust_env=False) as client:
                wait_until(lambda: client.get("/-/ready").status_code == 200, START_SECONDS)
                yield Scraping(client, time.time())
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def configuration_for(url: str) -> dict[str, Any]:
    """The repository's own, for another server and in less of a hurry to end."""
    content: dict[str, Any] = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    content["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL)
    content["rule_files"] = [str(DOCKER / "prometheus" / name) for name in content["rule_files"]]
    (job,) = content["scrape_configs"]
    job["static_configs"] = [{"targets": [urlsplit(url).netloc]}]
    return content


def address_in(log: Path) -> str | None:
    found = re.search(r'msg="Listening on".* address=(\S+)', log.read_text(encoding="utf-8"))
    return found[1] if found else None
