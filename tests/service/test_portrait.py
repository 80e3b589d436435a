"""`tie show` and `tie config`: what a model is by its files, and where every setting comes from."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.keys import add_key
from service.settings import Settings
from tests.service.terminal import invoke, run_main
from tie_core import zoo
from tie_core.models.footprint import read_footprint

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def shown(*arguments: str) -> dict[str, Any]:
    return json.loads(invoke("show", *arguments, "--json").stdout)


@pytest.mark.parametrize("name", zoo.MEMBERS)
def test_a_model_is_shown_by_what_its_files_say(name: str) -> None:
    told = shown(name)

    stored = json.loads((zoo.member_path(name) / "config.json").read_text())
    footprint = read_footprint(zoo.member_path(name), "float32")
    assert told["ensembles"] == [Settings().default_ensemble.name]
    mask = told["tokenizer"]["tokens"]["mask"]
    assert mask["id"] == stored.get("mask_token_id", mask["id"])  # a2d-qwen3's is named by the tokenizer alone
    assert told["tokenizer"]["tokens"]["eos"]["id"] == stored["eos_token_id"]
    assert mask["text"] in ("<|mdm_mask|>", "<|mask|>")
    assert told["parameters"] == sum(told["files"]["stored"].values()) == footprint.weights_bytes // 4
    assert told["shape"]["layers"] == stored.get("n_layers", stored.get("num_hidden_layers"))
    assert told["memory"]["weights_bytes"] == footprint.weights_bytes
    assert told["memory"]["cache_bytes"] == 4096 * footprint.cache_bytes


def test_a_person_is_shown_the_same_in_words() -> None:
    told = invoke("show", "zoo-dream").stdout

    for words in ("886.9 k in BF16", "one row to the left", "mask 366 <|mask|>", "by its own chat template", "float32"):
        assert words in told


def test_a_folder_can_be_shown_before_it_is_configured(tmp_path: Path) -> None:
    folder = shutil.copytree(zoo.member_path("zoo-dream"), tmp_path / "mine [red]")

    told = shown(str(folder))

    assert (told["name"], told["ensembles"], told["family"]) == ("mine [red]", [], "dream")
    assert "mine [red]" in invoke("show", str(folder)).stdout


def test_a_model_without_a_chat_template_says_so(tmp_path: Path) -> None:
    folder = shutil.copytree(zoo.member_path("zoo-dream"), tmp_path / "bare")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "chat_template.jinja").unlink(missing_ok=True)

    assert shown(str(folder))["tokenizer"]["takes_messages"] is False
    assert "no chat template: send `prompt`" in invoke("show", str(folder)).stdout


def settings_of(*arguments: str) -> dict[str, Any]:
    return json.loads(invoke("config", "--json", *arguments).stdout)["settings"]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    file = tmp_path / "tie.toml"
    file.write_text(
        "[server]\nport = 8001\nping_seconds = 3.0\n[telemetry]\n"
        f"otlp_endpoint = 'https://me:{SECRET}@collector.example:4318/v1?token={SECRET}'\n",
        encoding="utf-8",
    )
    return file


def test_every_setting_says_where_it_comes_from(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_SERVER__PORT", "8002")

    told = settings_of("--config", str(configuration))

    assert told["server"]["port"] == {"value": 8002, "source": "TIE_SERVER__PORT"}
    assert told["server"]["ping_seconds"] == {"value": 3.0, "source": "file"}
    assert told["server"]["host"] == {"value": "127.0.0.1", "source": "default"}
    assert told["models"]["source"] == told["ensembles"]["source"] == "the embedded zoo"
    assert [model["name"] for model in told["models"]["value"]] == list(zoo.MEMBERS)


def test_models_of_a_file_make_the_ensemble_of_all(tmp_path: Path) -> None:
    file = tmp_path / "tie.toml"
    file.write_text('[[models]]\nname = "mine"\npath = "/nowhere"\n', encoding="utf-8")

    told = settings_of("--config", str(file))

    assert (told["models"]["source"], told["ensembles"]["source"]) == ("file", "all models")


def test_every_section_and_key_is_told() -> None:
    told = settings_of()

    assert list(told) == list(Settings.model_fields)
    for section, values in Settings().model_dump(mode="json").items():
        if section not in ("models", "ensembles"):
            assert {key: each["value"] for key, each in told[section].items()} == values


def test_secrets_are_not_told(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_API_KEY", "tie-secret")

    plain, machine = (invoke("config", "--config", str(configuration), *more).stdout for more in ([], ["--json"]))

    assert SECRET not in plain + machine
    assert "tie-secret" not in plain + machine
    assert "TIE_API_KEY is set, and not shown" in plain
    assert json.loads(machine)["settings"]["telemetry"]["otlp_endpoint"]["value"].startswith("https://***@collector")


@pytest.mark.parametrize("url", [f"http://[{SECRET}", f"https://me:{SECRET}@collector.example:70000", "http://:4318"])
def test_what_is_no_url_of_a_collector_is_refused_without_being_told(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIE_TELEMETRY__OTLP_ENDPOINT", url)

    assert run_main(monkeypatch, "config") == 2

    said = capsys.readouterr().err
    assert "telemetry.otlp_endpoint" in said
    assert "http://collector:4318" in said
    assert url not in said


def test_a_configuration_is_checked_with_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.toml"
    monkeypatch.setenv("TIE_AUTH__KEYS_FILE", str(keys))

    assert run_main(monkeypatch, "config", "--check") == 2
    add_key(keys, "alice")
    assert "API keys alice" in invoke("config", "--check").stdout


def test_a_check_is_an_answer_for_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(invoke("config", "--check", "--json").stdout) == {"valid": True, "problem": None}
    monkeypatch.setenv("TIE_SERVER__PORT", "99999")

    refused = invoke("config", "--check", "--json")

    assert refused.exit_code == 2
    assert "server.port" in json.loads(refused.stdout)["problem"]
