"""What a member did in a round: its canvas before and after, and its steps. Section 3.2 of the paper.

A trajectory is data: frozen, and it crosses threads. What it says about reliability is in `scoring`.
"""

from dataclasses import dataclass

from tie_core.canvas import Canvas, Commit
from tie_core.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: what the member predicted at the watched positions, then what it committed."""

    prediction: Prediction
    commits: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The steps that took one member from `start` to `end`, without a relay in between.

    `num_forwards` is what they cost: one less than the steps if the first prediction was read before the round.
    """

    member: int
    start: Canvas
    end: Canvas
    steps: tuple[Step, ...]
    num_forwards: int

    def followed_by(self, rest: "Trajectory") -> "Trajectory":
        """This trajectory and its continuation as one history: there was no relay between them."""
        assert rest.start == self.end
        return Trajectory(
            self.member, self.start, rest.end, self.steps + rest.steps, self.num_forwards + rest.num_forwards
        )

    @property
    def commits(self) -> tuple[Commit, ...]:
        return tuple(commit for step in self.steps for commit in step.commits)
