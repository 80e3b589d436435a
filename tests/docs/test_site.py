"""The documentation site: built strictly, with nothing on it that comes from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("mkdocs.yml", "docs", "service/page", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""What the site is built from."""
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["']?([^"'\s>]+)|<link[^>]+href=["']?([^"'\s>]+)""")
LOADED_BY_STYLE = re.compile(r"""(?:url\(["']?|@import ["'])([^"')]+)""")
BROKEN = {
    "nowhere.md": "not found among documentation files",
    "index.md#nothing-there": "does not contain an anchor",
    "/index.md": "absolute link",
    "../tie_core/tie.py": "not found among documentation files",
}
"""Links, and what the build says of each."""
QUIET = {"NO_MKDOCS_2_WARNING": "1"}  # that Material will not be kept for ever


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(
        command, cwd=root, env=os.environ | QUIET, capture_output=True, text=True, timeout=100, check=False
    )


def copied(folder: Path) -> Path:
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, root = tmp_path_factory.mktemp("site"), copied(tmp_path_factory.mktemp("root"))
    (root / "docs" / "results.json").write_text("{}", encoding="utf-8")  # as `make eval` leaves it
    built = build(root, folder)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}

    assert {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")} >= documents


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = {
        (path.name, address)
        for path in site.rglob("*.html")
        for match in LOADED.findall(path.read_text(encoding="utf-8"))
        for address in match
    }
    loaded |= {
        (path.name, address)
        for path in site.rglob("*.css")
        for address in LOADED_BY_STYLE.findall(path.read_text(encoding="utf-8"))
    }

    assert len(loaded) > 100
    assert [pair for pair in loaded if "//" in pair[1].removeprefix("data:")] == []


def test_scripts_and_notes_for_programs_are_no_pages(site: Path) -> None:
    assert [*site.rglob("*.py"), *site.rglob("*.pyc"), *site.glob("*.json")] == []
    assert {path.name for path in (site / "contracts").iterdir()} >= {"openapi.json", "events.json"}


def test_links_that_lead_nowhere_end_the_build(tmp_path: Path) -> None:
    copied(tmp_path)
    with (tmp_path / "docs" / "access.md").open("a", encoding="utf-8") as page:
        page.write("".join(f"\n[elsewhere]({link})\n" for link in BROKEN))

    built = build(tmp_path, tmp_path / "site")

    assert built.returncode != 0
    complaints = [line for line in built.stderr.splitlines() if "WARNING" in line]
    assert [
        link for link, words in BROKEN.items() if not any(link in line and words in line for line in complaints)
    ] == []
