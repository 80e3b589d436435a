"""The examples of the documents: fenced blocks, the commands in them, and what is left out of running them, and why."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
"""Also where it is indented, as a part of a list."""
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
ADDRESS = "127.0.0.1:8000"
"""Where the documents' server listens; the tests' one is at a free port."""

NOT_RUN = {
    r"make (test|check)|\.venv/bin/pytest .*": "it is what runs this",
    r"\.venv/bin/tie eval zoo .*weakest.*": "minutes; tests/docs/test_examples.py runs the like of other scores",
    r"make fmt": "tests/docs/test_references.py holds the pages that it writes to the code",
    r"make demo": "its recipe is one of the commands here, and .ci/run asks it for the right answer",
    r"make serve": "its recipe is the server that all examples ask",
    r"make (bench|eval|unequal)": "hours on an idle machine; its parts have tests of their own",
    r"\.venv/bin/python docs/draw_run\.py.*": "tests/docs/test_pictures.py runs it, into another folder",
    r"docker (compose|build|run) .*": "there is no container engine in CI; tests/docker has what holds without one",
    r"\.venv/bin/pip (install|uninstall) .*": (
        "it would change the environment of the tests; `make test` installs every extra"
    ),
    r"\.venv/bin/hf download .*": "31 GB from a hub; the test of programs by others sees that it has the options",
    r".*serve run .*service\.ray_app:build": "tests/service/test_ray_app.py runs it in a Ray of its own",
    r"(helm|kubectl) .*": "there is no cluster in CI; tests/docker/test_helm.py renders what would be installed",
    r"sed -i .* docker/prometheus/alerts\.yml": "tests/docker/test_alerts.py runs it on a copy",
    r"(mkdir -p build|cp -r docker/prometheus build|sed .* docker/prometheus/prometheus\.yml > .*)": (
        "tests/docker/test_alerts.py runs it on a copy"
    ),
    r"prometheus .*": "it is a program of its own that does not end; it reads the files of tests/docker/test_alerts.py",
    r"lm_eval run .*": "its task is on a hub; tests/service/test_lm_eval.py has one of its own",
}
"""Commands that are not run here, by what they match: why, and who runs them."""

BEFORE_ITS_MODELS = {
    r".*tie eval (gsm8k|mmlu|humaneval).*": "it needs the files of public benchmarks, and hours",
}
"""Commands that are run until they would load a model or ask a server: options, tasks and tables are checked."""

TUTORIALS = ("docs/add-a-family.md", "docs/add-a-score.md")
"""Documents whose files and commands change the repository: tests/docs/test_tutorials.py follows them on a copy."""

OTHERWISE = {
    "--host 0.0.0.0": ("--host 127.0.0.1", "nothing of a test can be reached from other machines"),
    "--concurrency 1,8,32": ("--concurrency 1,2 --requests 2 --gen-length 8 --block-size 8", "minutes: 64 requests"),
    "--items 100": ("--items 2 --conditions tcc", "minutes: every score on every item"),
    'tie eval zoo --conditions "post; tcc; score': (
        'tie eval zoo --items 2 --conditions "post; tcc; score',
        "an hour: all items",
    ),
}
"""What stands in a command -> what is run in its place, and why."""


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced block. `words` is what stands behind the language, a `title="FILE"` for example."""

    document: str
    line: int
    language: str
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, one a line; a backslash goes on."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def documents() -> list[str]:
    """The pages for people, by their paths from the top."""
    return [str(path.relative_to(ROOT)) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]


def examples() -> list[Example]:
    return [example for document in documents() for example in examples_of(document)]


def examples_of(document: str) -> Iterator[Example]:
    yield from examples_in(document, (ROOT / document).read_text(encoding="utf-8"))


def examples_in(document: str, page: str) -> Iterator[Example]:
    for block in FENCED.finditer(page):
        indent, language, words, text = block.groups()
        line = page.count("\n", 0, block.start()) + 1
        yield Example(document, line, language, words.strip(), re.sub(f"^{indent}", "", text, flags=re.MULTILINE))


def inline_commands(document: str) -> Iterator[list[str]]:
    """`tie ...`, `make ...` and `serve ...` (Ray's) in running text, as words."""
    page = FENCED.sub("", (ROOT / document).read_text(encoding="utf-8"))
    for code in INLINE.findall(page):
        if re.match(r"(\w+=\S+ )*(\.venv/bin/tie|tie|make|serve) [a-z]", code):
            yield shlex.split(code.replace("...", "").replace("…", ""))


def reason(command: str, table: dict[str, str]) -> str | None:
    """Why a command is in this table; None if it is not."""
    return next((why for pattern, why in table.items() if re.fullmatch(pattern, command)), None)


def as_run(command: str) -> str:
    for words, (others, _) in OTHERWISE.items():
        command = command.replace(words, others)
    return command
