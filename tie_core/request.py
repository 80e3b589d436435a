"""A request, ready to run: its members, one blank canvas each, and its options. Made by `Ensemble.request`."""

from dataclasses import dataclass

from tie_core.calibration import Calibration
from tie_core.canvas import Canvas
from tie_core.ending import NO_ENDING, Ending
from tie_core.member import Member
from tie_core.options import Detail, TieOptions
from tie_core.tie import Program, tie


@dataclass(frozen=True)
class Request:
    """What the engine or the plain driver runs.

    `indices` are those of the members in their ensemble. `detail` says which states the listener wants: steps or rounds
    only. `ending` cuts the text, not the decoding. The engine takes waiting requests of different tenants in turn; a
    tenant is any string.
    """

    id: str
    ensemble: str
    members: tuple[Member, ...]
    indices: tuple[int, ...]
    canvases: tuple[Canvas, ...]
    options: TieOptions
    detail: Detail = "round"
    ending: Ending = NO_ENDING
    tenant: str = ""

    @property
    def wants_steps(self) -> bool:
        return self.detail != "round"

    def program(self) -> Program:
        """The TIE loop over this request; it runs no model."""
        names = [member.name for member in self.members]
        best_model = names.index(self.options.best_model) if self.options.best_model in names else None
        vocabularies = [member.vocabulary for member in self.members]
        return tie(vocabularies, self.canvases, self.options, best_model, calibration=self.calibration)

    @property
    def calibration(self) -> Calibration:
        return Calibration.of(self.options.calibration, [member.name for member in self.members])
