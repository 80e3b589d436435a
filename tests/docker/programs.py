"""Programs that check what is in `docker/`: where they are, and that they have nothing to say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SOURCES = {"prometheus": "Debian's package prometheus", "promtool": "Debian's package prometheus"}


def program(name: str) -> str:
    """Beside this Python or on the PATH; the test is skipped without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: it comes with {SOURCES.get(name, 'the development requirements')}")
    return found


def check(name: str, *arguments: str | Path) -> str:
    """What the program says, run in the repository; it must end well."""
    done = subprocess.run(
        [program(name), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
