"""One file and TIE_* variables, strict."""

from pathlib import Path

import pytest

from service.configuration import load_settings
from service.settings import Settings, SettingsError
from tie_core import zoo

FILE = """
[server]
port = 8100
drain_seconds = 5

[[models]]
name = "a"
path = "/models/a"
dtype = "bfloat16"

[[models]]
name = "b"
path = "/models/b"
device = "cuda:1"

[[ensembles]]
name = "both"
models = ["a", "b"]
defaults = { task = "math", interval = 32 }
about = "School mathematics."
examples = ["What is 17 + 25?"]
policy_defaults = { threshold = { interval = 8 } }

[limits]
max_running = 4
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TIE_CONFIG", "TIE_SERVER__PORT"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "tie.toml"
    path.write_text(text, encoding="utf-8")
    return path


def message(config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    return str(caught.value)


def test_without_configuration_it_is_the_zoo() -> None:
    settings = load_settings()

    assert [model.name for model in settings.models] == list(zoo.MEMBERS)
    assert settings.default_ensemble.name == "tie"
    assert settings.default_ensemble.defaults["interval"] == zoo.INTERVAL
    for policy in ("threshold", "factor", "entropy_bound"):
        assert settings.default_ensemble.policy_defaults[policy]["interval"] == zoo.PARALLEL_INTERVAL
    assert (settings.default_ensemble.about, settings.default_ensemble.examples) == (zoo.ABOUT, list(zoo.EXAMPLES))
    assert settings.server.host == "127.0.0.1"
    assert settings.limits.max_batch_positions is None


def test_a_file_is_read(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, FILE))

    assert (settings.server.port, settings.server.drain_seconds, settings.limits.max_running) == (8100, 5, 4)
    assert [(model.name, model.device, model.dtype) for model in settings.models] == [
        ("a", "cpu", "bfloat16"),
        ("b", "cuda:1", "float32"),
    ]
    assert settings.default_ensemble.models == ["a", "b"]
    assert settings.default_ensemble.about == "School mathematics."
    assert settings.default_ensemble.examples == ["What is 17 + 25?"]


def test_tie_config_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIE_CONFIG", str(write(tmp_path, FILE)))

    assert load_settings().server.port == 8100


def test_variables_win_over_the_file_and_arguments_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, FILE)
    monkeypatch.setenv("TIE_SERVER__PORT", "8200")

    settings = load_settings(config)

    assert (settings.server.port, settings.server.drain_seconds) == (8200, 5)
    assert load_settings(config, port=8300, host=None).server.port == 8300


def test_models_without_ensembles_are_one(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, '[[models]]\nname = "a"\npath = "x"\n'))

    assert (settings.default_ensemble.name, settings.default_ensemble.models) == ("tie", ["a"])
    assert settings.default_ensemble.defaults == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprt = 1", ["server.prt", "unknown key", "port"]),
        ("[servr]\nport = 1", ["servr", "unknown key", "server"]),
        ("[server]\nport = 70000", ["server.port"]),
        ("[server]\nport = 'x'", ["server.port"]),
        ("[server]\nworkers = 2", ["server.workers", "workers is 1"]),
        ("[server]\nhost = '0.0.0.0'", ["0.0.0.0", "allow_public"]),
        ("[server]\nhost = 'example.com'", ["example.com", "allow_public"]),
        ("[[models]]\nname = 'a b'\npath = 'x'", ["models.0.name"]),
        ("[[models]]\nname = 'a'\npath = 'x'\ndevice = 'tpu'", ["models.0.device"]),
        ("[[models]]\nname = 'tie'\npath = 'x'", ["tie", "twice"]),
        ("[[ensembles]]\nname = 'e'\nmodels = ['nobody']", ["ensemble e", "nobody"]),
        ("[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream', 'zoo-dream']", ["ensemble e", "twice"]),
        ("[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream']\ndefaults = {interval = 0}", ["interval"]),
        ("[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream']\ndefaults = {intervall = 1}", ["intervall", "unknown"]),
        (
            "[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream']\ndefaults = {best_model = 'nobody'}",
            ["best_model is one of zoo-dream"],
        ),
        (
            "[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream']\n"
            "policy_defaults = {threshold = {selection = 'best_model', best_model = 'zoo-llada'}}",
            ["best_model is one of zoo-dream"],
        ),
        (
            "[[ensembles]]\nname = 'e'\nmodels = ['zoo-dream', 'zoo-llada']\n"
            "defaults = {calibration = {zoo-dream = {tcc = {intercept = 0, slope = 1}}}}",
            ["calibration is of each of zoo-dream, zoo-llada"],
        ),
        ("[limits]\nmax_running = 0", ["limits.max_running"]),
        ("[limits]\ntick_seconds = 0", ["limits.tick_seconds"]),
        ("oops", ["not valid TOML"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: list[str]) -> None:
    said = message(write(tmp_path, text))

    assert all(word in said for word in named), said


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("TIE_SERVER__PRT", "1", "TIE_SERVER__PRT"),
        ("TIE_SERVER_PORT", "1", "TIE_SERVER_PORT"),
        ("TIE_PORT", "1", "TIE_PORT"),
        ("TIE_SERVER__PORT", "many", "server.port"),
        ("TIE_MODELS", "[oops", "JSON"),
        ("TIE_CONFIG", "/nowhere/tie.toml", "/nowhere/tie.toml"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str) -> None:
    monkeypatch.setenv(variable, value)

    assert named in message()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_flag(host: str) -> None:
    assert load_settings(host=host).server.host == host


def test_a_public_host_needs_the_flag() -> None:
    assert load_settings(host="0.0.0.0", allow_public=True).server.host == "0.0.0.0"


def test_a_public_host_needs_no_flag_where_there_are_keys(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[server]\nhost = '0.0.0.0'\n[auth]\nkeys_file = 'keys.toml'"))

    assert (settings.server.host, settings.server.allow_public) == ("0.0.0.0", False)
    assert settings.auth.keys_file == Path("keys.toml")


def test_who_may_ask_is_read_from_the_file(tmp_path: Path) -> None:
    text = "[server]\nallowed_hosts = ['Tie.Example', '[::1]']\n[auth]\nkeys_file = 'k.toml'\nopen_metrics = true"

    settings = load_settings(write(tmp_path, text))

    assert settings.auth.open_metrics
    assert settings.server.allowed_hosts == ["tie.example", "[::1]"]
    assert not load_settings().auth.open_metrics


@pytest.mark.parametrize("host", ["a b", "http://x", "x:80", "", "*.example"])
def test_an_allowed_host_is_a_name_without_port(tmp_path: Path, host: str) -> None:
    assert "server.allowed_hosts.0" in message(write(tmp_path, f"[server]\nallowed_hosts = ['{host}']"))


def test_settings_do_not_change() -> None:
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
