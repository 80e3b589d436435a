"""Runs as files: what `tie run --save` writes is what `tie replay`, the playground and curl understand."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service import display
from service.commands import asking
from service.recording import MAX_POSITIONS, RecordingError, read_recording, recorded
from tests.service import story
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving
from tests.service.terminal import invoke, run_main
from tie_core.errors import MemberError
from tie_core.events import Event, Failed, event_data

BODY = {"messages": [{"role": "user", "content": story.PROMPT}]}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "run.ndjson"
    list(recorded(story.events(), file, BODY))
    return file


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_what_is_read_is_what_was_written(saved: Path) -> None:
    recording = read_recording(saved)

    assert recording.prompt == story.PROMPT
    assert list(recording.events) == story.events()


def test_a_file_begins_with_the_request_and_numbers_its_events(saved: Path) -> None:
    request, *events = lines(saved)

    assert request == {"type": "page.request", "body": BODY}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["t_ms"] >= 0 for event in events)


def test_a_run_that_failed_says_so_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.ndjson"
    events = [story.created(), Failed(MemberError("model pair broke"))]
    list(recorded(events, file, BODY))

    assert lines(file)[-1]["error"]["type"] == "server_error"
    assert run_main(monkeypatch, "replay", str(file)) == 1


def test_run_saves_every_step_beside_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ToldEnsemble:
        def generate(self, **request: Any) -> Any:
            assert request["detail"] == "step"
            return iter(story.events())

    monkeypatch.setattr(asking, "load_ensemble", lambda *_: ToldEnsemble())
    file = tmp_path / "run.ndjson"

    result = invoke("run", story.PROMPT, "--score", "top1", "--save", str(file))

    assert result.stdout == f"{story.ANSWER}\n"
    assert lines(file)[0]["body"] == BODY | {"tie": {"score": "top1"}}
    assert list(read_recording(file).events) == story.events()


def test_a_run_that_does_not_begin_leaves_the_file_as_it_was(saved: Path) -> None:
    def refused() -> Iterator[Event]:
        raise MemberError("nobody answers")
        yield

    before = saved.read_bytes()

    with pytest.raises(MemberError):
        list(recorded(refused(), saved, BODY))
    assert saved.read_bytes() == before
    list(recorded(story.events()[:2], saved, BODY))
    assert [line["type"] for line in lines(saved)] == ["page.request", *(each.type for each in story.events()[:2])]


def test_replay_shows_what_watch_shows(saved: Path) -> None:
    output = io.StringIO()
    display.tell(story.events(), story.PROMPT, Console(file=output, width=80))

    assert invoke("replay", str(saved)).stdout == output.getvalue()


def test_replay_as_json_is_the_result(saved: Path) -> None:
    told = json.loads(invoke("replay", str(saved), "--json").stdout)

    assert told == json.loads(json.dumps(event_data(story.completed())))


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
def test_what_curl_saved_of_a_server_can_be_replayed(accept: str, tmp_path: Path) -> None:
    file = tmp_path / "curl.txt"
    with serving(fake_settings(), FakeLoader()) as served:
        body = BODY | {"events": "step"}
        response = served.post(body, headers={"accept": accept})
    file.write_text(response.text, encoding="utf-8")

    result = invoke("replay", str(file))

    assert result.exit_code == 0
    assert re.search(r"^answer: \d+$", result.stdout, re.MULTILINE)


def test_a_dash_is_standard_input(saved: Path) -> None:
    result = invoke("replay", "-", "--json", input=saved.read_text(encoding="utf-8"))

    assert json.loads(result.stdout)["answer"] == story.ANSWER


def changed(event: Any, **fields: Any) -> str:
    data = {"type": event.type, **event_data(event), **fields}
    return json.dumps(data) + "\n"


CREATED = changed(story.created())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin with tie.created"),
        ("nonsense", "line 1 is not an event"),
        ("[1]", "line 1 is not an event"),
        (changed(story.completed()), "does not begin with tie.created"),
        (CREATED + CREATED, "more than one run"),
        (CREATED + '{"type": "tie.step"}', "line 2: the server's tie.step event is not understood"),
        (CREATED + changed(story.step("other", 1, 0, "x", 1, ended=0)), "other is no model of its run"),
        (changed(story.created(), models=[]), "0 models"),
        (
            changed(story.created(), canvas=event_data(story.created())["canvas"] | {"reasoning": MAX_POSITIONS + 1}),
            "impossible size",
        ),
        ("[" * 100_000, "line 1 is not an event"),
    ],
)
def test_a_file_that_is_no_run_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.ndjson"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(RecordingError, match=re.escape(says)) as refused:
        read_recording(file)

    assert str(refused.value).startswith(str(file))
    assert "tie run --save" in str(refused.value)


def test_a_recording_that_is_broken_off_shows_what_there_is(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.write_text("".join(saved.read_text().splitlines(keepends=True)[:60]))

    assert run_main(monkeypatch, "replay", str(saved)) == 1
    told = capsys.readouterr()
    assert "round 1" in told.out
    assert "ended without an answer" in told.err


def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(asking, "load_ensemble", lambda *_: object())

    asks = ["run", "x", "--server", "http://127.0.0.1:1", "--save", str(tmp_path / "no" / "run")]
    assert run_main(monkeypatch, *asks) == 2
    assert "cannot be written" in capsys.readouterr().err
