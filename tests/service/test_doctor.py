"""`tie doctor` says what would be served where, and what stands in the way, without loading anything."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import doctor as doctoring
from service import loading, missing, pairs
from service.cli import app
from service.inventory import open_model
from service.loading import load
from service.placement import check_placement
from service.settings import LimitSettings, ModelSettings, Settings, SettingsError
from tie_core import zoo
from tie_core.canvas import Canvas
from tie_core.engine import devices
from tie_core.engine.host_memory import HostMemory
from tie_core.engine.observer import Observer
from tie_core.errors import PlacementError
from tie_core.models import weights
from tie_core.transcode import Transcoded

ZOO = {name: zoo.member_path(name) for name in zoo.MEMBERS}


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test fails that reads a weight, or that anyone configured from outside."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(weights, "safe_open", refuse)
    monkeypatch.setattr(loading, "load_member", refuse)
    monkeypatch.delenv("TIE_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def configuration(folder: Path, *models: dict[str, str], limits: str = "") -> Path:
    tables = [
        "[[models]]\n" + "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in model.items())
        for model in models
    ]
    path = folder / "tie.toml"
    path.write_text("\n".join(tables) + limits, encoding="utf-8")
    return path


def doctor(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)


def diagnosis(*arguments: str) -> dict[str, Any]:
    return json.loads(doctor("--json", *arguments).stdout)


def test_the_zoo_can_be_served_without_configuration() -> None:
    result = doctor()

    assert result.exit_code == 0
    for shown in ("cpu", "zoo-llada", "3.8 MB", "zoo-llada and zoo-dream", "transcodes", "nothing stands in the way"):
        assert shown in result.stdout


def test_the_plan_is_told_in_bytes() -> None:
    told = diagnosis()

    llada, dream, _ = told["models"]
    assert (llada["name"], llada["device"], llada["dtype"]) == ("zoo-llada", "cpu", "float32")
    assert llada["weights_bytes"] == 4 * open_model(Settings().models[0]).facts.parameters
    assert llada["activation_bytes"] > 4096 * 6_936
    assert llada["cache_bytes_per_position"] == 2 * dream["cache_bytes_per_position"]  # Dream groups its queries
    assert told["planned_positions"] == 4096
    assert told["threads"]["most_per_model"] >= 1
    assert 0 < told["devices"][0]["free_bytes"] <= told["devices"][0]["total_bytes"]
    assert told["problems"] == []


def test_members_with_one_tokenizer_copy_ids(tmp_path: Path) -> None:
    twin = shutil.copytree(ZOO["zoo-dream"], tmp_path / "twin")
    config = configuration(
        tmp_path,
        {"name": "a", "path": ZOO["zoo-dream"]},
        {"name": "b", "path": twin},
        {"name": "c", "path": ZOO["zoo-llada"]},
    )

    relays = diagnosis("--config", str(config))["relays"]

    assert [(*relay["between"], relay["way"]) for relay in relays] == [
        ("a", "b", "copies ids"),
        ("a", "c", "transcodes"),
        ("b", "c", "transcodes"),
    ]


def test_how_exactly_members_transcode_is_measured_both_ways() -> None:
    relay, *_ = diagnosis()["relays"]

    there, back = relay["exactness"]
    assert (there["source"], there["receiver"]) == (back["receiver"], back["source"]) == tuple(relay["between"])
    for each in (there, back):
        assert each["num_exact"] + each["num_cut"] == each["num_prefixes"] == each["num_back"] > 500
        assert each["num_exact"] > each["num_cut"] > 0  # the zoo's tokens are bytes of rare letters
        assert each["num_refused"] == each["num_changed"] == 0
        assert 0.5 < each["tokens_per_token"] <= each["most"] < 2
    assert there["tokens_per_token"] * back["tokens_per_token"] == pytest.approx(1)


def test_text_that_does_not_arrive_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that loses the last token of every other prefix, and refuses those of one token."""
    relay = pairs.transcode

    def lossy(canvas: Canvas, source: Any, target_canvas: Canvas, target: Any) -> Transcoded:
        arrived = relay(canvas, source, target_canvas, target)
        assert arrived.canvas is not None
        number = arrived.canvas.layout.length - arrived.canvas.masked_left
        if number <= 1:
            return Transcoded(None, "overflow", 0)
        if number % 2:
            return arrived
        generated = list(arrived.canvas.generated)
        generated[number - 1] = arrived.canvas.layout.mask_id
        return dataclasses.replace(arrived, canvas=arrived.canvas.with_generated(tuple(generated), 0))

    monkeypatch.setattr(pairs, "transcode", lossy)

    there, _ = diagnosis()["relays"][0]["exactness"]

    assert there["num_refused"] > 0
    assert there["num_changed"] > 100
    assert re.search(
        rf"^zoo-llada → zoo-dream .* {there['num_refused'] + there['num_changed']} ", doctor().stdout, re.M
    )


def test_members_with_one_tokenizer_have_nothing_to_measure(tmp_path: Path) -> None:
    twin = shutil.copytree(ZOO["zoo-dream"], tmp_path / "twin")
    config = configuration(tmp_path, {"name": "a", "path": ZOO["zoo-dream"]}, {"name": "b", "path": twin})

    (relay,) = diagnosis("--config", str(config))["relays"]

    assert (relay["way"], relay["exactness"]) == ("copies ids", [])


