"""Made-up evidence of trajectories, from which scores are checked without any model: predictions, commits, readings."""

import random
from dataclasses import dataclass
from typing import Final

from tie_core.prediction import Prediction
from tie_core.scoring import Evidence, History, Scope
from tie_core.testing.scripted import END, MASK

FIRST: Final = 4  # of the scored region
NUM_SCORED: Final = 6
NUM_STEPS: Final = 5
NUM_READERS: Final = 3
NUM_TOKENS: Final = 8
LEAST_TOKEN: Final = 1 + max(MASK, END)


@dataclass(frozen=True, slots=True)
class Guesses:
    """What one forward says of the scored positions: tokens, and how sure it is of each (0 to 1)."""

    tokens: tuple[int, ...]
    sureness: tuple[float, ...]

    def doubled(self) -> "Guesses":
        """The same again at as many positions more."""
        return Guesses(self.tokens * 2, self.sureness * 2)

    def prediction(self) -> Prediction:
        """A distribution whose top-1, margin and negative entropy all rise with `sureness`."""
        top1 = tuple(0.3 + 0.69 * sure for sure in self.sureness)
        return Prediction(
            positions=tuple(range(FIRST, FIRST + len(self.tokens))),
            tokens=self.tokens,
            top1=top1,
            margin=tuple(0.95 * sure for sure in self.sureness),
            negative_entropy=tuple(2.0 * (sure - 1) for sure in self.sureness),
            proposals=self.tokens,
            confidences=top1,
        )


@dataclass(frozen=True, slots=True)
class Story:
    """A made-up round of one member: its guesses step by step, its commits' confidences, and how its end is read."""

    steps: tuple[Guesses, ...]
    confidences: tuple[float, ...]
    readings: tuple[Guesses, ...]

    def doubled(self) -> "Story":
        """The same round with everything twice: positions, commits; as many steps and readers."""
        steps, readings = (tuple(each.doubled() for each in part) for part in (self.steps, self.readings))
        return Story(steps, self.confidences * 2, readings)

    def evidence(self, num_steps: int | None = None, num_readers: int | None = None) -> Evidence:
        """Of the first so many steps and readers."""
        history = History(self.scope)
        for guesses in self.steps[:num_steps]:
            history = history.after(guesses.prediction())
        readings = [(guesses.prediction(), self.scope) for guesses in self.readings[:num_readers]]
        return Evidence(history, list(self.confidences[:num_steps]), readings)

    @property
    def scope(self) -> Scope:
        longest = max((len(each.tokens) for each in (*self.steps, *self.readings)), default=NUM_SCORED)
        return Scope(range(FIRST, FIRST + longest), frozenset({END}))


def make_stories(seed: int, count: int) -> list[Story]:
    """Rounds at random: some steady and sure, some that waver."""
    rng = random.Random(seed)
    return [_story(rng, rng.random(), rng.random()) for _ in range(count)]


def make_pair(seed: int) -> tuple[Story, Story]:
    """Two rounds of which the second is better at everything: it never changes its mind, is read as it wrote, and is
    surer of each token and each commit.
    """
    rng = random.Random(seed)
    tokens = _tokens(rng)
    wavering = [tuple(_other(token) if step % 2 else token for token in tokens) for step in range(NUM_STEPS)]
    doubt, sure = _sureness(rng, 0.0, 0.4), _sureness(rng, 0.6, 1.0)
    worse = Story(
        tuple(Guesses(each, doubt) for each in wavering),
        _confidences(rng, 0.1, 0.4),
        (Guesses(tuple(map(_other, wavering[-1])), doubt),) * NUM_READERS,
    )
    better = Story(
        (Guesses(tokens, sure),) * NUM_STEPS, _confidences(rng, 0.6, 0.9), (Guesses(tokens, sure),) * NUM_READERS
    )
    return worse, better


def nothing_seen() -> Evidence:
    """A round in which every answer position predicted an end, and nothing was committed."""
    ends = Guesses((END,) * NUM_SCORED, (0.5,) * NUM_SCORED)
    return Story((ends,) * NUM_STEPS, (), (ends,) * NUM_READERS).evidence()


def blind_reading() -> tuple[Prediction, Scope]:
    """Of a reader that sees ends alone."""
    story = Story((), (), (Guesses((END,) * NUM_SCORED, (0.9,) * NUM_SCORED),))
    return story.evidence().readings[0]


def _story(rng: random.Random, wavers: float, surest: float) -> Story:
    tokens = _tokens(rng)
    steps = []
    for _ in range(NUM_STEPS):
        tokens = tuple(_other(token) if rng.random() < wavers else token for token in tokens)
        steps.append(Guesses(tokens, _sureness(rng, 0.0, surest)))
    readings = tuple(Guesses(tokens, _sureness(rng, 0.0, surest)) for _ in range(NUM_READERS))
    return Story(tuple(steps), _confidences(rng, 0.0, 1.0), readings)


def _tokens(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.randrange(LEAST_TOKEN, LEAST_TOKEN + NUM_TOKENS) for _ in range(NUM_SCORED))


def _other(token: int) -> int:
    return LEAST_TOKEN + (token - LEAST_TOKEN + 1) % NUM_TOKENS


def _sureness(rng: random.Random, least: float, most: float) -> tuple[float, ...]:
    return tuple(rng.uniform(least, most) for _ in range(NUM_SCORED))


def _confidences(rng: random.Random, least: float, most: float) -> tuple[float, ...]:
    return tuple(rng.uniform(least, most) for _ in range(NUM_STEPS))
