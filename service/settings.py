"""What can be configured: sections of keys with their defaults and bounds. `configuration.py` reads them."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tie_core import zoo
from tie_core.engine import STALL_SECONDS, TICK_SECONDS
from tie_core.errors import OptionsError, UnknownModelError
from tie_core.options import check_members, resolve_options

PREFIX = "TIE_"
DEFAULT_ENSEMBLE = "tie"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])$", to_lower=True)]
Count = Annotated[int, Field(ge=1)]
Example = Annotated[str, StringConstraints(pattern=r"\S", max_length=2_000)]
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
    """What all sections share: an unknown key is an error, and nothing changes after loading.

    What stands below a field is its line of `docs/settings.md`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ServerSettings(Section):
    """Where the server listens and how it ends."""

    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback only with API keys or `allow_public`."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """Port to listen on; 0 lets the system choose one."""
    allow_public: bool = False
    """Whether anybody who reaches the address may use it, without API keys."""
    allowed_hosts: list[Host] = []
    """Names that requests may call the server by, `["*"]` any; without any, loopback's, and with API keys any."""
    workers: int = 1
    """Always 1: every process would load all models."""
    drain_seconds: Seconds = 30.0
    """How long the end of the server waits for the requests that run, before it cancels them."""
    stale_after_seconds: Seconds = 60.0
    """How long a model's thread may give no sign of life until the server is not ready."""
    ping_seconds: Seconds = 15.0
    """How often a silent event stream is sent a comment, so that nobody takes it for dead."""
    send_timeout_seconds: Seconds = 30.0
    """How long a client may take nothing of a stream until it is cut off."""
    needs_session: bool = False
    """Whether only what came with an `x-session-id` can be asked for again: a balancer in front goes by that header."""

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
    """Who may ask."""

    keys_file: Path | None = None
    """TOML file of API keys, as `tie keys new` writes it; without one everybody may ask."""
    open_metrics: bool = False
    """Whether `/metrics` needs no API key."""


class ModelSettings(Section):
    """A member of ensembles: a checkpoint folder under a name. Without any: the embedded zoo."""

    name: Name
    """What requests and metrics call it."""
    path: Path
    """Checkpoint folder, `~` allowed."""
    device: Annotated[str, StringConstraints(pattern=r"^(cpu|cuda(:\d{1,2})?)$")] = "cpu"
    """Where it is: `cpu`, `cuda` or `cuda:N`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What its weights are held and its forwards computed in."""


class EnsembleSettings(Section):
    """Members that answer as one, the first ensemble where a request names none. Without any: `tie`, of all models."""

    name: Name
    """What requests ask for."""
    models: list[Name] = Field(min_length=1)
    """Its members, by their names."""
    defaults: dict[str, Any] = {}
    """Options of its requests, where they do not say otherwise."""
    policy_defaults: dict[str, dict[str, Any]] = {}
    """Options that lie over `defaults` under one unmasking policy, by the policy's name."""
    about: str = Field(default="", max_length=500)
    """What its models can be asked, in a line for people."""
    examples: list[Example] = Field(default=[], max_length=12)
    """Prompts that show it, the best one first: the playground offers them, and `tie chat` names one."""

    @model_validator(mode="after")
    def _options_exist(self) -> Self:
        try:
            check_members(resolve_options(self.defaults), self.models)
            for policy, options in self.policy_defaults.items():
                check_members(resolve_options(self.defaults, {"policy": policy}, options), self.models)
        except OptionsError as error:
            raise ValueError(f"{error.param}: {error}") from None
        return self


