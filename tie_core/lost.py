"""A member that is lost to a round of one request: what answers its work in place of a result, and who is left.

Knows why, never what was asked or what was raised.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tie_core.errors import LossReason, MemberError, NoMemberLeftError, TieError


class _OfMember(Protocol):
    @property
    def member(self) -> int: ...


OfMember = TypeVar("OfMember", bound=_OfMember)


@dataclass(frozen=True, slots=True)
class Lost:
    """No result. `error` is the member's own, where it failed at the request's row and not as a whole. `is_suspect` if
    the request was in the forward in which the whole worker was lost, and not merely waiting for one.
    """

    reason: LossReason
    error: MemberError | None = field(default=None, repr=False, compare=False)
    is_suspect: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, error: MemberError) -> "Lost":
        return cls(error.reason, error)


class Attendance:
    """Who is there in a round. A member that is lost anywhere in it is lost to all of it, so that what comes out does
    not depend on the moment.
    """

    def __init__(self, num_members: int, min_models: int) -> None:
        self.lost: dict[int, Lost] = {}
        self._num_members = num_members
        self._min_models = min_models

    def ask(self, work: tuple[Any, ...]) -> Generator[tuple[Any, ...], Any, list[tuple[Any, Any]]]:
        """Have work done. Returns what was asked and what came of it, where something did.

        Raises:
            NoMemberLeftError, MemberError: too few members are left.
        """
        answered = list(zip(work, (yield work), strict=True))
        for item, answer in answered:
            if isinstance(answer, Lost):
                self.lost.setdefault(item.member, answer)
        self._check_left()
        return [(item, answer) for item, answer in answered if item.member not in self.lost]

    def left(self, those: Iterable[OfMember]) -> tuple[OfMember, ...]:
        return tuple(each for each in those if each.member not in self.lost)

    def _check_left(self) -> None:
        num_left = self._num_members - len(self.lost)
        if num_left < min(self._min_models, self._num_members):
            raise self._own_error() or NoMemberLeftError.of(num_left, self._num_members, self._min_models)

    def _own_error(self) -> TieError | None:
        """The first member's, if every member failed at this request's own row: trying it again is no use."""
        errors = [lost.error for lost in self.lost.values() if lost.error is not None]
        return errors[0] if len(errors) == self._num_members else None
