"""The Helm chart, by Helm's own code: it is linted and rendered, and what comes out is valid and fits the server."""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.kubernetes.apps.v1 import Deployment
from cloudcoil.models.kubernetes.core.v1 import ConfigMap, Service
from cloudcoil.models.kubernetes.policy.v1 import PodDisruptionBudget
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from cloudcoil.resources import Resource

import tie_core
from service.gate import is_known_host
from service.metrics import Metrics
from service.routes import ops
from service.settings import Settings
from tests.docker.programs import DOCKER, check
from tests.docker.test_image import load_as_image

CHART = DOCKER / "helm" / "tie-server"
KINDS: dict[str, type[Resource]] = {
    kind.__name__: kind
    for kind in (Deployment, Service, ConfigMap, PodDisruptionBudget, ServiceMonitor, PrometheusRule, ScaledObject)
}
POD_IP = "10.1.2.3"
ANYBODY: dict[str, Any] = {"auth": {"anybody": True}}
KEYS: dict[str, Any] = {"auth": {"keysSecret": "tie-keys"}}
EVERYTHING: dict[str, Any] = {
    "auth": {"keysSecret": "tie-keys"},
    "config": "[limits]\nmax_waiting = 64\n",
    "env": {"TIE_LIMITS__MAX_RUNNING": "16"},
    "modelsClaim": "checkpoints",
    "gpus": 2,
    "runtimeClassName": "nvidia",
    "sessions": "header",
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "authorization": {"secret": "scraper"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}
CHOICES = {"anybody": ANYBODY, "keys": KEYS, "everything": EVERYTHING}


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The objects of a release `demo` in the namespace `prod`, by their kinds."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="demo", namespace="prod")
    found = [yaml.safe_load(text) for path, text in texts.items() if path.endswith(".yaml")]
    return {each["kind"]: each for each in found if each}


def pod(values: dict[str, Any]) -> dict[str, Any]:
    return dict(rendered(values)["Deployment"]["spec"]["template"]["spec"])


def container(values: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(values)["containers"]
    return dict(only)


def settings_in_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, values: dict[str, Any]) -> Settings:
    """As the server in the pod reads them: variables that name others are filled in as a kubelet does."""
    variables = {each["name"]: each.get("value", POD_IP) for each in container(values)["env"]}
    variables = {name: value.replace("$(POD_IP)", POD_IP) for name, value in variables.items()}
    if "TIE_CONFIG" in variables:
        config = tmp_path / "tie.toml"
        config.write_text(rendered(values)["ConfigMap"]["data"]["tie.toml"], encoding="utf-8")
        variables["TIE_CONFIG"] = str(config)
    return load_as_image(monkeypatch, **variables)


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_helm_has_nothing_to_say(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True)

    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_every_object_is_of_its_kind_and_has_no_field_that_this_does_not_know(values: dict[str, Any]) -> None:
    for kind, written in rendered(values).items():
        read = KINDS[kind].model_validate(written)

        assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == written


def test_what_is_not_asked_for_is_not_there() -> None:
    assert set(rendered(ANYBODY)) == {"Deployment", "Service", "PodDisruptionBudget"}
    assert set(rendered(EVERYTHING)) == set(KINDS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "say who may ask"),
        ({"auth": {"anybody": True, "keysSecret": "tie-keys"}}, "one of the two"),
        (KEYS | {"serviceMonitor": {"enabled": True}}, "set serviceMonitor.authorization.secret"),
        (ANYBODY | {"autoscaling": {"enabled": True, "minReplicas": 5}}, "minReplicas exceeds"),
        (ANYBODY | {"replica": 2}, "replica"),
        (ANYBODY | {"sessions": "cookie"}, "sessions"),
        (ANYBODY | {"env": {"TIE_SERVER__DRAIN_SECONDS": "600"}}, "TIE_SERVER__DRAIN_SECONDS"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm.HelmError, match=words), helm.Chart.load(CHART) as chart:
        chart.render(values, name="demo", namespace="prod")


def test_the_schema_knows_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    assert _names(values) == _known(schema) - {"global"}


def _names(values: dict[str, Any], path: str = "") -> set[str]:
    found = {path + name for name in values}
    for name, value in values.items():
        if isinstance(value, dict) and name != "resources":
            found |= _names(value, f"{path}{name}.")
    return found


def _known(schema: dict[str, Any], path: str = "") -> set[str]:
    found = {path + name for name in schema.get("properties", {})}
    for name, part in schema.get("properties", {}).items():
        if name != "resources":
            found |= _known(part, f"{path}{name}.")
    return found


def test_a_pod_needs_no_rights_and_writes_nowhere_but_in_tmp() -> None:
    for values in CHOICES.values():
        spec, only = pod(values), container(values)

        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        assert only["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")] == ["/tmp"]
        assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_probes_ask_what_the_server_answers() -> None:
    only = container(ANYBODY)
    paths = {getattr(route, "path", None) for route in ops.router.routes}

    assert only["livenessProbe"]["httpGet"] == only["startupProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert {"/livez", "/readyz"} <= paths
    assert only["ports"] == [{"name": "http", "containerPort": 8000}]


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
def test_a_pod_is_given_the_time_that_its_server_takes_to_drain(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = values | {"drainSeconds": 120, "deregisterSeconds": 7}

    settings = settings_in_pod(monkeypatch, tmp_path, values)

    assert settings.server.drain_seconds == 120
    assert container(values)["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "7"]}}
    assert pod(values)["terminationGracePeriodSeconds"] > 7 + 120 + 5


def test_the_server_accepts_what_it_is_told_for_anybody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {"auth": {"anybody": True, "allowedHosts": ["tie.example.org"]}}

    server = settings_in_pod(monkeypatch, tmp_path, values).server

    assert server.allow_public
    for host in (f"{POD_IP}:8000", "demo-tie-server", "demo-tie-server.prod.svc:8000", "tie.example.org", "127.0.0.1"):
        assert is_known_host(server, host, has_keys=False), host
    assert not is_known_host(server, "elsewhere.example.org", has_keys=False)
    assert not server.needs_session


def test_the_server_accepts_what_it_is_told_with_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = settings_in_pod(monkeypatch, tmp_path, EVERYTHING)

    mounts = {mount["name"]: mount["mountPath"] for mount in container(EVERYTHING)["volumeMounts"]}
    assert settings.auth.keys_file == Path(mounts["keys"], "keys.toml")
    assert not settings.server.allow_public
    assert settings.server.needs_session
    assert (settings.limits.max_running, settings.limits.max_waiting) == (16, 64)


def test_a_long_name_of_a_release_makes_names_that_kubernetes_takes() -> None:
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(EVERYTHING, name="a" * 52 + "-", namespace="prod")
    objects = [read for text in texts.values() if isinstance(read := yaml.safe_load(text), dict)]

    names = {each["metadata"]["name"] for each in objects if "metadata" in each}
    assert len(objects) > 5
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)] == []


def test_a_session_is_one_address_or_somebody_elses_business() -> None:
    assert rendered(ANYBODY)["Service"]["spec"]["sessionAffinity"] == "ClientIP"
    assert "sessionAffinity" not in rendered(EVERYTHING)["Service"]["spec"]


def test_gpus_are_asked_for_where_there_are_some() -> None:
    assert container(EVERYTHING)["resources"]["limits"] == {"memory": "2Gi", "nvidia.com/gpu": "2"}
    assert container(ANYBODY)["resources"]["limits"] == {"memory": "2Gi"}


def test_another_configuration_starts_other_pods() -> None:
    def annotations(values: dict[str, Any]) -> Any:
        return rendered(values)["Deployment"]["spec"]["template"]["metadata"]["annotations"]

    assert annotations(ANYBODY) == annotations(ANYBODY | {"replicas": 3})
    assert annotations(ANYBODY) != annotations(ANYBODY | {"config": "[limits]\nmax_waiting = 1\n"})


def test_the_rules_are_those_of_the_one_file_of_alerts(tmp_path: Path) -> None:
    alerts = DOCKER / "prometheus" / "alerts.yml"
    archive = helm.package(CHART, destination=tmp_path)

    assert (CHART / "alerts.yml").is_symlink()
    assert rendered(EVERYTHING)["PrometheusRule"]["spec"] == yaml.safe_load(alerts.read_text(encoding="utf-8"))
    with tarfile.open(str(archive)) as packed:
        inside = packed.extractfile("tie-server/alerts.yml")
        assert inside is not None
        assert inside.read() == alerts.read_bytes()


def test_runbooks_are_links_once_it_is_said_where_they_are() -> None:
    page = "https://docs.example.org/tie/operations.html"
    there = EVERYTHING | {"prometheusRule": {"enabled": True, "runbook": page}}

    rules = rendered(there)["PrometheusRule"]["spec"]["groups"][0]["rules"]

    assert {each["annotations"]["runbook"] for each in rules} == {f"{page}#{each['alert'].lower()}" for each in rules}


@pytest.mark.parametrize(
    "page", ["operations.html", "https://x/\\n", "https://x/{{.Value}}", 'https://x/"', "https://x/#y"]
)
def test_a_runbook_that_is_no_plain_address_is_refused(page: str) -> None:
    with pytest.raises(helm.HelmError, match="runbook"):
        rendered(EVERYTHING | {"prometheusRule": {"enabled": True, "runbook": page}})


@pytest.mark.parametrize(
    ("scales", "is_scraped"), [(False, False), (False, True), (True, False), (True, True)], ids=str
)
def test_who_scales_by_what_nobody_scrapes_is_told(scales: bool, is_scraped: bool) -> None:
    asked = ANYBODY | {"autoscaling": {"enabled": scales}, "serviceMonitor": {"enabled": is_scraped}}
    with helm.Chart.load(CHART) as chart:
        (notes,) = [
            text for path, text in chart.render(asked, name="demo", namespace="prod").items() if "NOTES" in path
        ]

    assert ("serviceMonitor.enabled=true" in notes) == (scales and not is_scraped)
    assert ('namespace="prod" and service="demo-tie-server"' in notes) == (scales and not is_scraped)


def test_prometheus_finds_every_pod_under_the_name_that_the_alerts_go_by() -> None:
    objects = rendered(EVERYTHING)
    (endpoint,) = objects["ServiceMonitor"]["spec"]["endpoints"]

    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "tie"}]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in [port["name"] for port in objects["Service"]["spec"]["ports"]]
    assert endpoint["authorization"] == {"credentials": {"name": "scraper", "key": "key"}}
    wanted = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= objects["Service"]["metadata"]["labels"].items()