class LimitSettings(Section):
    """What one request and all of them together may take."""

    max_running: Count = 32
    """Requests in their rounds at once."""
    max_waiting: int = Field(default=128, ge=0)
    """Requests in the queue at once."""
    waiting_reserve: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the waiting places that only API keys which hold few may take."""
    max_waiting_positions: Count | None = None
    """Cost of all requests that wait, in forward positions."""
    max_request_positions: Count | None = None
    """Cost of one request, in forward positions."""
    tick_seconds: Annotated[float, Field(ge=0.001, le=60)] = TICK_SECONDS
    """How long one packed forward should take at most, by what is measured at the start."""
    max_batch_positions: Count | None = None
    """Positions of one packed forward, beside what `tick_seconds` and the memory allow."""
    stall_seconds: Seconds = STALL_SECONDS
    """A model whose forward takes longer, and 20 times what it should, is taken to hang; its thread is replaced."""
    max_body_bytes: Count = 1_048_576
    """Size of a request's body."""
    max_prompt_chars: Count = 200_000
    """Characters of a request's messages together, or of its prompt."""
    body_seconds: Seconds = 20.0
    """How long a request's body may take to arrive."""
    max_connections: Count = 2_048
    """Connections open at once; probes are answered on 64 more."""
    max_headers: Count = 100
    """Headers of a request."""
    max_header_bytes: Annotated[int, Field(ge=1_024)] = 32_768
    """Size of a request's headers."""
    header_seconds: Seconds = 10.0
    """How long a request's headers may take to arrive."""
    keep_alive_seconds: Count = 30
    """How long an idle connection stays open."""
    max_seconds: Seconds | None = None
    """How long a request may take from its admission, the queue included."""
    max_kept_states: int = Field(default=256, ge=4)
    """Steps and answers of a run that are kept one by one for its readers; older ones are merged."""
    kept_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """How long an ended request can be asked for."""
    max_kept_runs: int = Field(default=1_000, ge=0)
    """Ended requests that can be asked for."""
    max_kept_bytes: int = Field(default=67_108_864, ge=0)
    """Size of all that is kept of ended requests."""


class RaySettings(Section):
    """How many replicas Ray Serve keeps of the whole ensemble; `tie serve` is one and reads none of this."""

    min_replicas: Count = 1
    """Replicas that there are when nobody asks."""
    max_replicas: Count = 1
    """Replicas that there are at most: one more starts when those that run have over `max_running` requests each."""
    cpus: Count = 1
    """Cores that Ray sets aside for a replica, whose models on the CPU use as many threads."""

    @model_validator(mode="after")
    def _min_is_not_more_than_max(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} exceeds max_replicas {self.max_replicas}: raise max_replicas too"
            )
        return self


class TelemetrySettings(Section):
    """Where traces go, if they go anywhere."""

    otlp_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = None
    """URL of a collector of traces (OTLP over HTTP)."""
    use_otel_variables: bool = False
    """Whether the `OTEL_*` variables say where traces go."""
    service_name: Name = "tie-server"
    """What the collector calls this server."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint_has_a_host_and_a_port(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _is_reachable(endpoint):
            raise ValueError("is no URL with a host and a possible port: give one like http://collector:4318/v1/traces")
        return endpoint


def _is_reachable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _zoo_models() -> list[ModelSettings]:
    return [ModelSettings(name=name, path=zoo.member_path(name)) for name in zoo.MEMBERS]


def _zoo_ensemble() -> EnsembleSettings:
    return EnsembleSettings(
        name=DEFAULT_ENSEMBLE,
        models=list(zoo.MEMBERS),
        defaults=dict(zoo.DEFAULTS),
        policy_defaults={policy: dict(options) for policy, options in zoo.POLICY_DEFAULTS.items()},
        about=zoo.ABOUT,
        examples=list(zoo.EXAMPLES),
    )


class Settings(BaseSettings):
    """The whole configuration. The first ensemble is the default; without models it is the embedded zoo."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    models: list[ModelSettings] = []
    ensembles: list[EnsembleSettings] = []
    limits: LimitSettings = LimitSettings()
    ray: RaySettings = RaySettings()
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

    def find_ensemble(self, name: str | None) -> EnsembleSettings:
        """The ensemble of that name, None for the default one.

        Raises:
            UnknownModelError: there is none.
        """
        for ensemble in self.ensembles:
            if name in (None, ensemble.name):
                return ensemble
        known = ", ".join(ensemble.name for ensemble in self.ensembles)
        raise UnknownModelError("ensemble", f"there is no ensemble {name}: the configuration has {known}")
