"""`tie chat`: what is kept of a conversation, what leaves it, and how it behaves in a pipe and in a terminal."""

import io
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from rich.console import Console

from service import client
from service.commands import asking
from service.commands.chat import Conversation
from service.draft import Draft
from service.settings import EnsembleSettings
from service.watch import WatchState
from tests.service import story
from tests.service.fakes import NAMES, POISON, FakeLoader, fake_settings
from tests.service.served import Served, serving, wait_until
from tests.service.terminal import invoke, run_main, terminal
from tie_core import zoo
from tie_core.errors import ContextLengthError
from tie_core.events import Event, RoundEnded

TEXT = story.completed().text.strip()


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Models here that answer by the story, and what they were asked; a question with `long` is refused."""
    kept: list[Mapping[str, Any]] = []

    class ToldEnsemble:
        def generate(self, **request: Any) -> Iterator[Event]:
            kept.append(request)
            if "long" in request["messages"][-1]["content"]:
                raise ContextLengthError("messages", "prompt 2,000 exceeds pair's 1,024 positions: shorten it")
            return (event for event in story.events())

    monkeypatch.setattr(asking, "load_ensemble", lambda *_: ToldEnsemble())
    return kept


def said(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


def test_every_line_is_a_question_behind_all_that_was_said(asked: list[Mapping[str, Any]]) -> None:
    result = invoke("chat", "--system", "Be brief.", input="one\n\ntwo\n")

    assert result.exit_code == 0
    assert result.stdout == f"{TEXT}\n{TEXT}\n"
    assert said(asked[0]) == [("system", "Be brief."), ("user", "one")]
    assert said(asked[1]) == [("system", "Be brief."), ("user", "one"), ("assistant", TEXT), ("user", "two")]


def test_reset_forgets_and_exit_leaves(asked: list[Mapping[str, Any]]) -> None:
    result = invoke("chat", input="one\n/reset\ntwo\n/exit\nthree\n")

    assert [said(request)[-1][1] for request in asked] == ["one", "two"]
    assert said(asked[1]) == [("user", "two")]
    assert result.stdout == f"{TEXT}\n{TEXT}\n"


def test_slashes_and_long_lines_can_be_asked(asked: list[Mapping[str, Any]]) -> None:
    result = invoke("chat", input="//reset\none \\\ntwo\n/nonsense\n")

    assert [said(request)[-1][1] for request in asked] == ["/reset", "one \ntwo"]
    assert result.stderr.startswith("unknown: /nonsense\n/reset forgets what was said before")


def test_json_is_one_line_for_each_answer(asked: list[Mapping[str, Any]]) -> None:
    result = invoke("chat", "--json", input="one\ntwo\n")

    assert [json.loads(line)["answer"] for line in result.stdout.splitlines()] == [story.ANSWER] * 2


def test_options_reach_every_question(asked: list[Mapping[str, Any]]) -> None:
    invoke("chat", "--score", "top1", "--option", "gen_length=64", input="one\n")

    assert (asked[0]["score"], asked[0]["gen_length"]) == ("top1", 64)


def test_what_is_refused_in_a_pipe_ends_the_program(
    asked: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long one\n"))

    assert run_main(monkeypatch, "chat") == 2
    assert "shorten it" in capsys.readouterr().err


def test_a_question_is_kept_with_its_answer_only() -> None:
    conversation = Conversation()
    conversation.asked("never answered")
    conversation.keep("one", "1")

    assert [message["content"] for message in conversation.asked("two")] == ["one", "1", "two"]


def test_a_draft_dims_what_is_not_settled() -> None:
    state = WatchState()
    for event in story.events():
        if isinstance(event, RoundEnded) and event.round == 2:
            break
        state.apply(event)

    text = Draft(state).text

    assert text.startswith(" rev=951413")
    assert "Answer" not in text  # nothing of it is written yet


def printed(draft: Draft) -> str:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(draft)
    return captured.get()


def test_a_draft_counts_the_rounds_that_the_answer_counts() -> None:
    """The story's three; all behind them finish alone, and that is none."""
    state, told = WatchState(), []
    for event in story.events():
        state.apply(event)
        told.append(printed(Draft(state)).splitlines()[-1])

    assert told[0].startswith("0 rounds so far · 42 masked")
    assert told[-1].startswith(f"{story.completed().tie.rounds} rounds so far · 0 masked")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as running:
        yield running


