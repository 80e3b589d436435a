"""What the engine tells whoever measures it. Called from engine threads; must be quick. What it raises is lost."""

from dataclasses import dataclass

from tie_core.engine.warm_up import WarmUp
from tie_core.events import Completed, Failed
from tie_core.request import Request
from tie_core.tie import Outcome, Round


@dataclass(frozen=True, slots=True)
class Tick:
    """One packed forward of one model: rows and positions by purpose, seconds from packing to commits."""

    member: str
    decode_rows: int
    score_rows: int
    decode_positions: int
    score_positions: int
    seconds: float


class Observer:
    """Listens to nothing; override what matters."""

    def on_warm_up(self, member: str, warmed: WarmUp) -> None:
        """A worker knows its model's costs and is ready."""

    def on_out_of_memory(self, member: str, num_positions: int) -> None:
        """A forward of so many positions ran out of memory; it is done again in smaller ones."""

    def on_tick(self, tick: Tick) -> None:
        """A worker finished a forward."""

    def on_barrier_wait(self, member: str, seconds: float) -> None:
        """A member's part of a round was ready; the request waited this long for the slowest one."""

    def on_round(self, request: Request, ended: Round, seconds: float) -> None:
        """A round was assessed and relayed."""

    def on_restart(self, member: str) -> None:
        """A member's worker, whose thread hung or died, was started anew."""

    def on_bug(self, error: Exception) -> None:
        """An exception that nobody raises on purpose ended a request."""

    def on_end(self, request: Request, event: Completed | Failed, outcome: Outcome | None) -> None:
        """A request ended; `outcome` is None if it failed or its deadline came first."""
