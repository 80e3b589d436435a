"""What `tie config` tells: every setting with its value and where that came from. Secrets are not told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.configuration import (
    CLIENT_KEY_VARIABLE,
    config_path,
    has_client_key,
    load_settings,
    make_settings,
    read_layers,
    variable_of,
)
from service.inventory import plain_table
from service.keys import read_needed_keys
from service.lines import visible
from service.settings import Settings

HIDDEN: Final = "***"
DEFAULT, FILE, ZOO = "default", "file", "the embedded zoo"
LISTS: Final = ("models", "ensembles")


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting. `source` is `default`, `file`, the name of a variable, or for lists `the embedded zoo`."""

    section: str
    key: str
    value: Any
    source: str


def effective(config: Path | None) -> Iterator[Effective]:
    """Every setting that is no list, in the order of the sections.

    Raises:
        SettingsError: the configuration cannot be used.
    """
    file, variables = read_layers(config)
    settings = make_settings([file, variables])
    for section, values in settings.model_dump(mode="json").items():
        if section not in LISTS:
            for key, value in values.items():
                yield Effective(section, key, _told(key, value), _source(section, key, file, variables))


def _source(section: str, key: str, file: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    if key in variables.get(section, {}):
        return variable_of(section, key) or DEFAULT
    return FILE if key in file.get(section, {}) else DEFAULT


def _told(key: str, value: Any) -> Any:
    """A URL without what may be a secret in it."""
    if key != "otlp_endpoint" or value is None:
        return value
    url = urlsplit(value)
    _, at, host = url.netloc.rpartition("@")
    return urlunsplit((url.scheme, HIDDEN + at + host if at else host, url.path, url.query and HIDDEN, ""))


def _list_source(name: str, file: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    if variables.get(name):
        return variable_of(name) or DEFAULT
    if file.get(name):
        return FILE
    return ZOO if name == "models" or not (file.get("models") or variables.get("models")) else "all models"


def data(config: Path | None) -> dict[str, Any]:
    """Plain JSON types: `settings[section][key]` and the lists, each with `value` and `source`.

    Raises:
        SettingsError: the configuration cannot be used.
    """
    file, variables = read_layers(config)
    settings = make_settings([file, variables])
    told: dict[str, Any] = {name: {} for name in Settings.model_fields}
    for each in effective(config):
        told[each.section][each.key] = {"value": each.value, "source": each.source}
    for name in LISTS:
        value = [each.model_dump(mode="json") for each in getattr(settings, name)]
        told[name] = {"value": value, "source": _list_source(name, file, variables)}
    path = config_path(config)
    return {"file": str(path) if path else None, "client_key": has_client_key(), "settings": told}


def parts(config: Path | None) -> list[RenderableType]:
    """The same for a person; what is not as it is by default stands out.

    Raises:
        SettingsError: the configuration cannot be used.
    """
    file, variables = read_layers(config)
    settings = make_settings([file, variables])
    path = config_path(config)
    key = f"{CLIENT_KEY_VARIABLE} is {'set, and not shown' if has_client_key() else 'not set'}"
    head = Text(f"configuration: {path or 'no file (--config or TIE_CONFIG names one)'}; {key}")
    return [head, _settings_table(config), _lists_table(settings, file, variables)]


def _settings_table(config: Path | None) -> Table:
    table = plain_table("setting", "value", "from")
    for each in effective(config):
        style = "dim" if each.source == DEFAULT else "bold"
        name = Text(f"{each.section}.{each.key}", style)
        table.add_row(name, Text(visible(_words(each.value)), style, overflow="fold"), Text(each.source, style))
    return table


def _words(value: Any) -> str:
    """As TOML would have it, more or less."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _lists_table(settings: Settings, file: Mapping[str, Any], variables: Mapping[str, Any]) -> Table:
    table = plain_table("list", "names", "from")
    for name in LISTS:
        names = ", ".join(each.name for each in getattr(settings, name))
        table.add_row(name, names, _list_source(name, file, variables))
    return table


def check_settings(config: Path | None) -> str:
    """That everything is there which the server reads before any model; says what was checked.

    Raises:
        SettingsError: it cannot be used.
    """
    settings = load_settings(config)
    checked = [f"models {', '.join(each.name for each in settings.models)}"]
    checked += [f"ensembles {', '.join(each.name for each in settings.ensembles)}"]
    if (file := settings.auth.keys_file) is not None:
        names = [holder.name for holder in read_needed_keys(file.expanduser()).values()]
        checked.append(f"API keys {', '.join(names)}")
    return f"the configuration can be used: {'; '.join(checked)} (`tie doctor` looks at the models themselves)"
