"""The command `tie`: what it prints where, its exit codes, and that nobody meets a traceback."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import tie_core
from service import client
from service.commands import asking
from service.configuration import load_settings
from service.keys import KeyEntry, KeysFile, add_key
from service.settings import AuthSettings, Settings
from tests.service import story
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving
from tests.service.terminal import invoke, run_main
from tie_core.errors import MemberError, RequestError, TieError
from tie_core.events import Completed, Event, Failed, event_data
from tie_core.options import TieOptions

Said = list[tuple[str, dict[str, Any]]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Offline requests are answered by the story; what was asked is kept here."""
    kept: dict[str, Any] = {}

    class ToldEnsemble:
        def generate(self, **request: Any) -> Iterator[Event]:
            kept.update(request)
            return iter(story.events())

    def load(settings: object, chosen: object, names: list[str]) -> ToldEnsemble:
        kept["loaded"] = names
        return ToldEnsemble()

    monkeypatch.setattr(asking, "load_ensemble", load)
    return kept


def read_entries(file: Path) -> list[KeyEntry]:
    return KeysFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).keys


def test_run_prints_the_answer_alone(asked: dict[str, Any]) -> None:
    result = invoke("run", story.PROMPT)

    assert result.exit_code == 0
    assert result.stdout == f"{story.ANSWER}\n"
    assert asked["messages"] == [{"role": "user", "content": story.PROMPT}]
    assert asked["detail"] == "round"


def test_rounds_go_to_stderr(asked: dict[str, Any]) -> None:
    result = invoke("run", story.PROMPT, "--rounds")

    assert result.stdout == f"{story.ANSWER}\n"
    assert re.findall(r"^round (\d)", result.stderr, re.MULTILINE) == ["1", "2", "3"]


def test_json_is_the_whole_result(asked: dict[str, Any]) -> None:
    result = invoke("run", story.PROMPT, "--json")

    assert json.loads(result.stdout) == json.loads(json.dumps(event_data(story.completed())))


def test_watch_in_a_pipe_is_readable_and_ends_with_the_answer(asked: dict[str, Any]) -> None:
    result = invoke("run", story.PROMPT, "--watch")

    assert asked["detail"] == "step"
    assert len(re.findall(r"^round \d", result.stdout, re.MULTILINE)) == 3
    assert f"answer: {story.ANSWER}" in result.stdout.splitlines()
    assert "\x1b" not in result.stdout


def test_a_raw_prompt_is_passed_as_it_is(asked: dict[str, Any]) -> None:
    invoke("run", "1 + 1 =", "--raw")

    assert asked["prompt"] == "1 + 1 ="
    assert "messages" not in asked