def test_all_selectors_find_the_pods_and_none_changes_with_the_version() -> None:
    objects = rendered(EVERYTHING)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Service"]["spec"]["selector"],
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]

    for selector in selectors:
        assert selector == {"app.kubernetes.io/name": "tie-server", "app.kubernetes.io/instance": "demo"}
        assert selector.items() <= labels.items()


def test_the_queue_scales_what_is_deployed(tmp_path: Path) -> None:
    objects = rendered(EVERYTHING)
    spec = objects["ScaledObject"]["spec"]
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]

    assert spec["scaleTargetRef"]["name"] == objects["Deployment"]["metadata"]["name"]
    assert "replicas" not in objects["Deployment"]["spec"]
    assert [trigger["metadata"]["ignoreNullValues"] for trigger in spec["triggers"]] == ["false", "false"]
    pods = '{job="tie",namespace="prod",service="demo-tie-server"}'
    assert queries == [f"sum(tie_requests_waiting{pods})", f"sum(tie_requests_running{pods})"]
    rules = [{"record": f"tie:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "scaling", "rules": rules}]}), encoding="utf-8")
    check("promtool", "check", "rules", file)


def test_what_scales_is_a_metric() -> None:
    exposed = Metrics().exposition().decode()

    assert "# TYPE tie_requests_waiting gauge" in exposed
    assert "# TYPE tie_requests_running gauge" in exposed


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["version"] == chart["appVersion"] == tie_core.__version__
