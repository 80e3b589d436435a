"""`tie chat`: a conversation that is kept, each question answered with all that was said before it."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from service.commands.asking import Ask, asker, introduction, options_from
from service.draft import show_draft, stream_text
from service.lines import plain, rounds_text, visible
from service.parameters import (
    ApiKey,
    AsJson,
    Config,
    EnsembleName,
    Interval,
    Members,
    NamedOptions,
    Policy,
    Score,
    Server,
    TaskName,
)
from tie_core.errors import RequestError, TieError

if TYPE_CHECKING:
    from tie_core.events import Completed

PROMPT: Final = "❯ "
HELP: Final = (
    "/reset forgets what was said before, which goes with every question; /exit or ctrl-d leaves, ctrl-c leaves an"
    " answer; // sends a line that begins with a slash, and a line that ends with \\ goes on"
)
LEFT: Final = "left: neither the question nor the answer is kept"


@dataclass(slots=True)
class Conversation:
    """What was said. A question is kept with its answer, or not at all."""

    system: str | None = None
    turns: list[dict[str, str]] = field(default_factory=list)

    def asked(self, question: str) -> list[dict[str, str]]:
        """The messages of a request that asks this now."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.turns, {"role": "user", "content": question}]

    def keep(self, question: str, answer: str) -> None:
        self.turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def chat(
    server: Server = None,
    api_key: ApiKey = None,
    config: Config = None,
    ensemble: EnsembleName = None,
    models: Members = None,
    task: TaskName = None,
    score: Score = None,
    interval: Interval = None,
    policy: Policy = None,
    option: NamedOptions = None,
    system: Annotated[str | None, typer.Option(help="A system message before everything.")] = None,
    as_json: AsJson = False,
) -> None:
    """Talk: a conversation that is kept. From a pipe every line is a question; --json gives a line for each answer."""
    options = options_from(option, task=task, score=score, interval=interval, policy=policy)
    ask = asker(server, api_key, config, ensemble, models, options)
    conversation = Conversation(system)
    if sys.stdin.isatty() and sys.stdout.isatty() and not as_json:
        console = Console(highlight=False)
        _greet(console, server, api_key, config, ensemble)
        _talk(ask, conversation, console)
        return
    for line in _questions(iter(sys.stdin.readline, "")):
        if (question := _question(line, conversation, Console(stderr=True))) is None:
            return
        if question:
            _answer(ask, conversation, question, as_json=as_json)


def _greet(
    console: Console, server: str | None, api_key: str | None, config: Path | None, ensemble: str | None
) -> None:
    """What can be asked, and how to leave. A server that does not answer now may answer the first question."""
    try:
        for line in introduction(server, api_key, config, ensemble):
            console.print(Text(visible(line)))
    except TieError as error:
        console.print(Text(visible(f"{error}"), "red"), soft_wrap=True)
    console.print(Text(HELP, "dim"))


def _talk(ask: Ask, conversation: Conversation, console: Console) -> None:
    """Until somebody leaves. Ctrl-C and what cannot be answered end an answer only."""
    import readline  # noqa: F401  # arrow keys and a history in `input`, kept nowhere

    while True:
        try:
            line = _typed()
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print()
            continue
        if (question := _question(line, conversation, console)) is None:
            return
        if not question:
            continue
        try:
            with closing(ask({"messages": conversation.asked(question)}, "step")) as events:
                completed = show_draft(events, console)
        except KeyboardInterrupt:
            console.print(Text(LEFT, "dim"))
        except TieError as error:
            console.print(Text(visible(f"{error}"), "red"), soft_wrap=True)
            if conversation.turns and isinstance(error, RequestError):
                console.print(Text("/reset forgets the conversation so far, if that is too long", "dim"))
        else:
            conversation.keep(question, completed.text.strip())
            _print(completed, console)


def _typed() -> str:
    return next(_questions(iter(lambda: input(PROMPT) + "\n", None)))


def _questions(lines: Iterator[str]) -> Iterator[str]:
    """Lines without their ends; one that ends with a backslash goes on in the next."""
    begun: list[str] = []
    for line in lines:
        text = line.removesuffix("\n")
        begun.append(text.removesuffix("\\"))
        if not text.endswith("\\"):
            yield "\n".join(begun)
            begun = []
    if begun:
        yield "\n".join(begun)


def _question(line: str, conversation: Conversation, console: Console) -> str | None:
    """What is to be asked: nothing of an empty line or a command; None to leave."""
    word = line.strip()
    if not word.startswith("/"):
        return line if word else ""
    if word.startswith("//"):
        return line.replace("//", "/", 1)
    if word == "/exit":
        return None
    if word == "/reset":
        conversation.turns.clear()
        console.print(Text("forgotten", "dim"))
    else:
        console.print(Text(f"unknown: {visible(word)}", "red"))
        console.print(Text(HELP, "dim"))
    return ""


def _answer(ask: Ask, conversation: Conversation, question: str, *, as_json: bool) -> None:
    from tie_core.events import event_data

    events = ask({"messages": conversation.asked(question)}, "round")
    if as_json:
        from service.display import tell_rounds

        completed = tell_rounds(events, None)
        typer.echo(json.dumps(event_data(completed), ensure_ascii=False))
    else:
        completed = stream_text(events, sys.stdout)
    conversation.keep(question, completed.text.strip())


def _print(completed: "Completed", console: Console) -> None:
    tie = completed.tie
    console.print(Text(plain(completed.text.strip())))
    facts = f"{tie.final_model} · {rounds_text(tie.rounds)} · {completed.timings.total_ms / 1000:.2f} s"
    console.print(Text(facts, "dim"))
