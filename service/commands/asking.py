"""A question, put to the models in this process or to a server: both answer with the same events."""

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from service.parameters import given, members_of
from service.progress import counted
from service.settings import EnsembleSettings, Settings
from tie_core.errors import UnknownModelError
from tie_core.options import options_of

if TYPE_CHECKING:
    from tie_core.ensemble import Ensemble
    from tie_core.events import Event
    from tie_core.options import Detail

SMALL_BYTES = 50_000_000  # of weights

Ask = Callable[[Mapping[str, Any], "Detail"], "Generator[Event, None, object]"]
"""`{"messages": ...}` or `{"prompt": ...}`, and how much of it is told -> its events."""


def options_from(named: list[str] | None, **options: Any) -> dict[str, Any]:
    """The options of a command line by the library's names; what has an option of its own goes first.

    Raises:
        OptionsError: a word of `named` without a name.
    """
    return options_of(named or []) | given(**options)


def ask_server(
    server: str, key: str | None, ensemble: str | None, models: str | None, options: Mapping[str, Any]
) -> Ask:
    """Nothing is sent before the first event is asked for.

    Raises:
        OptionsError: an option that the server's route has no field for.
    """
    from service.client import server_events
    from service.option_places import body_of

    body = body_of(options) | given(ensemble=ensemble, models=members_of(models))

    def ask(asked: Mapping[str, Any], detail: "Detail") -> "Generator[Event, None, object]":
        return server_events(server, {**asked, **body, "events": detail}, key)

    return ask


def ask_here(settings: Settings, ensemble: str | None, models: str | None, options: Mapping[str, Any]) -> Ask:
    """Loads the members that are asked for.

    Raises:
        UnknownModelError: no such ensemble, or members that it does not have.
        TieError: a checkpoint or a device that cannot be used.
    """
    chosen = settings.find_ensemble(ensemble)
    names = members_of(models)
    if unknown := [name for name in names or [] if name not in chosen.models]:
        raise UnknownModelError(
            "models",
            f"{chosen.name} has {', '.join(chosen.models)}, not {', '.join(unknown)}: name some of these",
        )
    loaded = load_ensemble(settings, chosen, names or chosen.models)
    asked_of = given(models=names)

    def ask(asked: Mapping[str, Any], detail: "Detail") -> "Generator[Event, None, object]":
        return loaded.generate(**asked, **asked_of, **options, detail=detail)

    return ask


def asker(
    server: str | None,
    key: str | None,
    config: Path | None,
    ensemble: str | None,
    models: str | None,
    options: Mapping[str, Any],
) -> Ask:
    """Whoever a command line names."""
    if server is not None:
        return ask_server(server, key, ensemble, models, options)
    from service.configuration import load_settings

    return ask_here(load_settings(config), ensemble, models, options)


def introduction(server: str | None, key: str | None, config: Path | None, ensemble: str | None) -> list[str]:
    """What whoever a command line names can be asked, and an example, in lines; none where nobody said it.

    Raises:
        TieError: no such ensemble, or the server does not tell.
    """
    about: object
    examples: object
    if server is None:
        from service.configuration import load_settings

        chosen = load_settings(config).find_ensemble(ensemble)
        about, examples = chosen.about, chosen.examples
    else:
        told = _told_by(server, key, ensemble)
        about, examples = told.get("about"), told.get("examples")
    example = examples[0] if isinstance(examples, list) and examples else None
    lines = [about] if isinstance(about, str) and about else []
    return [*lines, f"for example: {example}"] if isinstance(example, str) else lines


def _told_by(server: str, key: str | None, ensemble: str | None) -> Mapping[str, Any]:
    from service.client import server_ensembles

    entries = server_ensembles(server, key)
    if ensemble is None:
        return entries[0] if entries else {}
    for entry in entries:
        if entry.get("id") == ensemble:
            return entry
    known = ", ".join(str(entry.get("id")) for entry in entries) or "none"
    raise UnknownModelError("ensemble", f"{server} has no ensemble {ensemble}: it has {known}")


def load_ensemble(settings: Settings, chosen: EnsembleSettings, names: list[str]) -> "Ensemble":
    """An ensemble of some of its members, in this process and without an engine.

    Raises:
        TieError: a checkpoint or a device that cannot be used.
    """
    configured = [model for name in names for model in settings.models if model.name == name]
    with counted("loading", len(configured), Console(stderr=True)) as bar:
        bar.now(", ".join(names))  # importing torch takes longer than loading small models
        import torch

        from service.placement import check_placement
        from tie_core.ensemble import Ensemble
        from tie_core.member import load_member

        check_placement(configured, settings.limits)
        members = []
        for each in configured:
            bar.now(each.name)
            members.append(load_member(each.name, each.path.expanduser(), each.device, each.dtype))
            bar.done()
    if sum(member.model.weights_bytes for member in members) < SMALL_BYTES:
        torch.set_num_threads(1)  # their products are too small to share: threads would only wait for each other
    return Ensemble(chosen.name, members, chosen.defaults, chosen.policy_defaults)
