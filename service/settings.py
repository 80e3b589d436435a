"""The configuration: one TOML file and `TIE_*` variables, strict. The environment is read nowhere else.

`TIE_LIMITS__MAX_RUNNING=8` is `max_running` in `[limits]`. Variables win over the file, arguments over both.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from tie_core import zoo
from tie_core.engine import STALL_SECONDS, TICK_SECONDS
from tie_core.errors import OptionsError
from tie_core.options import resolve_options

PREFIX = "TIE_"
CONFIG_VARIABLE = "TIE_CONFIG"
DEFAULT_ENSEMBLE = "tie"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])$", to_lower=True)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """A configuration that cannot be used; the message names the key and where it came from."""


def is_loopback(host: str) -> bool:
    """An address or name of this machine that no other one can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Section(BaseModel):
    """What all sections share: an unknown key is an error, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the server listens and how it ends. `port = 0` lets the system choose one.

    `allowed_hosts` are the names that requests may call it by, `["*"]` any. Without any it is those of loopback, and
    with API keys any.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    allow_public: bool = False
    allowed_hosts: list[Host] = []
    workers: int = 1
    drain_seconds: Seconds = 30.0
    stale_after_seconds: Seconds = 60.0
    ping_seconds: Seconds = 15.0
    send_timeout_seconds: Seconds = 30.0

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int) -> int:
        if workers != 1:
            raise ValueError("workers is 1: every process would load all models; start a second server instead")
        return workers

    @property
    def is_public(self) -> bool:
        """Reachable from other machines."""
        return not is_loopback(self.host)


class AuthSettings(Section):
    """API keys: a TOML file as `tie keys new` writes it. Without a file everybody may ask."""

    keys_file: Path | None = None
    open_metrics: bool = False


class ModelSettings(Section):
    """A member: a checkpoint folder under a name."""

    name: Name
    path: Path
    device: Annotated[str, StringConstraints(pattern=r"^(cpu|cuda(:\d{1,2})?)$")] = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class EnsembleSettings(Section):
    """Members that answer as one. `defaults` are options; `policy_defaults` lie over them for one policy."""

    name: Name
    models: list[Name] = Field(min_length=1)
    defaults: dict[str, Any] = {}
    policy_defaults: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _options_exist(self) -> Self:
        try:
            resolve_options(self.defaults)
            for policy, options in self.policy_defaults.items():
                resolve_options(self.defaults, {"policy": policy}, options)
        except OptionsError as error:
            raise ValueError(f"{error.param}: {error}") from None
        return self


class LimitSettings(Section):
    """What one request and all of them together may take.

    A packed forward holds what should take `tick_seconds`, as measured at the start, and what the memory holds;
    `max_batch_positions` bounds it further. Of a run the newest `max_kept_states` states are kept one by one, and after
    its end it can be asked for until one of the other `kept` limits is reached. A model whose forward takes more than
    `stall_seconds`, and 20 times what it should, is taken to hang: requests go on without it, and its thread is
    replaced. `waiting_reserve` is the share of the waiting places that only keys which hold few may take.
    """

    max_running: Count = 32
    max_waiting: int = Field(default=128, ge=0)
    waiting_reserve: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_waiting_positions: Count | None = None
    max_request_positions: Count | None = None
    tick_seconds: Annotated[float, Field(ge=0.001, le=60)] = TICK_SECONDS
    max_batch_positions: Count | None = None
    stall_seconds: Seconds = STALL_SECONDS
    max_body_bytes: Count = 1_048_576
    max_prompt_chars: Count = 200_000
    body_seconds: Seconds = 20.0
    max_connections: Count = 2_048
    max_headers: Count = 100
    max_header_bytes: Annotated[int, Field(ge=1_024)] = 32_768
    header_seconds: Seconds = 10.0
    keep_alive_seconds: Count = 30
    max_seconds: Seconds | None = None
    max_kept_states: int = Field(default=256, ge=4)
    kept_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    max_kept_runs: int = Field(default=1_000, ge=0)
    max_kept_bytes: int = Field(default=67_108_864, ge=0)


class TelemetrySettings(Section):
    """Where traces go: to a collector (OTLP over HTTP), or where the OTEL_* variables say, if they are to count."""

    otlp_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = None
    use_otel_variables: bool = False
    service_name: Name = "tie-server"


def _zoo_models() -> list[ModelSettings]:
    return [ModelSettings(name=name, path=zoo.member_path(name)) for name in zoo.MEMBERS]


def _zoo_ensemble() -> EnsembleSettings:
    return EnsembleSettings(
        name=DEFAULT_ENSEMBLE,
        models=list(zoo.MEMBERS),
        defaults=dict(zoo.DEFAULTS),
        policy_defaults={policy: dict(options) for policy, options in zoo.POLICY_DEFAULTS.items()},
    )


class Settings(BaseSettings):
    """The whole configuration. The first ensemble is the default; without models it is the embedded zoo."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    models: list[ModelSettings] = []
    ensembles: list[EnsembleSettings] = []
    limits: LimitSettings = LimitSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` passes: it layers file, environment and arguments itself."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fill_in_the_zoo(self) -> Self:
        if not self.ensembles:
            names = [model.name for model in self.models]
            ensemble = EnsembleSettings(name=DEFAULT_ENSEMBLE, models=names) if names else _zoo_ensemble()
            object.__setattr__(self, "ensembles", [ensemble])
        if not self.models:
            object.__setattr__(self, "models", _zoo_models())
        return self

    @model_validator(mode="after")
    def _public_only_with_keys_or_on_purpose(self) -> Self:
        server = self.server
        if server.is_public and not server.allow_public and self.auth.keys_file is None:
            raise ValueError(
                f"server.host {server.host} is reachable from other machines and there are no API keys: set"
                " auth.keys_file (`tie keys new` makes keys), or server.allow_public = true"
                " (TIE_SERVER__ALLOW_PUBLIC=true) if anybody who can reach it may use it"
            )
        return self

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        members = [model.name for model in self.models]
        names = [*members, *(ensemble.name for ensemble in self.ensembles)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"models and ensembles share one list of names, and {', '.join(twice)} is there twice")
        for ensemble in self.ensembles:
            if unknown := sorted({*ensemble.models} - {*members}):
                raise ValueError(f"ensemble {ensemble.name} names unknown models: {', '.join(unknown)}")
            if len(set(ensemble.models)) < len(ensemble.models):
                raise ValueError(f"ensemble {ensemble.name} names a model twice")
        return self

    @property
    def default_ensemble(self) -> EnsembleSettings:
        return self.ensembles[0]


def load_settings(config: Path | None = None, **server: Any) -> Settings:
    """The settings: `config` or the file that TIE_CONFIG names, variables over it, server options over both.

    Raises:
        SettingsError: a file that cannot be read, an unknown key or variable, a value out of range.
    """
    path = config or (Path(named) if (named := os.environ.get(CONFIG_VARIABLE)) else None)
    layers = [_read_file(path) if path else {}, _read_environment(), {"server": _given(server)}]
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
        raise SettingsError(f"the configuration {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"the configuration {path} is not valid TOML: {error}") from None


def _read_environment() -> dict[str, Any]:
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable != CONFIG_VARIABLE:
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


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
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
        "telemetry": TelemetrySettings,
    }
    section = sections.get(str(loc[0])) if len(loc) > 1 else Settings
    return f"; the keys there are {', '.join(section.model_fields)}" if section else ""
