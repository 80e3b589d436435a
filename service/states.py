"""What is on every member's canvas at one point of a request's event stream, for snapshots. Runs no model.

A relay hands over whole canvases, a step only its commits; text is made when a snapshot is sent, not before.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

from tie_core.canvas import Canvas
from tie_core.events import Event, RoundEnded, StepTaken
from tie_core.member import Member
from tie_core.request import Request


class States:
    """One canvas per member: the one after the last relay, and the text of what was committed since."""

    def __init__(self, request: Request) -> None:
        self._members = request.members
        self._canvases = request.canvases
        self._committed: dict[str, dict[int, str]] = {member.name: {} for member in request.members}

    def copy(self) -> "States":
        twin = copy(self)
        twin._committed = {name: dict(texts) for name, texts in self._committed.items()}
        return twin

    def apply(self, event: Event, relayed: tuple[Canvas, ...] | None) -> None:
        """`relayed`: the members' canvases after the relay, for the event of a round."""
        if isinstance(event, StepTaken):
            self._committed[event.model].update({position: text for position, text, _ in event.set})
        elif isinstance(event, RoundEnded) and relayed is not None:
            self._canvases = relayed
            self._committed = {name: {} for name in self._committed}

    def tokens(self) -> dict[str, Any]:
        """Per member the text of each generated position, null for a mask.

        Positions are counted behind the longest suffix, as in all events: a shorter one is filled up with "".
        """
        num_suffix = max(canvas.layout.suffix for canvas in self._canvases)
        return {
            member.name: {"tokens": _texts(member, canvas, num_suffix, self._committed[member.name])}
            for member, canvas in zip(self._members, self._canvases, strict=True)
        }


def _texts(member: Member, canvas: Canvas, num_suffix: int, committed: Mapping[int, str]) -> list[str | None]:
    texts: list[str | None] = [
        None if canvas.is_masked(position) else member.vocabulary.decode((canvas.generated[position],))
        for position in range(canvas.layout.length)
    ]
    answer = canvas.layout.answer_region
    texts[answer.start : answer.start] = [""] * (num_suffix - canvas.layout.suffix)
    return [committed.get(position) if text is None else text for position, text in enumerate(texts)]
