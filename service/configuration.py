"""From one TOML file and `TIE_*` variables to settings, strict. The environment is read nowhere else.

`TIE_LIMITS__MAX_RUNNING=8` is `max_running` in `[limits]`. Variables win over the file, arguments over both.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from service.settings import (
    PREFIX,
    AuthSettings,
    EnsembleSettings,
    LimitSettings,
    ModelSettings,
    RaySettings,
    ServerSettings,
    Settings,
    SettingsError,
    TelemetrySettings,
)

CONFIG_VARIABLE = "TIE_CONFIG"
CLIENT_KEY_VARIABLE = "TIE_API_KEY"  # what the commands send to a --server; no setting


def load_settings(config: Path | None = None, **server: Any) -> Settings:
    """The settings: `config` or the file that TIE_CONFIG names, variables over it, server options over both.

    Raises:
        SettingsError: a file that cannot be read, an unknown key or variable, a value out of range.
    """
    return make_settings([*read_layers(config), {"server": _given(server)}])


def read_layers(config: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the file says, and what the variables say over it, as they say it.

    Raises:
        SettingsError: a file that cannot be read, an unknown variable.
    """
    path = config_path(config)
    return _read_file(path) if path else {}, _read_environment()


def config_path(config: Path | None) -> Path | None:
    """The file: the one that is named here, or by TIE_CONFIG."""
    named = os.environ.get(CONFIG_VARIABLE)
    return config or (Path(named) if named else None)


def variable_of(section: str, key: str | None = None) -> str | None:
    """The variable that a setting comes from, as it is spelled in the environment; None if from none."""
    whole = f"{PREFIX}{section}".upper()
    wanted = (f"{whole}__{key}".upper(), whole) if key else (whole,)
    spelled = {variable.upper(): variable for variable in os.environ}
    return next((spelled[name] for name in wanted if name in spelled), None)


def has_client_key() -> bool:
    """Whether the variable of the client's key is set."""
    return bool(os.environ.get(CLIENT_KEY_VARIABLE))


def make_settings(layers: Sequence[Mapping[str, Any]]) -> Settings:
    """Raises:
    SettingsError: an unknown key, a value out of range.
    """
    try:
        return Settings(**_merged(layers))
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(detail) for detail in error.errors(include_url=False))) from None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"the configuration {path} cannot be read: {error.strerror}; name another with --config or TIE_CONFIG"
        ) from None
    except ValueError as error:
        raise SettingsError(f"the configuration {path} is not valid TOML: {error}; mend it there") from None


def _read_environment() -> dict[str, Any]:
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable not in (CONFIG_VARIABLE, CLIENT_KEY_VARIABLE):
            _check_variable(variable)
    try:
        return EnvSettingsSource(Settings)()
    except ValueError as error:  # pydantic-settings' own: a list or table that is no JSON
        raise SettingsError(f"{error}: lists and tables in variables are JSON") from None


def _check_variable(variable: str) -> None:
    section, *rest = variable[len(PREFIX) :].lower().split("__")
    known = {name: field.annotation for name, field in Settings.model_fields.items()}
    if section not in known:
        raise SettingsError(f"{variable}: unknown variable; it would be a section, one of {', '.join(known)}")
    kind = known[section]
    keys = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    if rest and (len(rest) > 1 or rest[0] not in keys):
        raise SettingsError(f"{variable}: unknown variable; [{section}] has {', '.join(keys) or 'a JSON value'}")


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Later layers win, key by key within a section; lists are replaced."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = result.get(name)
            result[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _describe(detail: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "configuration"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key{_known_keys(detail['loc'])}"
    return f"{where}: {re.sub('^Value error, ', '', detail['msg'])}"


def _known_keys(loc: tuple[int | str, ...]) -> str:
    sections: dict[str, type[BaseModel]] = {
        "server": ServerSettings,
        "auth": AuthSettings,
        "models": ModelSettings,
        "ensembles": EnsembleSettings,
        "limits": LimitSettings,
        "ray": RaySettings,
        "telemetry": TelemetrySettings,
    }
    section = sections.get(str(loc[0])) if len(loc) > 1 else Settings
    return f"; the keys there are {', '.join(section.model_fields)}" if section else ""
