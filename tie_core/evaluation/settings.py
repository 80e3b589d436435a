"""The settings that the zoo is measured under, each a line of options over the zoo's presets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tie_core import zoo
from tie_core.evaluation.leaders import LeadersOf, expert_leader, random_leader

NO_RELAY: Final = {"interval": zoo.REASONING_LENGTH + zoo.ANSWER_LENGTH}
THRESHOLD: Final = {"policy": "threshold", "tau": 0.9}


@dataclass(frozen=True, slots=True)
class Setting:
    """One way of answering. `baseline` names what it is compared with: in the results the post-generation ensemble with
    the same unmasking policy, among the ways with fewer steps the exact one."""

    name: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    baseline: str = "post"
    leaders: LeadersOf | None = None

    @property
    def is_baseline(self) -> bool:
        return self.name == self.baseline


def _threshold(name: str, label: str, **options: Any) -> Setting:
    return Setting(name, label, {**THRESHOLD, **options}, "threshold-post")


SETTINGS: Final = (
    Setting("post", "post-generation ensemble", NO_RELAY),
    Setting("random", "random leader", leaders=random_leader),
    Setting("expert", "the line's expert leads", leaders=expert_leader),
    Setting("tcc", "TIE, tcc", {"score": "tcc"}),
    Setting("top1", "TIE, top1", {"score": "top1"}),
    Setting("entropy", "TIE, entropy", {"score": "entropy"}),
    Setting("margin", "TIE, margin", {"score": "margin"}),
    Setting("top1-own", "TIE, top1, own reading only", {"score": "top1", "cross_model": False}),
    Setting("tcc-n4", "TIE, tcc, n = 4", {"score": "tcc", "interval": 4, "relay_boundary": "step"}),
    Setting("top1-n4", "TIE, top1, n = 4", {"score": "top1", "interval": 4, "relay_boundary": "step"}),
    Setting("tcc-n16", "TIE, tcc, n = 16", {"score": "tcc", "interval": 16}),
    Setting("top1-n16", "TIE, top1, n = 16", {"score": "top1", "interval": 16}),
    _threshold("threshold-post", "post-generation ensemble, threshold 0.9", **NO_RELAY),
    _threshold("threshold-tcc", "TIE, tcc, threshold 0.9, n = 3", score="tcc", interval=3),
    _threshold("threshold-top1", "TIE, top1, threshold 0.9, n = 3", score="top1", interval=3),
    _threshold("threshold-tcc-n1", "TIE, tcc, threshold 0.9, n = 1", score="tcc", interval=1),
    _threshold("threshold-top1-n1", "TIE, top1, threshold 0.9, n = 1", score="top1", interval=1),
)


def choose_settings(
    names: Sequence[str], settings: Sequence[Setting] = SETTINGS, always: Sequence[str] = ("post",)
) -> tuple[Setting, ...]:
    """The settings named (none named: all), `always` and the baselines they are compared with, in the usual order.

    Raises:
        ValueError: an unknown name.
    """
    known = {setting.name: setting for setting in settings}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no setting {', '.join(unknown)}: the settings are {', '.join(known)}")
    wanted = {*always, *(wanted for name in names or known for wanted in (name, known[name].baseline))}
    return tuple(setting for setting in settings if setting.name in wanted)
