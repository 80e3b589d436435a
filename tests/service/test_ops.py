"""What an operator asks: aliases of the probes, what is loaded, and the API's page without any network."""

import re
from collections.abc import Iterator

import pytest

from service.page import assets
from tests.service.fakes import NAMES, FakeLoader, fake_settings
from tests.service.served import Served, serving, wait_until


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


@pytest.mark.parametrize(
    ("path", "alias"), [("/livez", "/v2/health/live"), ("/readyz", "/v2/health/ready"), ("/readyz", "/health")]
)
def test_aliases_answer_alike(served: Served, path: str, alias: str) -> None:
    one, other = served.client.get(path), served.client.get(alias)

    assert (one.status_code, one.json()) == (other.status_code, other.json()) == (200, one.json())


def test_a_server_says_when_its_models_are_loaded() -> None:
    loader, told = FakeLoader(), list[str]()
    loader.gate.clear()
    with serving(fake_settings(), loader, until_ready=False) as served:
        served.server.on_ready = lambda: told.append(served.service.lifecycle.phase)
        loader.gate.set()
        wait_until(lambda: bool(told))
    assert told == ["ready"]


def test_aliases_are_not_ready_while_loading() -> None:
    loader = FakeLoader()
    loader.gate.clear()
    with serving(fake_settings(), loader, until_ready=False) as served:
        assert served.client.get("/v2/health/live").status_code == 200
        assert served.client.get("/v2/health/ready").status_code == 503
        assert served.client.get("/info").status_code == 503
        loader.gate.set()


def test_a_probe_that_says_no_is_no_error_of_a_request() -> None:
    loader = FakeLoader()
    loader.gate.clear()
    with serving(fake_settings(), loader, until_ready=False) as served:
        for path in ("/readyz", "/health", "/v2/health/ready"):
            assert served.client.get(path).json()["error"]["code"] == "loading"
        assert served.metric("tie_request_errors_total", type="service_unavailable_error") == 0

        assert served.post({"prompt": "rev 3"}).status_code == 503
        wait_until(lambda: served.metric("tie_request_errors_total", type="service_unavailable_error") == 1)
        assert [line["error"] for line in served.lines if line.get("route") == "/readyz"] == ["loading"]
        loader.gate.set()


def test_info_tells_every_member_and_ensemble(served: Served) -> None:
    info = served.client.get("/info").json()

    assert [member["name"] for member in info["members"]] == list(NAMES)
    for member in info["members"]:
        assert member["device"] == "cpu"
        assert member["dtype"] == "float32"
        assert member["state"] == "ready"
        assert re.fullmatch("[0-9a-f]{64}", member["tokenizer"])
        assert member["memory"]["weights_bytes"] > 0
        assert member["budget"]["max_positions"] is None or member["budget"]["max_positions"] > 0
    assert info["ensembles"] == [{"name": "tie", "members": list(NAMES)}]
    assert info["requests"] == {"running": 0, "waiting": 0}


def test_the_page_of_the_api_needs_nothing_from_elsewhere(served: Served) -> None:
    page = served.client.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "<script>" not in page.text
    assert "http" not in "".join(links)
    for link in links:
        if not link.startswith("data:"):
            file = served.client.get(f"/{link}")
            assert file.status_code == 200
            assert file.headers["content-security-policy"] == policy
            assert file.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")


def test_the_playground_is_made_of_its_own_files_alone(served: Served) -> None:
    page = served.client.get("/")
    links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    policy = page.headers["content-security-policy"]

    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= {
        *policy.split("; ")
    }
    assert not re.search(r"<script(?![^>]*src)|<style|\sstyle=|\son\w+=", page.text)
    for name, content in assets().items():
        file = served.client.get(f"/page/{name}")
        assert (file.status_code, file.content) == (200, content)
        assert file.headers["content-security-policy"] == policy
        assert file.headers["x-content-type-options"] == "nosniff"
    assert {f"page/{name}" for name in ("main.js", "style.css", "icon.svg")} | {"docs"} == {*links}


@pytest.mark.parametrize("path", ["/page/other.js", "/page/..%2Fapp.py", "/page/__init__.py", "/page/", "/index.html"])
def test_the_playground_has_no_other_files(served: Served, path: str) -> None:
    assert served.client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/docs/other.js", "/docs/..%2F..%2Fpyproject.toml", "/docs/__init__.py"])
def test_the_page_has_no_other_files(served: Served, path: str) -> None:
    assert served.client.get(path).status_code == 404


def test_the_api_lists_every_route_of_the_contract(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]

    assert {
        "/v1/tie/generate",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/models/{name}",
        "/livez",
        "/readyz",
        "/health",
        "/v2/health/live",
        "/v2/health/ready",
        "/metrics",
        "/version",
        "/info",
    } <= set(paths)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"])
def test_a_probe_may_ask_for_the_head_alone(served: Served, path: str) -> None:
    response = served.client.head(path)

    assert (response.status_code, response.content) == (200, b"")


def test_what_is_loaded_is_told_while_draining() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        served.service.runs.shut()

        for path in ("/info", "/v1/models", "/v1/models/tie"):
            assert served.client.get(path).status_code == 200
        assert served.post({"prompt": "rev 3"}).json()["error"]["code"] == "draining"
