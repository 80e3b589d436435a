"""The alerts: each fires where it should and nowhere else, by promtool, and says what to do."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.programs import DOCKER, ROOT, check

PROMETHEUS = DOCKER / "prometheus"
RUNBOOK = "docs/operations.md"


def alerts() -> list[dict[str, Any]]:
    content = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def cases() -> list[dict[str, Any]]:
    content = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))
    return [case for test in content["tests"] for case in test["alert_rule_test"]]


def test_alerts_fire_where_they_should() -> None:
    check("promtool", "test", "rules", "docker/prometheus/alerts_test.yml")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_is_seen_to_fire_and_to_keep_quiet(alert: dict[str, Any]) -> None:
    expected = [bool(case["exp_alerts"]) for case in cases() if case["alertname"] == alert["alert"]]

    assert set(expected) == {True, False}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_says_what_it_means_and_where_to_read_what_to_do(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    headings = re.findall(r"^### (.+)$", (ROOT / RUNBOOK).read_text(encoding="utf-8"), re.MULTILINE)

    assert alert["labels"]["severity"] in ("critical", "warning")
    assert notes["summary"]
    assert notes["description"].endswith(".")
    assert notes["runbook"] == f"{RUNBOOK}#{alert['alert'].lower()}"
    assert alert["alert"] in headings


def test_the_runbook_tells_how_alerts_get_a_link_to_it(tmp_path: Path) -> None:
    (command,) = re.findall(r"^sed -i .*", (ROOT / RUNBOOK).read_text(encoding="utf-8"), re.MULTILINE)
    copy = tmp_path / "docker" / "prometheus" / "alerts.yml"
    copy.parent.mkdir(parents=True)
    copy.write_bytes((PROMETHEUS / "alerts.yml").read_bytes())

    subprocess.run(shlex.split(command), cwd=tmp_path, timeout=20, check=True)

    links = re.findall(r'runbook: "(.*)"', copy.read_text(encoding="utf-8"))
    page = "https://docs.example.org/tie/operations.html"
    assert links == [f"{page}#{alert['alert'].lower()}" for alert in alerts()]


def test_a_prometheus_on_the_host_scrapes_the_server_there(tmp_path: Path) -> None:
    page = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(mkdir -p build\n.*?)^prometheus (.*?)```", page, re.MULTILINE | re.DOTALL)
    commands, words = block
    copied = tmp_path / "docker" / "prometheus"
    shutil.copytree(PROMETHEUS, copied)

    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, timeout=20, check=True)

    (path,) = re.findall(r"--config\.file=(\S+)", words)
    config = yaml.safe_load((tmp_path / path).read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]
    assert all((tmp_path / path).with_name(file).is_file() for file in config["rule_files"])
    (address,) = re.findall(r"--web\.listen-address=(\S+)", words)
    assert address.startswith("127.0.0.1:"), "it would listen on every interface"
    assert f"http://{address}/alerts" in page.partition(words)[2]


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    headings = re.findall(r"^### (Tie\w+)$", (ROOT / RUNBOOK).read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == [alert["alert"] for alert in alerts()]
