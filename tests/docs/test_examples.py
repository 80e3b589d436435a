"""Every example of README and docs is run against one real server, or stands in a table with the reason why not."""

import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from hashlib import sha256
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service import server
from service.cli import app
from service.configuration import load_settings
from service.evaluation import command as evaluation
from service.keys import KeysFile
from service.loading import load
from service.settings import Settings
from tests.docs.examples import (
    ADDRESS,
    BEFORE_ITS_MODELS,
    NOT_RUN,
    OTHERWISE,
    ROOT,
    TUTORIALS,
    Example,
    as_run,
    documents,
    examples,
    examples_in,
    inline_commands,
    reason,
)
from tests.service.served import serving
from tie_core import zoo
from tie_core.testing import __main__ as testing
from tie_core.zoo.skills import OPERATIONS

CONFIGURATION = """
[[models]]
name = "llada"
path = "{0}"

[[models]]
name = "dream"
path = "{1}"

[[ensembles]]
name = "tie"
models = ["llada", "dream"]
"""
"""In place of the documents' `tie.toml`, whose checkpoints are not here, and of what `--calibrate` makes of it."""
DRAWINGS = {"README.md", "docs/architecture.md", "docs/terminal.md"}
"""Documents whose blocks without a language are drawings, or outputs that test_terminal_page.py holds to commands."""
OF_THEIR_TIME = {"CHANGELOG.md", "docs/decisions.md", "docs/log.md"}
"""Documents that name commands as they were."""
pytestmark = pytest.mark.timeout(300)  # on whatever else the machine does
ALL = [example for example in examples() if example.document not in TUTORIALS]


class ReachedModelsError(Exception):
    """A command got as far as its models."""


def all_commands() -> list[str]:
    return [command for example in examples() if example.language == "sh" for command in example.commands]


def of(*languages: str) -> list[Example]:
    return [example for example in ALL if example.language in languages]


class Place:
    """Where the examples run: a folder that looks like the repository, and the server that they ask."""

    def __init__(self, url: str, answer: str) -> None:
        self.folder = Path()
        self.address = url.removeprefix("http://")
        self.answer = answer
        self.key = ""

    def run(self, example: Example) -> str:
        """The commands of a block, one after the other; a server among them is asked by those behind it."""
        output = ""
        with ExitStack() as stack:
            address, self.address = self.address, self.address
            stack.callback(setattr, self, "address", address)
            for command in example.commands:
                output += self._run(command, stack)
        return output

    def _run(self, command: str, stack: ExitStack) -> str:
        if reason(command, NOT_RUN):
            return ""
        command = as_run(command).replace(ADDRESS, self.address).replace("KEY'", f"{self.key}'")
        words = shlex.split(command.replace("=KEY ", f"={self.key} "))
        values = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(values) :]
        if words[0] == "curl":
            return run_curl(words, self.folder)
        if words[:3] == [".venv/bin/python", "-m", "tie_core.testing"]:
            return hold_to_the_kit(words[3:])
        assert words[0] == ".venv/bin/tie", f"{command}: nothing here runs it, and no table says why not"
        if words[1] == "serve":
            self.address = stack.enter_context(started(words[1:], values))
            return ""
        if reason(command, BEFORE_ITS_MODELS):
            return reach_its_models(words[1:])
        said = tie(words[1:], values)
        if words[1:3] == ["keys", "new"]:
            self.key = said.strip()
        return said


