"""Requests made from our own OpenAPI page, good and bad, with a key and without one, against every check there is."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.keys import add_key
from service.settings import AuthSettings, LimitSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving

CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "429", "503"]
"""  # options that are fine one by one may contradict each other: 400 names them, and no schema says so
TOOL = Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_operation_keeps_its_word(
    numbers: Callable[[int, int], int], figure: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    limits = LimitSettings(max_request_positions=20_000, max_waiting=10_000)
    auth = AuthSettings(keys_file=tmp_path / "keys.toml")
    key = add_key(tmp_path / "keys.toml", "mine")
    with serving(fake_settings(limits=limits, auth=auth), FakeLoader()) as served:
        command = [str(TOOL), "run", f"{served.url}/openapi.json", "--checks", "all", "--mode", "all", "--seed", "1"]
        command += ["--header", f"Authorization: Bearer {key}"]
        if numbers(0, 1) == 0:
            command += ["--phases", "examples,fuzzing,stateful"]  # without each field's every bound, in order
        command += ["--max-examples", str(numbers(3, 100)), "--generation-database", "none", "--no-color"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=1_700, check=False, env={**os.environ}
        )
        exceptions = [line for line in served.lines if line["event"] == "exception"]

    tested = re.search(r"(\d+) generated", done.stdout)
    figure(f"schemathesis: {tested.group(1) if tested else '?'} requests, every check, exit status {done.returncode}")
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert exceptions == []
