"""The server under test is a process of its own, told apart from ours, and gone afterwards."""

from pathlib import Path

import httpx
import pytest

from bench.server import Model, NotReadyError, serving
from tests.members import GOLDEN


@pytest.mark.slow
@pytest.mark.timeout(600)  # a process that imports torch, on whatever else the machine does
def test_a_server_is_ready_watched_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_LIMITS__MAX_RUNNING", "1")  # of whoever runs the benchmark: not the server's

    with serving([Model("tiny", GOLDEN / "llada-tiny", "float32")], tmp_path, threads=1) as server:
        before = server.cpu_seconds
        server.forget_peak()
        assert httpx.get(f"{server.url}/readyz", trust_env=False).is_success
        assert "max_running = 64" in (tmp_path / "server.toml").read_text(encoding="utf-8")
        assert server.cpu_seconds >= before > 0
        assert server.peak_bytes >= server.resident_bytes > 10**7

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/livez", trust_env=False)


@pytest.mark.slow
@pytest.mark.timeout(600)  # a process that imports torch, on whatever else the machine does
def test_a_server_that_cannot_start_tells_what_it_logged(tmp_path: Path) -> None:
    with (
        pytest.raises(NotReadyError, match="nowhere"),
        serving([Model("tiny", tmp_path / "nowhere", "float32")], tmp_path),
    ):
        pass
