"""What a request may take, told before any of it runs: forwards, and the positions that they read. An upper bound."""

from dataclasses import dataclass
from math import ceil

from tie_core.request import Request
from tie_core.scoring import SCORES
from tie_core.tie import max_rounds


@dataclass(frozen=True, slots=True)
class Cost:
    """Forwards of one canvas each, and the canvas positions in them."""

    forwards: int
    positions: int


def cost_of(request: Request) -> Cost:
    """Steps times canvas length, and the readings of the score, over all members.

    Exact for `top_k` where members share a vocabulary; elsewhere a relay may mask again what was committed, and this is
    what the most rounds allowed could come to.
    """
    rounds = max_rounds(request.canvases, request.options) - 1  # those that may end in a relay
    steps = _most_steps(request, rounds)
    forwards = [steps + rounds * _readings(request)] * len(request.canvases)
    lengths = [len(canvas.ids) for canvas in request.canvases]
    return Cost(sum(forwards), sum(each * length for each, length in zip(forwards, lengths, strict=True)))


def _most_steps(request: Request, rounds: int) -> int:
    """Of one member."""
    options = request.options
    per_step = options.k if options.policy == "top_k" else 1
    alone = max(canvas.layout.num_steps(per_step) for canvas in request.canvases)
    if _keeps_step(request):
        return alone
    longest = options.interval + ceil(options.block_size / per_step) - 1  # a round goes on to the end of a block
    return alone if options.interval >= alone else rounds * min(longest, alone) + alone


def _keeps_step(request: Request) -> bool:
    """True where every step of a round takes every member further, whoever leads: then no relay costs steps."""
    if len(request.members) == 1:
        return True
    options, fingerprints = request.options, {member.vocabulary.fingerprint for member in request.members}
    if len(fingerprints) > 1:
        return False
    return options.relay_boundary != "block" or (options.policy == "top_k" and not options.fill_end)


def _readings(request: Request) -> int:
    """A round's forwards of one member for the score, less the one that is its next round's first prediction."""
    others, readers = len(request.members) - 1, SCORES[request.options.score].readers
    if readers == "nobody":
        return 0
    return others if readers == "everybody" and request.options.cross_model else min(1, others)
