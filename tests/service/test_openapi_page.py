"""What /openapi.json says that no test of a route says: who is let in, what is refused, which headers are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.gate import PROBES
from service.keys import add_key
from service.settings import AuthSettings, ServerSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving

EVENTS = "/v1/tie/requests/{id}/events"


def page_of(**sections: Any) -> dict[str, Any]:
    return create_app(fake_settings(**sections), FakeLoader()).openapi()


@pytest.fixture
def auth(tmp_path: Path) -> AuthSettings:
    add_key(tmp_path / "keys.toml", "mine")
    return AuthSettings(keys_file=tmp_path / "keys.toml")


def operations(page: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in page["paths"].items():
        for operation in methods.values():
            yield path, operation


def paths_with(page: dict[str, Any], status: str) -> set[str]:
    return {path for path, operation in operations(page) if status in operation["responses"]}


def posts(page: dict[str, Any]) -> set[str]:
    return {path for path, methods in page["paths"].items() if "post" in methods}


def parameters(operation: dict[str, Any]) -> set[tuple[str, str]]:
    return {(parameter["name"], parameter["in"]) for parameter in operation.get("parameters", [])}


def test_every_route_but_the_probes_asks_for_a_key_where_there_are_keys(auth: AuthSettings) -> None:
    page = page_of(auth=auth)
    without = page_of()

    (name,) = page["components"]["securitySchemes"]
    assert page["components"]["securitySchemes"][name].items() >= {"type": "http", "scheme": "bearer"}.items()
    guarded = {path for path, operation in operations(page) if operation.get("security") == [{name: []}]}
    assert guarded == paths_with(page, "401") == page["paths"].keys() - PROBES
    assert "securitySchemes" not in without["components"]
    assert not [path for path, operation in operations(without) if "security" in operation]
    assert paths_with(without, "401") == set()


def test_open_metrics_ask_for_no_key(auth: AuthSettings) -> None:
    page = page_of(auth=auth.model_copy(update={"open_metrics": True}))

    operation = page["paths"]["/metrics"]["get"]
    assert ("security" in operation, "401" in operation["responses"]) == (False, False)


def test_what_the_gate_refuses_is_told_where_it_may_come(auth: AuthSettings) -> None:
    keyed, open_to_all = page_of(auth=auth), page_of()
    named = page_of(auth=auth, server=ServerSettings(allowed_hosts=["tie.example"]))
    shut = keyed["paths"].keys() - PROBES

    assert paths_with(open_to_all, "421") == paths_with(named, "421") == shut
    assert paths_with(keyed, "421") == set()
    assert paths_with(keyed, "503") >= shut
    assert paths_with(keyed, "429") == posts(keyed) | {EVENTS}
    assert paths_with(open_to_all, "429") == {EVENTS}
    assert paths_with(keyed, "422") == set()


def test_every_error_on_the_page_has_the_one_shape_and_says_when_to_come_back(auth: AuthSettings) -> None:
    for _, operation in operations(page_of(auth=auth)):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            assert response["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            assert ("retry-after" in response.get("headers", {})) == (status in ("429", "503"))
            assert ("www-authenticate" in response.get("headers", {})) == (status == "401")


def test_the_headers_that_routes_read_are_told() -> None:
    page = page_of()

    for path in posts(page):
        assert ("Idempotency-Key", "header") in parameters(page["paths"][path]["post"])
    followed = parameters(page["paths"][EVENTS]["get"])
    assert followed == {
        ("id", "path"),
        ("starting_after", "query"),
        ("Last-Event-ID", "header"),
        ("X-Session-Id", "header"),
        ("events", "query"),
    }


def test_the_body_that_the_page_shows_is_answered() -> None:
    settings = fake_settings()
    settings = settings.model_copy(update={"ensembles": [settings.ensembles[0].model_copy(update={"name": "other"})]})
    with serving(settings, FakeLoader()) as served:
        page = served.client.get("/openapi.json").json()
        statuses = {}
        for path in posts(page):
            content = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            name = content["schema"]["$ref"].rpartition("/")[2]
            (example,) = page["components"]["schemas"][name]["examples"]
            statuses[path] = served.client.post(path, json=example).status_code

    assert statuses == {"/v1/tie/generate": 200, "/v1/chat/completions": 200, "/v1/completions": 200}
