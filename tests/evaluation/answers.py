"""Scripted measurements: what a member or a setting answered, without a model."""

from collections.abc import Sequence

from tie_core.evaluation.measuring import Answered, Measurement
from tie_core.zoo import MEMBERS

FIRST, SECOND = MEMBERS


def answered(
    right: bool,
    members: tuple[bool, bool] = (False, False),
    *,
    tcc: tuple[float | None, float | None] = (0.0, 0.0),
    score_forwards: int = 0,
    rounds: int = 0,
    switches: int = 0,
    wins: tuple[int, int] = (0, 0),
) -> Answered:
    return Answered(
        is_right=right,
        member_is_right=dict(zip(MEMBERS, members, strict=True)),
        tcc=dict(zip(MEMBERS, tcc, strict=True)),
        decode_forwards={FIRST: 40, SECOND: 42},
        score_forwards={FIRST: score_forwards, SECOND: score_forwards},
        rounds=rounds,
        switches=switches,
        wins=dict(zip(MEMBERS, wins, strict=True)),
    )


def measured(setting: str, runs: Sequence[Answered]) -> Measurement:
    return Measurement(setting, tuple(runs), 1.5)


def post(first: str, second: str, chosen: str) -> Measurement:
    """A post-generation run from strings like `110`: who was right on which item."""
    told = zip(chosen, first, second, strict=True)
    return measured("post", [answered(c == "1", (a == "1", b == "1")) for c, a, b in told])


def run(setting: str, right: str) -> Measurement:
    return measured(setting, [answered(digit == "1", rounds=3, switches=1, wins=(2, 1)) for digit in right])
