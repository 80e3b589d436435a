"""Members that tests share: the tiny random checkpoints with their recorded data, and the embedded zoo."""

from functools import cache
from pathlib import Path

from tie_core.member import Member, load_member
from tie_core.zoo import MEMBERS, member_path

GOLDEN = Path(__file__).parent / "golden"
TINY = ("llada-tiny", "llada-tiny-gqa", "dream-tiny")


@cache
def tiny(name: str) -> Member:
    return load_member(name, GOLDEN / name)


@cache
def twin(name: str, number: int = 2) -> Member:
    """The same checkpoint under another name, loaded again."""
    return load_member(f"{name}-{number}", GOLDEN / name)


@cache
def zoo() -> tuple[Member, ...]:
    return tuple(load_member(name, member_path(name)) for name in MEMBERS)