def run_curl(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        [*words, "--fail", "--silent", "--show-error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tie(words: list[str], values: dict[str, str] | None = None, exit_code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, words, env=values, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result.output


def hold_to_the_kit(words: list[str]) -> str:
    """What the command of `tie_core.testing` prints."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(sys, "argv", ["tie_core.testing", *words])
        assert testing.main() == 0, said.getvalue()
    return said.getvalue()


@contextmanager
def started(words: list[str], values: dict[str, str]) -> Iterator[str]:
    """The address of the server that a command starts, with exactly its settings but for the port."""
    asked: list[Settings] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "serve", lambda settings, **_: asked.append(settings) or 0)
        tie(words, values)
    with serving(asked[0], load) as served:
        yield served.url.removeprefix("http://")


def reach_its_models(words: list[str]) -> str:
    def stop(*_: object) -> Any:
        raise ReachedModelsError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "side_of", stop)
        with pytest.raises(ReachedModelsError):
            tie(words)
    return "reached"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with serving(Settings(), load) as served:
        answer = served.post({"messages": [{"role": "user", "content": zoo.EXAMPLES[0]}]}).json()["answer"]
        yield Place(served.url, answer)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the repository has, and the files that the documents say one should write, or have written."""
    place.folder = tmp_path / "repository"
    preset = place.folder / "eval" / "calibrated" / "preset.toml"
    preset.parent.mkdir(parents=True)
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in ("build", "eval"):
            (place.folder / path.name).symlink_to(path)
    for path in (preset, place.folder / "tie.toml"):
        path.write_text(CONFIGURATION.format(*map(zoo.member_path, zoo.MEMBERS)), encoding="utf-8")
    monkeypatch.chdir(place.folder)
    for variable in ("TIE_CONFIG", "TIE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("example", of("sh"), ids=str)
def test_the_commands_work(example: Example, place: Place) -> None:
    output = place.run(example)

    assert output or all(reason(command, NOT_RUN) for command in example.commands)
    assert zoo.EXAMPLES[0] not in example.text or place.answer in output.replace(" ", "")


@pytest.mark.parametrize("example", of("python"), ids=str)
def test_the_programs_work(example: Example, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    program = example.text.replace(ADDRESS, place.address)

    exec(compile(program, str(example), "exec"), {})

    assert place.answer in capsys.readouterr().out.replace(" ", "")


def test_the_readme_says_what_its_program_prints(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (example for example in of("python") if example.document == "README.md")
    (printed,) = re.findall(r"^It prints `([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    exec(compile(program.text.replace(ADDRESS, place.address), str(program), "exec"), {})

    assert capsys.readouterr().out.strip() == printed


def test_what_is_piped_into_a_chat_is_answered_right() -> None:
    (line,) = re.findall(r"`echo \"(.+)\" \| tie chat`", (ROOT / "docs/terminal.md").read_text(encoding="utf-8"))

    said = CliRunner().invoke(app, ["chat"], input=f"{line}\n", catch_exceptions=False).stdout

    results = [OPERATIONS[name](word) for name, word in map(str.split, line.split(";"))]
    assert said.rpartition("Answer:")[2].strip() == "".join(results)


@pytest.mark.parametrize("example", of("toml"), ids=str)
def test_the_configurations_are_valid(example: Example, place: Place, tmp_path: Path) -> None:
    if "[[keys]]" in example.text:
        entries = tomllib.loads(example.text.replace('"..."', f'"{sha256(b"key").hexdigest()}"'))
        assert KeysFile.model_validate(entries).keys
        return
    start = (place.folder / "tie.toml").read_text(encoding="utf-8") if "[[" not in example.text else ""
    path = tmp_path / "tie.toml"
    path.write_text(start + example.text, encoding="utf-8")

    settings = load_settings(path)

    assert settings != Settings()


@pytest.mark.parametrize("example", of("json"), ids=str)
def test_the_json_has_the_fields_that_the_server_sends(example: Example, place: Place) -> None:
    told = json.loads(example.text)
    generated = json.loads(run_curl(ask(place, "/v1/tie/generate", {"prompt": zoo.EXAMPLES[0]}), place.folder))
    sent = json.loads(run_curl(ask(place, f"/v1/tie/requests/{generated['id']}"), place.folder))

    assert told.keys() == sent.keys()
    assert told["timings"].keys() == sent["timings"].keys()


@pytest.mark.parametrize(
    ("model", "question", "num_digits", "ended"),
    [
        ("zoo-qwen3", zoo.EXAMPLES[0], 18, "length"),
        ("zoo-qwen3", "dec 314159; rev 271828", 12, "stop"),
        ("zoo-llada", zoo.EXAMPLES[0], 18, "stop"),
    ],
)
def test_the_embedded_models_end_as_the_page_of_openais_routes_says(
    model: str, question: str, num_digits: int, ended: str, place: Place
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}

    (choice,) = json.loads(run_curl(ask(place, "/v1/chat/completions", body), place.folder))["choices"]

    assert re.search(rf" Answer:\d{{{num_digits}}}$", choice["message"]["content"])
    assert choice["finish_reason"] == ended


def ask(place: Place, path: str, body: dict[str, Any] | None = None) -> list[str]:
    sent = ["-H", "content-type: application/json", "-d", json.dumps(body)] if body else []
    return ["curl", f"http://{place.address}{path}", *sent]


def test_an_example_in_a_list_is_seen_as_it_is_read() -> None:
    page = '1. First:\n\n   ```sh title="x"\n   tie run \\\n     this\n   ```\n\n2. Then:\n\n```toml\n[a]\n```\n'

    first, then = examples_in("page", page)

    assert (first.line, first.language, first.words, first.text) == (3, "sh", 'title="x"', "tie run \\\n  this\n")
    assert first.commands == ["tie run    this"]
    assert (then.line, then.text) == (10, "[a]\n")


def test_every_block_is_of_a_kind_that_is_run_or_a_drawing() -> None:
    others = [example for example in ALL if example not in of("sh", "python", "toml", "json")]

    assert [str(example) for example in others if example.document not in DRAWINGS or example.language] == []


@pytest.mark.parametrize("table", [NOT_RUN, BEFORE_ITS_MODELS], ids=["not run", "before its models"])
def test_no_table_excuses_what_is_not_there(table: dict[str, str]) -> None:
    commands = all_commands()

    assert [pattern for pattern in table if not any(re.fullmatch(pattern, command) for command in commands)] == []


def test_nothing_is_replaced_that_is_not_there() -> None:
    commands = all_commands()

    assert [words for words in OTHERWISE if not any(words in command for command in commands)] == []


def commands_of(program: str) -> list[list[str]]:
    """As words, without the variables before them."""
    commands = [[*dropwhile(is_variable, shlex.split(command))] for command in all_commands()]
    return [words for words in commands if words[0] == program]


def values_of(option: str, words: list[str]) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_the_files_and_targets_of_docker_commands_are_there() -> None:
    stages = re.findall(r"^FROM .+ AS (\w+)$", (ROOT / "docker/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = commands_of("docker")

    assert commands
    for words in commands:
        assert all((ROOT / file).is_file() for file in values_of("-f", words)), words
        assert set(values_of("--target", words)) <= set(stages), words


def test_make_commands_have_recipes() -> None:
    commands = {shlex.join(words) for words in commands_of("make")}

    assert commands
    for command in commands:
        subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, timeout=20, check=True)


@pytest.mark.parametrize(("program", "words"), [("lm_eval", ["run"]), ("hf", ["download"])])
def test_programs_by_others_have_the_options_that_are_named(program: str, words: list[str]) -> None:
    help_of = [Path(sys.executable).with_name(program), *words, "--help"]
    told = subprocess.run(help_of, capture_output=True, text=True, timeout=60, check=True).stdout
    known = set(re.findall(r"--\w[\w-]*", told))
    commands = commands_of(program) + commands_of(f".venv/bin/{program}")

    assert commands
    assert [named for named in commands if named[1:2] != words or not set(flags(named)) <= known] == []


@pytest.mark.parametrize("document", [name for name in documents() if name not in OF_THEIR_TIME])
def test_commands_in_running_text_exist_with_their_options(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    tie_group = typer.main.get_command(app)

    for words in inline_commands(document):
        words = [*dropwhile(is_variable, words)]
        if words[0] == "make":
            assert words[1] in targets, words
        else:
            group = ray_group() if words[0] == "serve" else tie_group
            assert set(flags(words)) <= known_flags(group, words), words


def test_ray_serve_has_the_options_that_are_named() -> None:
    commands = commands_of(".venv/bin/serve")

    assert commands
    assert [words for words in commands if not set(flags(words)) <= known_flags(ray_group(), words)] == []


def ray_group() -> Any:
    """Ray Serve's own commands."""
    return pytest.importorskip("ray.serve.scripts", reason="the extra `ray` is not installed").cli


def is_variable(word: str) -> bool:
    return re.match(r"[A-Z_]+=", word) is not None


def flags(words: list[str]) -> Iterator[str]:
    yield from (word.partition("=")[0] for word in words if word.startswith("--"))


def known_flags(group: Any, words: list[str]) -> set[str]:
    """The options of a command; a word that is no command of its group is an error."""
    command = group.commands[words[1]]
    if hasattr(command, "commands") and len(words) > 2:
        command = command.commands[words[2]]
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
