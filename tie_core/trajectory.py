"""What a member did in a round: its canvas before and after, what it committed, its history. Section 4.1.

A trajectory is data: frozen, and it crosses threads. It keeps what the assessment needs and no old predictions.
"""

from dataclasses import dataclass

from tie_core.canvas import Canvas, Commit
from tie_core.options import Approximation
from tie_core.scoring import History


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The steps that took one member from `start` to `end`, without a relay in between.

    `num_forwards` is what they cost: one less than `num_steps` if the first prediction was read before the round.
    `num_filled` of the commits followed from an end of text; `early_commits`, not among them, are the answer's where it
    was committed without further steps. `num_windowed` of the forwards read a window of the canvas only.
    """

    member: int
    start: Canvas
    end: Canvas
    history: History
    commits: tuple[Commit, ...]
    num_steps: int
    num_forwards: int
    num_filled: int = 0
    early_commits: tuple[Commit, ...] = ()
    num_windowed: int = 0

    @property
    def approximations(self) -> frozenset[Approximation]:
        """Those that decided something here."""
        used: dict[Approximation, int] = {
            "cache_window": self.num_windowed,
            "early_commit": len(self.early_commits),
            "fill_end": self.num_filled,
        }
        return frozenset(name for name, times in used.items() if times)

    def followed_by(self, rest: "Trajectory") -> "Trajectory":
        """This trajectory and its continuation, whose history goes on from this one's: no relay lies between."""
        assert rest.start == self.end
        return Trajectory(
            member=self.member,
            start=self.start,
            end=rest.end,
            history=rest.history,
            commits=self.commits + rest.commits,
            num_steps=self.num_steps + rest.num_steps,
            num_forwards=self.num_forwards + rest.num_forwards,
            num_filled=self.num_filled + rest.num_filled,
            num_windowed=self.num_windowed + rest.num_windowed,
        )