def test_extras_that_are_not_installed_are_named_with_their_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "find_spec", lambda name: None)

    told = {each["what"]: each for each in diagnosis()["missing"]}

    assert told["matplotlib"]["needed_for"] == "tie eval --plots"
    assert told["math_verify"]["remedy"] == ".venv/bin/pip install -e '.[eval]'"
    assert ".venv/bin/pip install -e '.[otel]'" in doctor().stdout
    assert "…" not in doctor().stdout  # nothing is cut at 80 columns
    assert doctor().exit_code == 0


def test_traces_without_their_extra_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "find_spec", lambda name: None)
    monkeypatch.setenv("TIE_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:4318")

    assert doctor().exit_code == 1
    assert diagnosis()["problems"] == [f"[telemetry] needs {missing.OTEL}: .venv/bin/pip install -e '.[otel]'"]


def test_a_member_without_a_chat_template_is_missing_it(tmp_path: Path) -> None:
    bare = shutil.copytree(ZOO["zoo-dream"], tmp_path / "bare")
    tokenizer = json.loads((bare / "tokenizer_config.json").read_text())
    del tokenizer["chat_template"]
    (bare / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    config = configuration(tmp_path, {"name": "bare", "path": bare})

    (told,) = diagnosis("--config", str(config))["missing"]

    assert (told["what"], told["remedy"]) == ("bare's chat template", "a `prompt` works: tie run --raw")


def test_keys_that_cannot_be_read_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_AUTH__KEYS_FILE", str(tmp_path / "keys.toml"))

    (problem,) = diagnosis()["problems"]

    assert "keys.toml cannot be read" in problem


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    config = configuration(
        tmp_path, {"name": "a", "path": tmp_path / "nothing"}, {"name": "b", "path": ZOO["zoo-dream"]}
    )

    result = doctor("--config", str(config))

    assert result.exit_code == 1
    assert "is no folder" in result.stdout
    assert "nothing stands" not in result.stdout
    assert [model["name"] for model in diagnosis("--config", str(config))["models"]] == ["b"]


def test_the_documents_models_are_told_one_by_one_with_what_is_missing(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    example, *_ = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    config = tmp_path / "tie.toml"
    config.write_text(example.replace("~/models/", f"{tmp_path}/").replace("cuda:", "cuda:7"), encoding="utf-8")

    result = doctor("--config", str(config))

    assert result.exit_code == 1
    for name, device, folder in (("llada", "cuda:70", "LLaDA-1.5"), ("dream", "cuda:71", "Dream-v0-Instruct-7B")):
        assert re.search(rf"^{name} +{device} +bfloat16 +not known", result.stdout, re.MULTILINE)
        said = " ".join(result.stdout.split())
        assert f"{name}: {tmp_path / folder} is no folder" in said
        assert f"{name}: device '{device}' is not here: choose one of cpu" in said
    assert "download the checkpoint first and give its folder as the path" in said
    assert "once the models' folders can be read" in said


def test_a_device_that_is_not_there_is_a_problem_that_lists_what_is(tmp_path: Path) -> None:
    config = configuration(tmp_path, {"name": "a", "path": ZOO["zoo-llada"], "device": "cuda:77"})

    result = doctor("--config", str(config), "--json")

    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem.startswith("a: device 'cuda:77' is not here: choose one of cpu")


def test_too_little_memory_is_a_problem_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "host_memory", lambda: HostMemory(64_000_000, 20_000_000))

    (problem,) = diagnosis()["problems"]

    assert "zoo-llada needs 3.8 MB of weights + 30.2 MB of activations" in problem
    assert "on cpu, which has 20.0 MB free: use dtype bfloat16" in problem


def test_the_same_plan_refuses_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "host_memory", lambda: HostMemory(64_000_000, 20_000_000))

    with pytest.raises(PlacementError, match=r"which has 20\.0 MB free"):
        load(Settings(), Observer())


def test_a_limit_makes_the_plan_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "host_memory", lambda: HostMemory(64_000_000, 36_000_000))
    models = [ModelSettings(name=name, path=path) for name, path in ZOO.items()]

    check_placement(models, LimitSettings(max_batch_positions=512))


def test_a_configuration_that_cannot_be_read_is_no_diagnosis(tmp_path: Path) -> None:
    path = tmp_path / "tie.toml"
    path.write_text("oops", encoding="utf-8")

    with pytest.raises(SettingsError, match="not valid TOML"):
        doctor("--config", str(path))


def test_a_dtype_that_the_cpu_only_emulates_is_advised_against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctoring, "bfloat16_slowdown", lambda: 11.3)
    model = {"name": "llada", "path": str(ZOO["zoo-llada"]), "dtype": "bfloat16"}
    config = configuration(tmp_path, model)

    told = diagnosis("--config", str(config))

    (advice,) = told["advice"]
    assert "a product takes 11 times as long" in advice
    assert advice.endswith('set dtype = "float32" for llada if there is memory for it')
    assert told["problems"] == []
    assert "only emulates bfloat16" in doctor("--config", str(config)).stdout


def test_nobody_is_advised_where_bfloat16_is_fast_or_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctoring, "bfloat16_slowdown", lambda: 0.6)
    config = configuration(tmp_path, {"name": "llada", "path": str(ZOO["zoo-llada"]), "dtype": "bfloat16"})

    assert diagnosis("--config", str(config))["advice"] == diagnosis()["advice"] == []