def test_in_a_pipe_the_text_of_a_server_comes_whole(served: Served) -> None:
    result = invoke("chat", "--server", served.url, input="1 2 3\n")
    (text,) = [line for line in result.stdout.splitlines() if line]

    answered = served.post({"messages": [{"role": "user", "content": "1 2 3"}]}).json()
    assert text == answered["text"].strip()


@pytest.mark.parametrize(
    ("ensemble", "told"),
    [
        ("tie", ["Anything: these guess.", "for example: 1 2 3"]),
        ("silent", []),
        ("shady", ["␛[31mred", "for example: ␇"]),
    ],
)
def test_a_server_says_what_its_ensemble_can_be_asked(ensemble: str, told: list[str]) -> None:
    settings = fake_settings()
    silent = EnsembleSettings(name="silent", models=list(NAMES))
    shady = EnsembleSettings(name="shady", models=list(NAMES), about="\x1b[31mred", examples=["\x07"])
    settings = settings.model_copy(update={"ensembles": [*settings.ensembles, silent, shady]})
    with (
        serving(settings, FakeLoader()) as served,
        terminal("chat", "--server", served.url, "--ensemble", ensemble) as chat,
    ):
        chat.wait_for("/reset forgets")

        assert chat.shown.partition("/reset")[0].splitlines() == told


def test_an_ensemble_that_the_server_has_not_is_said_at_once(served: Served) -> None:
    with terminal("chat", "--server", served.url, "--ensemble", "typo") as chat:
        chat.wait_for("/reset forgets")

        assert "has no ensemble typo: it has tie" in " ".join(chat.shown.split())


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({"examples": 5, "about": 5}, []),
        ({"examples": "dec", "about": "Digits."}, ["Digits."]),
        ({"examples": [5, "dec"]}, []),
        ({"examples": []}, []),
    ],
)
def test_what_a_server_says_in_another_shape_is_not_told(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], lines: list[str]
) -> None:
    monkeypatch.setattr(client, "server_ensembles", lambda *_: [{"id": "tie", **told}])

    assert asking.introduction("somewhere", None, None, None) == lines


@pytest.mark.parametrize("says_no_more", [True, False], ids=["silent", "closed"])
def test_a_list_that_breaks_off_is_no_strange_server(monkeypatch: pytest.MonkeyPatch, says_no_more: bool) -> None:
    monkeypatch.setattr(client, "SHORT_SECONDS", 0.2)
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data": [')
                if says_no_more:
                    left.wait(60)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(client.ServerError, match=r"broke off: .+; ask again"):
            client.server_ensembles(f"127.0.0.1:{listener.getsockname()[1]}")
        left.set()
        thread.join()


def test_models_here_say_what_they_can_be_asked() -> None:
    about, example = asking.introduction(None, None, None, None)

    assert (about, example) == (zoo.ABOUT, f"for example: {zoo.EXAMPLES[0]}")
    assert "what was said before confuses the models" in about, "which /reset forgets, by the line below"


def test_a_conversation_in_a_terminal(served: Served) -> None:
    with terminal("chat", "--server", served.url) as chat:
        chat.wait_for("Anything: these guess.\nfor example: 1 2 3\n/reset forgets what was said before")
        chat.type("1 2 3\n")
        chat.wait_for(r"zoo-\w+ · \d+ rounds? · ")
        chat.type(f"{POISON}\n")
        chat.wait_for("failed at this request itself")
        chat.type("/reset\n")
        chat.wait_for("forgotten")
        chat.type("/exit\n")

        assert chat.end() == 0
    assert "Traceback" not in chat.shown
    assert chat.written.count("\x1b[?25l") == chat.written.count("\x1b[?25h")  # the cursor is there again


def test_ctrl_c_leaves_the_answer_and_not_the_program() -> None:
    loader = FakeLoader()
    with serving(fake_settings(), loader) as slow:
        loader.faults.seconds = 0.2
        with terminal("chat", "--server", slow.url) as chat:
            chat.wait_for("/reset forgets")
            chat.type("1 2 3\n")
            chat.wait_for("0 rounds so far")
            chat.send(signal.SIGINT)
            chat.wait_for("neither the question nor the answer is kept\n❯")  # what is typed before is no ctrl-d
            chat.type("\x04")

            assert chat.end() == 0
        wait_until(lambda: not len(slow.service.runs))
    assert "Traceback" not in chat.shown
