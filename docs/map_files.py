"""Writes the map of files in `architecture.md` from the modules' first sentences; `make fmt` runs it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
HEADING = "## Files\n"


def file_map() -> str:
    """A table for each package, in the order of the paths."""
    return "\n".join(_table(package) for package in ("tie_core", "service"))


def page_with_map(page: str) -> str:
    """The page with everything behind its last heading replaced."""
    head, _, _ = page.partition(HEADING)
    return f"{head}{HEADING}\n{file_map()}"


def _table(package: str) -> str:
    paths = sorted(path for path in (ROOT / package).rglob("*") if path.suffix in (".py", ".js"))
    rows = [f"| `{path.relative_to(ROOT)}` | {_first_sentence(path)} |\n" for path in paths]
    return f"| `{package}/` | |\n|---|---|\n{''.join(rows)}"


def _first_sentence(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    docstring = (ast.get_docstring(ast.parse(text)) or "") if path.suffix == ".py" else _first_comment(text)
    sentence = re.split(r"(?<=\.)\s", " ".join(docstring.partition("\n\n")[0].split()))[0]
    return sentence.replace("|", "\\|")


def _first_comment(script: str) -> str:
    """What a script opens with, without the comment's own marks."""
    comment = re.match(r"/\*\*(.*?)\*/", script, re.DOTALL)
    return re.sub(r"^ \*", "", comment[1], flags=re.MULTILINE).strip() if comment else ""


if __name__ == "__main__":
    PAGE.write_text(page_with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
