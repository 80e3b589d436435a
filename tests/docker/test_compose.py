"""The compose files: valid, with nothing that is missing, and with no port beyond the host's loopback."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.configuration import load_settings
from tests.docker.programs import DOCKER, check
from tests.docker.test_image import load_as_image, stages

FILES = sorted(DOCKER.glob("compose*.yaml"))


def services(name: str = "compose.yaml") -> dict[str, dict[str, Any]]:
    content: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = content["services"]
    return services


def load(path: str) -> Any:
    return yaml.safe_load((DOCKER / path).read_text(encoding="utf-8"))


def mounts() -> dict[str, Path]:
    """What each path in a container is on the host, where it is a file or folder of the repository."""
    volumes = [volume.split(":") for service in services().values() for volume in service.get("volumes", [])]
    return {target: DOCKER / source for source, target, *_ in volumes if source.startswith(".")}


def on_host(path: str) -> Path:
    """Where a path in a container comes from."""
    target = max((target for target in mounts() if path.startswith(target)), key=len)
    return mounts()[target] / path.removeprefix(target).lstrip("/")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_compose_files_are_valid(file: Path) -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_built_is_a_target(file: Path) -> None:
    build = services(file.name)["tie"]["build"]

    assert build["target"] in stages()
    assert (DOCKER / build.get("context", "..") / build.get("dockerfile", "docker/Dockerfile")).is_file()


def test_what_is_mounted_is_there() -> None:
    assert mounts()
    assert all(path.exists() for path in mounts().values())


def test_every_port_is_on_loopback() -> None:
    ports = [port for service in services().values() for port in service["ports"]]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_other_images_are_of_an_exact_version() -> None:
    images = [service["image"] for service in services().values() if "build" not in service]

    assert all(image.rpartition(":")[2].removeprefix("v").count(".") == 2 for image in images), images


def test_the_server_accepts_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tie = services()["tie"]

    settings = load_as_image(monkeypatch, **tie["environment"])

    assert settings.server.is_public
    assert settings.server.allow_public
    assert tie["ports"] == [f"127.0.0.1:{settings.server.port}:{settings.server.port}"]
    assert tie["read_only"] is True
    assert float(tie["stop_grace_period"].removesuffix("s")) > load_settings().server.drain_seconds + 5


def test_prometheus_scrapes_the_server_by_a_name_that_it_answers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_as_image(monkeypatch, **services()["tie"]["environment"])

    (job,) = load("prometheus/prometheus.yml")["scrape_configs"]

    assert job["job_name"] == "tie"
    assert job["static_configs"] == [{"targets": [f"tie:{settings.server.port}"]}]
    assert "tie" in settings.server.allowed_hosts


def test_prometheus_accepts_its_configuration() -> None:
    check("promtool", "check", "config", "docker/prometheus/prometheus.yml")


def test_grafana_finds_its_dashboard_and_its_data() -> None:
    (provider,) = load("grafana/provisioning/dashboards/tie.yaml")["providers"]
    (source,) = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    dashboards = [json.loads(path.read_text("utf-8")) for path in on_host(provider["options"]["path"]).glob("*.json")]

    assert json.loads(on_host(home).read_text(encoding="utf-8")) in dashboards
    for dashboard in dashboards:
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services()
    assert source["jsonData"]["timeInterval"] == load("prometheus/prometheus.yml")["global"]["scrape_interval"]


def test_nobody_can_log_in_to_grafana_with_the_password_that_it_comes_with() -> None:
    environment = services()["grafana"]["environment"]

    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