def test_options_reach_the_library_by_its_names(asked: dict[str, Any]) -> None:
    options = ["--task", "math", "--score", "top1", "--interval", "4", "--policy", "threshold"]

    invoke("run", story.PROMPT, "--models", "zoo-dream, zoo-llada", *options)

    assert asked["models"] == asked["loaded"] == ["zoo-dream", "zoo-llada"]
    named = {name: asked[name] for name in ("task", "score", "interval", "policy")}
    assert named == {"task": "math", "score": "top1", "interval": 4, "policy": "threshold"}
    assert TieOptions(gen_length=64, answer=8, **named)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "zoo-dream,other"], "models: tie has zoo-llada, zoo-dream, zoo-qwen3, not other"),
        (["--ensemble", "other"], "there is no ensemble other: the configuration has tie"),
        (["--watch", "--json"], "--watch and --json both want stdout"),
        (["--config", "nowhere.toml"], "the configuration nowhere.toml cannot be read"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    asked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run_main(monkeypatch, "run", story.PROMPT, *arguments)

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("tie: ")
    assert message in captured.err


def test_a_member_that_fails_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemberError("model pair gave logits\nthat are not finite [red]")

    monkeypatch.setattr(asking, "load_ensemble", fail)

    code = run_main(monkeypatch, "run", story.PROMPT)

    assert code == 1
    assert capsys.readouterr().err == "tie: model pair gave logits that are not finite [red]\n"


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_printed(arguments: list[str]) -> None:
    assert invoke(*arguments).stdout == f"tie-server {tie_core.__version__}\n"


def test_models_lists_members_and_ensembles() -> None:
    result = invoke("models")

    assert re.search(r"^zoo-llada +llada +.*float32 +cpu", result.stdout, re.MULTILINE)
    assert re.search(r"^zoo-dream +dream +.*float32 +cpu", result.stdout, re.MULTILINE)
    assert re.search(r"^tie +zoo-llada, zoo-dream, zoo-qwen3", result.stdout, re.MULTILINE)


def test_models_as_json_has_what_the_files_say() -> None:
    told = json.loads(invoke("models", "--json").stdout)

    by_name = {model["name"]: model for model in told["models"]}
    assert by_name["zoo-llada"]["mask_id"] < by_name["zoo-llada"]["vocabulary"]
    assert by_name["zoo-llada"]["tokenizer"] != by_name["zoo-dream"]["tokenizer"]
    assert [ensemble["name"] for ensemble in told["ensembles"]] == ["tie"]


def test_a_folder_that_cannot_be_used_is_listed_with_the_reason(tmp_path: Path) -> None:
    config = tmp_path / "tie.toml"
    config.write_text(f'[[models]]\nname = "broken"\npath = "{tmp_path}"\n')

    (model,) = json.loads(invoke("models", "--json", "--config", str(config)).stdout)["models"]

    assert "config.json is missing" in model["error"]
    assert invoke("models", "--config", str(config)).exit_code == 0


IMPORTED = """
import sys
from service.cli import main
try:
    main()
finally:
    print(*sorted({"numpy", "torch", "transformers"} & sys.modules.keys()), file=sys.stderr)
"""


def imported_by(folder: Path, *arguments: str) -> list[str]:
    """Which of the large libraries a command needs."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["version"], ["keys", "new", "alice", "--file", "keys.toml"]]
)
def test_a_command_that_reads_no_model_is_soon_there(arguments: list[str], tmp_path: Path) -> None:
    assert imported_by(tmp_path, *arguments) == []


def test_asking_a_server_needs_no_model_library(tmp_path: Path) -> None:
    with answering(200, stream(*story.events())) as (url, said):
        assert imported_by(tmp_path, "run", story.PROMPT, "--server", url, "--watch") == []
        assert imported_by(tmp_path, "bench", "--server", url) == []
    assert len(said) == 2


def test_models_are_listed_without_torch(tmp_path: Path) -> None:
    assert "torch" not in imported_by(tmp_path, "models")


def test_serve_announces_the_real_port_and_returns_the_servers_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from service import server

    def serve(settings: Any, *, announce: Any, announce_ready: Any) -> int:
        for tell in (announce, announce_ready):
            tell(f"http://{settings.server.host}:{settings.server.port or 4242}")
        return 3

    monkeypatch.setattr(server, "serve", serve)

    assert run_main(monkeypatch, "serve", "--port", "0") == 3
    listening, ready = capsys.readouterr().out.splitlines()
    assert "http://127.0.0.1:4242 " in listening
    assert ready == "ready: open http://127.0.0.1:4242/"


def test_a_new_key_is_printed_once_and_lets_its_owner_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"

    made = invoke("keys", "new", "alice", "--file", str(file))

    key = made.stdout.strip()
    assert made.exit_code == 0
    assert key.startswith("tie-")
    assert key not in file.read_text(encoding="utf-8")
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        given = {"authorization": f"Bearer {key}"}
        assert served.client.get("/v1/models", headers=given).status_code == 200
        assert served.client.get("/v1/models").status_code == 401


def test_a_new_key_goes_to_the_file_of_the_configuration(tmp_path: Path) -> None:
    config, file = tmp_path / "tie.toml", tmp_path / "keys.toml"
    config.write_text(f"[auth]\nkeys_file = '{file}'", encoding="utf-8")

    names = [invoke("keys", "new", name, "--config", str(config)).exit_code for name in ("alice", "bob")]

    assert names == [0, 0]
    assert [each.name for each in read_entries(file)] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["alice"], "--file"),
        (["taken", "--file", "keys.toml"], "already"),
        (["two words", "--file", "keys.toml"], "letters"),
        (["alice", "--file", "nowhere/keys.toml"], "cannot be written"),
    ],
)
def test_a_key_that_cannot_be_made_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    invoke("keys", "new", "taken", "--file", "keys.toml")

    assert run_main(monkeypatch, "keys", "new", *arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert named in said.err


# A server on the other side


def wire(event: Event, sequence: int = 0) -> bytes:
    data = {"type": event.type, "seq": sequence, "t_ms": 1.5, "field_of_tomorrow": 1}
    if isinstance(event, Failed):
        data |= {"error": {"message": str(event.error), "type": "server_error", "param": None, "code": "x"}}
    else:
        data |= event_data(event)
    return f"event: {event.type}\r\nid: {sequence}\r\ndata: {json.dumps(data)}\r\n\r\n".encode()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, Said]]:
    """A server that gives one answer to everything, and what it was sent."""
    said: Said = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            said.append((self.path, json.loads(sent)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", said
        finally:
            server.shutdown()
            thread.join()


def stream(*events: Event) -> bytes:
    strange = b': ping\r\n\r\nevent: tie.tomorrow\r\ndata: {"type": "tie.tomorrow"}\r\n\r\n'
    return strange.join(wire(event, sequence) for sequence, event in enumerate(events))


def test_a_servers_stream_gives_the_librarys_events() -> None:
    with answering(200, stream(*story.events())) as (url, said):
        events = list(client.server_events(url + "/", {"prompt": "x"}))

    assert events == story.events()
    assert said == [("/v1/tie/generate", {"prompt": "x", "stream": True})]


@pytest.mark.parametrize("shorten", [lambda url: url.removeprefix("http://"), lambda url: url + "/v1/"])
def test_a_server_may_be_named_as_people_do(shorten: Callable[[str], str]) -> None:
    with answering(200, stream(*story.events())) as (url, said):
        events = list(client.server_events(shorten(url), {"prompt": "x"}))

    assert events == story.events()
    assert said[0][0] == "/v1/tie/generate"


def test_a_run_on_a_server_asks_by_the_routes_names() -> None:
    with answering(200, stream(*story.events())) as (url, said):
        result = invoke(
            "run",
            story.PROMPT,
            "--server",
            url,
            "--watch",
            "--score",
            "top1",
            "--policy",
            "threshold",
            "--fill-end",
            "--early-commit",
            "--ensemble",
            "e",
        )

    assert f"answer: {story.ANSWER}" in result.stdout
    assert said[0][1] == {
        "messages": [{"role": "user", "content": story.PROMPT}],
        "ensemble": "e",
        "events": "step",
        "tie": {"score": "top1"},
        "unmasking": {"policy": "threshold", "fill_end": True},
        "early_commit": True,
        "stream": True,
    }


def test_a_run_on_a_real_server_can_be_watched() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        result = invoke("run", story.PROMPT, "--server", served.url, "--watch")

    rounds = re.findall(r"^round (\d+)", result.stdout, re.MULTILINE)
    assert rounds == [str(number) for number in range(1, len(rounds) + 1)]
    assert rounds
    assert re.search(r"^answer: \d+$", result.stdout, re.MULTILINE)
    assert re.search(r"^from zoo-\w+ by lowest_tcc", result.stdout, re.MULTILINE)


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a server that asks for keys, and one of them."""
    file = tmp_path / "keys.toml"
    key = add_key(file, "alice")
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        yield served.url, key


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_server_that_asks_for_a_key_is_given_it(
    keyed: tuple[str, str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = keyed
    given = ["--api-key", key] if way == "option" else []
    if way == "variable":
        monkeypatch.setenv("TIE_API_KEY", key)

    result = invoke("run", story.PROMPT, "--server", url, "--watch", *given)

    assert re.search(r"^answer: \d+$", result.stdout, re.MULTILINE)
    assert key not in result.stdout + result.stderr


@pytest.mark.parametrize("key", ["", "tie-wrong", "tie-tv\nX-Evil: 1", "tie-€"])
def test_a_key_that_opens_nothing_is_one_line_that_does_not_show_it(
    keyed: tuple[str, str], key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIE_API_KEY", key)

    assert run_main(monkeypatch, "run", story.PROMPT, "--server", keyed[0]) in (1, 2)

    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "TIE_API_KEY" in told.err or "visible ASCII" in told.err
    assert not key or key.splitlines()[0] not in told.err


def test_a_key_follows_no_redirect_to_another_server() -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(303)
            self.send_header("location", f"http://127.0.0.1:{other.server_port}/")
            self.end_headers()

        def do_GET(self) -> None:
            seen.append(self.headers.get("authorization"))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    seen: list[str | None] = []
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as named, HTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threads = [threading.Thread(target=server.handle_request) for server in (named, other)]
        for thread in threads:
            thread.start()
        with pytest.raises(TieError, match="before it was complete"):
            list(client.server_events(f"http://127.0.0.1:{named.server_port}", {"prompt": "x"}, "tie-secret"))
        for thread in threads:
            thread.join()

    assert seen == [None]


def test_a_server_needs_no_settings_but_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_API_KEY", "tie-secret")

    assert load_settings() == Settings()


def error_body(kind: str, param: str | None = None) -> bytes:
    error: Mapping[str, Any] = {"message": "no such score", "type": kind, "param": param, "code": "c"}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, error_body("invalid_request_error", "tie.score"), 2, "tie.score: no such score"),
        (503, error_body("service_unavailable_error"), 1, "HTTP 503: no such score"),
        (404, b"<html>", 1, "HTTP 404: is it a TIE server?"),
        (200, b"", 1, "ended its answer before it was complete"),
        (200, stream(story.created()), 1, "ended its answer before it was complete"),
        (200, b"data: {broken\r\n\r\n", 1, "an event that is no JSON"),
        (200, b'data: {"type": "tie.step"}\r\n\r\n', 1, "tie.step event is not understood (round)"),
        (200, stream(story.created(), Failed(MemberError("it broke"))), 1, "it broke"),
    ],
)
def test_what_a_server_refuses_or_breaks_is_one_line(
    status: int,
    body: bytes,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(status, body) as (url, _):
        assert run_main(monkeypatch, "run", story.PROMPT, "--server", url) == code

    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://["])
def test_a_server_that_is_not_there_is_one_line(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "run", story.PROMPT, "--server", url) == 1
    assert capsys.readouterr().err.startswith(f"tie: no TIE server answers at {url}: ")


def test_events_are_read_ahead_of_a_slow_reader() -> None:
    produced: list[Event] = []

    def produce() -> Iterator[Event]:
        for event in story.events():
            produced.append(event)
            yield event

    events = client.ahead(produce())
    first = next(events)
    deadline = time.monotonic() + 10
    while len(produced) < len(story.events()) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert produced == story.events()
    assert [first, *events] == produced


def test_errors_pass_through_reading_ahead() -> None:
    def produce() -> Iterator[Event]:
        yield story.created()
        raise RequestError("score", "no such score")

    events = client.ahead(produce())

    assert next(events) == story.created()
    with pytest.raises(RequestError, match="no such score"):
        next(events)


def test_the_result_of_a_server_is_a_completed_event() -> None:
    data = {"type": Completed.type, **json.loads(json.dumps(asdict(story.completed())))}

    assert client.event_of(data) == story.completed()


@pytest.mark.parametrize("data", [{}, {"type": None}, {"type": "tie.tomorrow"}])
def test_types_that_are_not_known_are_left_out(data: Mapping[str, Any]) -> None:
    assert client.event_of(data) is None


def test_an_error_event_without_a_reason_is_still_an_error() -> None:
    event = client.event_of({"type": "tie.error", "error": None})

    assert isinstance(event, Failed)
    assert isinstance(event.error, TieError)
