"""Several servers at one address: what needs the server of the first request is refused where nothing leads there."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.routes.openai import CHAT
from service.settings import ServerSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving

SESSION = {"x-session-id": "any value"}
BODY = {"prompt": PROMPT}
LASTING = {"on_disconnect": "continue"}
CHATTING = {"model": "tie", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    settings = fake_settings().model_copy(update={"server": ServerSettings(needs_session=True)})
    with serving(settings, FakeLoader()) as served:
        yield served


def error_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 400, response.text
    return dict(response.json()["error"])


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (GENERATE, BODY, {"idempotency-key": "1"}),
        (GENERATE, BODY | LASTING, {}),
        (CHAT, CHATTING, {"idempotency-key": "2"}),
        (CHAT, CHATTING | LASTING, {}),
    ],
)
def test_what_would_be_lost_is_refused_with_what_to_send(
    served: Served, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    error = error_of(served.client.post(path, json=body, headers=headers))

    assert error["code"] == "session_required"
    assert "send x-session-id" in error["message"]
    assert served.client.post(path, json=body, headers=headers | SESSION).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/events"), ("DELETE", "")])
def test_a_request_is_come_back_to_within_its_session_alone(served: Served, method: str, path: str) -> None:
    run = served.client.post(GENERATE, json=BODY, headers=SESSION).json()["id"]

    without = served.client.request(method, f"/v1/tie/requests/{run}{path}")
    within = served.client.request(method, f"/v1/tie/requests/{run}{path}", headers=SESSION)

    assert error_of(without)["code"] == "session_required"
    assert within.status_code == 200


def test_who_does_not_come_back_needs_no_session(served: Served) -> None:
    assert served.post(BODY).status_code == 200
    assert served.events(BODY)[-1]["type"] == "tie.completed"


def test_a_lone_server_asks_for_no_session() -> None:
    with serving(fake_settings(), FakeLoader()) as lone:
        run = lone.client.post(GENERATE, json=BODY | LASTING, headers={"idempotency-key": "1"}).json()["id"]

        assert lone.client.get(f"/v1/tie/requests/{run}").status_code == 200
