"""An ensemble's settings as a TOML file that `--config` takes as it is: what a calibration learned, and from what."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from service.settings import DEFAULT_ENSEMBLE, ModelSettings, Settings
from tie_core import zoo
from tie_core.errors import TaskError
from tie_core.evaluation.calibrating import Way
from tie_core.evaluation.evaluation import Wishes
from tie_core.evaluation.intervals import wilson
from tie_core.evaluation.report import Chapter
from tie_core.evaluation.sections import compared
from tie_core.evaluation.sides import Side
from tie_core.evaluation.tables import percent_with_interval, points_with_interval
from tie_core.options import PRESETS, TieOptions

SPELLED_OUT: Final = frozenset({"task", "score", "selection"}.union(*PRESETS.values()))
"""Options that a task's preset may set are written even where they are everybody's defaults."""


def preset_paths(wishes: Wishes, named: Path | None, out: Path) -> list[Path]:
    """One for each task that is calibrated.

    Raises:
        TaskError: one name for several, or for none.
    """
    if wishes.num_to_calibrate is None:
        if named is not None:
            raise TaskError("--preset needs --calibrate, the number of validation items to learn from")
        return []
    if len(wishes.tasks) == 1:
        return [named or out / "preset.toml"]
    if named is not None:
        raise TaskError("every task has a preset of its own: leave out --preset, and they lie in --out")
    return [out / f"{task.name}.preset.toml" for task in wishes.tasks]


def write_preset(
    path: Path, chapter: Chapter, side: Side, settings: Settings | None, ensemble: str | None, told: Mapping[str, Any]
) -> None:
    """What was learned on a task as the ensemble's settings. Without `settings` (a server was asked) the file says
    nothing of where its models are.
    """
    assert chapter.learned is not None
    study, condition = chapter.experiment.study, chapter.learned.chosen.condition
    members = list(condition.models or study.members)
    resolved = side.resolve({**study.task.options, **condition.options}, members)
    kept = settings.find_ensemble(ensemble) if settings is not None else None
    name = kept.name if kept is not None else ensemble or DEFAULT_ENSEMBLE
    lines = [f"# {line}".rstrip() for line in _header(chapter, told, is_whole=settings is not None)]
    lines += [line for model in _models(settings, members) for line in _model(model)]
    lines += ["", "[[ensembles]]", f"name = {_value(name)}", f"models = {_value(members)}", "", "[ensembles.defaults]"]
    lines += [f"{option} = {_value(value)}" for option, value in _worth_writing(resolved).items()]
    for policy, options in (kept.policy_defaults if kept is not None else {}).items():
        if policy != resolved["policy"]:  # of this one they are among the options above
            lines += ["", f"[ensembles.policy_defaults.{policy}]"]
            lines += [f"{option} = {_value(value)}" for option, value in options.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _header(chapter: Chapter, told: Mapping[str, Any], *, is_whole: bool) -> Iterator[str]:
    learned, of = chapter.learned, chapter.experiment.file.circumstances
    assert learned is not None
    yield f"Learned by `{told['command']}` on {told['date']}: {told['machine']}."
    yield f"Task {of['task']}, {learned.num_items} validation items; items measured: digest {of['items']['digest']}."
    for name, facts in of["members"].items():
        yield f"Member {name}: " + ", ".join(
            f"{key} {value}" for key, value in facts.items() if not isinstance(value, dict)
        )
    yield f"Chosen: {learned.chosen.condition.label}."
    yield "Right on the validation items that it was learned on, %, with 95 % intervals:"
    for way in _of_note(learned.ways, learned.chosen):
        share = percent_with_interval(sum(way.right) / len(way.right), wilson(sum(way.right), len(way.right)))
        gained = points_with_interval(compared(learned.chosen.right, way.right))
        yield f"  {way.condition.label}: {share}; the chosen one over it {gained}"
    if not is_whole:
        yield "A server was asked: say in [[models]] where the members are."


def _of_note(ways: Sequence[Way], chosen: Way) -> list[Way]:
    """Members alone, whatever is as it is, and the chosen one."""
    plain = [way for way in ways if len(way.condition.models) == 1 or way.condition.options.keys() <= {"score"}]
    return plain + [chosen] * (chosen not in plain)


def _models(settings: Settings | None, members: Sequence[str]) -> list[ModelSettings]:
    """None of them are the embedded zoo's, which needs no telling."""
    models = [model for model in settings.models if model.name in members] if settings is not None else []
    is_zoo = all(model.name in zoo.MEMBERS and model.path == zoo.member_path(model.name) for model in models)
    return [] if is_zoo else models


def _model(model: ModelSettings) -> list[str]:
    told = {"name": model.name, "path": str(model.path), "device": model.device, "dtype": model.dtype}
    return ["", "[[models]]", *(f"{key} = {_value(value)}" for key, value in told.items())]


def _worth_writing(resolved: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(TieOptions)}
    return {
        name: value
        for name, value in resolved.items()
        if value is not None and (name in SPELLED_OUT or value != defaults[name])
    }


def _value(value: object) -> str:
    """In TOML: its strings, numbers, booleans and lists are those of JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(key)} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value).replace("\x7f", "\\u007f")
