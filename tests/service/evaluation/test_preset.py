"""What `tie eval --calibrate` writes is a configuration: read by the settings, taken by a server, and true."""

import sys
import tomllib
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service import loading
from service.cli import app, main
from service.configuration import load_settings
from tests.service.fakes import FakeLoader
from tests.service.served import serving
from tie_core import zoo
from tie_core.ensemble import Ensemble

CONFIG = """
[[models]]
name = "zoo-llada"
path = "{folder}/left"

[[models]]
name = "zoo-dream"
path = "{folder}/right"
dtype = "bfloat16"

[[ensembles]]
name = "pair"
models = ["zoo-llada", "zoo-dream"]
defaults = { reasoning = 24, answer = 18, suffix = " Answer:", block_size = 8, interval = 8 }
policy_defaults = { threshold = { interval = 1 }, factor = { interval = 2 } }
"""


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(loading, "load", FakeLoader())


def calibrated(folder: Path, *arguments: str) -> Path:
    words = ["eval", "zoo", "--items", "2", "--calibrate", "3", "--conditions", "tcc,commit", "--out", str(folder)]
    result = CliRunner().invoke(app, [*words, *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return folder / "preset.toml"


def configuration(folder: Path) -> Path:
    path = folder / "tie.toml"
    for name in ("left", "right"):
        (folder / name).mkdir(exist_ok=True)
    path.write_text(CONFIG.replace("{folder}", str(folder)), encoding="utf-8")
    return path


def test_a_preset_answers_as_what_was_chosen(tmp_path: Path) -> None:
    path = calibrated(tmp_path, "--config", str(configuration(tmp_path)), "--option", "policy=threshold")

    settings = load_settings(path)
    chosen = settings.default_ensemble
    assert (chosen.name, set(chosen.models)) == ("pair", {model.name for model in settings.models})
    assert {model.name: str(model.path) for model in settings.models}.items() <= {
        "zoo-llada": f"{tmp_path}/left",
        "zoo-dream": f"{tmp_path}/right",
    }.items()
    loaded = FakeLoader()(settings, None)  # type: ignore[arg-type]
    try:
        members = loaded.ensembles["pair"].members
        plain = Ensemble("plain", members, load_settings(configuration(tmp_path)).default_ensemble.defaults)
        kept = {name: value for name, value in chosen.defaults.items() if name in ("score", "selection", "calibration")}
        wanted = plain.resolve(members, {"policy": "threshold", "interval": 1, **kept})
        assert loaded.ensembles["pair"].resolve(members, {}) == wanted
    finally:
        loaded.engine.close()
    assert chosen.policy_defaults == {"factor": {"interval": 2}}


def test_a_preset_says_what_it_was_learned_from(tmp_path: Path) -> None:
    text = calibrated(tmp_path, "--config", str(configuration(tmp_path))).read_text()

    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert "Learned by `tie eval zoo --conditions tcc,commit --items 2 --calibrate 3` on 20" in header
    assert "Task zoo, 3 validation items" in header
    assert "# Member zoo-llada: weights" in header
    assert "# Chosen: " in header
    assert "zoo-llada alone: " in header


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_a_server_takes_a_preset_and_tells_it(tmp_path: Path, is_calibrated: bool) -> None:
    path = calibrated(tmp_path, "--config", str(configuration(tmp_path)))
    if is_calibrated:  # whatever was chosen of these scripted members: a preset with a calibration
        rules = "{ commit = { intercept = -1.5, slope = 3.0 }, lowest_tcc = { intercept = 0.5, slope = 2.0 } }"
        path.write_text(
            path.with_name("tie.toml")
            .read_text()
            .replace(
                "interval = 8",
                f'interval = 8, score = "commit", calibration = {{ zoo-llada = {rules}, zoo-dream = {rules} }}',
                1,
            )
        )
    settings = load_settings(path)

    with serving(settings, FakeLoader()) as served, httpx.Client(base_url=served.url) as client:
        body = {"prompt": "rev 314159", "stream": True, "events": "round"}
        lines = client.post("/v1/tie/generate", json=body, headers={"Accept": "application/x-ndjson"}).text.splitlines()

    assert len(lines) > 2
    assert '"type":"tie.completed"' in lines[-1].replace(" ", "")
    assert ('"intercept":-1.5' in lines[0].replace(" ", "")) is is_calibrated


def test_the_embedded_members_need_no_paths(tmp_path: Path) -> None:
    path = calibrated(tmp_path)

    assert "models" not in tomllib.loads(path.read_text())
    assert set(load_settings(path).default_ensemble.models) <= set(zoo.MEMBERS)


def test_every_task_has_a_preset_of_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(tmp_path, "--preset", str(tmp_path / "named.toml"))
    monkeypatch.setattr(sys, "argv", ["tie", "eval", "zoo", "--preset", "x.toml", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()

    assert (tmp_path / "named.toml").exists()
    assert not (tmp_path / "preset.toml").exists()
    assert "--preset needs --calibrate" in capsys.readouterr().err
