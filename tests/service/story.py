"""A run as events, written by hand: two members with different tokenizers solve a worksheet of three lines.

`digit` writes one digit a token, `pair` two; both need eight tokens a line and blocks of eight. `pair` leads the
first round, `digit` the other two; the fourth round is the answer, which both finish alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tie_core.events import (
    Answer,
    AnswerProbe,
    CanvasInfo,
    Completed,
    Created,
    Event,
    ModelInfo,
    NfeInfo,
    Placed,
    RelayInfo,
    RoundEnded,
    ScoreInfo,
    Started,
    StepTaken,
    TieInfo,
    Timings,
    Usage,
)

PROMPT = "rev 314159; inc 271828; add 141421"
ANSWER = "951413382939696976"
R, S, A = 24, 2, 18
WRITTEN = {
    "digit": (" rev=951431", " inc=382939", " add=696976"),  # the first line is wrong
    "pair": (" rev=951413", " inc=382938", " add=696975"),
}
KEPT = (WRITTEN["pair"][0], WRITTEN["digit"][1], WRITTEN["digit"][2])
"""What the rounds relay, line by line."""
ORDER = (0, 2, 1, 3, 5, 4, 7, 6)  # positions of a block, in the order of their confidence
OPTIONS = {"score": "tcc", "interval": 8, "policy": "top_k", "suffix": " Answer:"}


def tokens(model: str, line: str) -> list[str]:
    """The eight tokens of a line, in the member's own way."""
    if model == "digit":
        return [line[:4], *line[4:]]
    return [*line[:5], line[5:7], line[7:9], line[9:]]


def created() -> Created:
    models = tuple(ModelInfo(name, "zoo", name, index) for index, name in enumerate(WRITTEN))
    return Created("tie-1", "tie", models, CanvasInfo(R + S + A, 8, R, S, A), OPTIONS, 0)


def step(
    model: str, number: int, position: int, text: str, masked_left: int, *, ended: int, confidence: float = 0.97
) -> StepTaken:
    probe = AnswerProbe(ANSWER[: 6 + number], tcc=number / 8, top1=0.9)
    placed = ((position, text, confidence),)
    return StepTaken(ended + 1, number, model, placed, masked_left, probe)


def line_steps(index: int) -> Iterator[StepTaken]:
    """Both members write line `index`, a token a step, in turn."""
    for number, offset in enumerate(ORDER, 1):
        for model, lines in WRITTEN.items():
            text = tokens(model, lines[index])[offset]
            masked = R + A - 8 * index - number
            yield step(model, number, 8 * index + offset, text, masked, ended=index)


def round_ended(
    number: int,
    leader: str,
    placed: tuple[Placed, ...],
    *,
    switched: bool = False,
    relayed: Sequence[Placed] = (),
) -> RoundEnded:
    other = "pair" if leader == "digit" else "digit"
    return RoundEnded(
        round=number,
        steps={"digit": 8, "pair": 8},
        scores={leader: ScoreInfo(-0.125, 0.125, 0.91), other: ScoreInfo(-0.5, 0.5, 0.72)},
        leader=leader,
        switched=switched,
        tie_break=None,
        set=placed,
        unset=(),
        relayed=(RelayInfo(other, "transcoded", 0, tuple(relayed), ()),),
        nfe={"digit": NfeInfo(8 * number, 0), "pair": NfeInfo(8 * number, 0)},
        masked_left=R + A - 8 * number,
        answer_probe=AnswerProbe(ANSWER, 0.125, 0.91),
    )


def placed_line(model: str, index: int, confidence: float | None = 0.97) -> tuple[Placed, ...]:
    line = tokens(model, WRITTEN[model][index])
    return tuple((8 * index + offset, text, confidence) for offset, text in enumerate(line))


def kept_line(model: str, index: int) -> tuple[Placed, ...]:
    """A line that is relayed, in the receiver's tokens."""
    return tuple(Placed(8 * index + offset, text, None) for offset, text in enumerate(tokens(model, KEPT[index])))


def rounds() -> list[RoundEnded]:
    """What the driver tells: `set` is what differs from the last leader's canvas, in the new leader's tokens."""
    relayed = tuple(
        (position, text, None)
        for position, text in enumerate(tokens("digit", WRITTEN["pair"][0]))
        if text != tokens("pair", WRITTEN["pair"][0])[position]
    )
    return [
        round_ended(1, "pair", placed_line("pair", 0), relayed=kept_line("digit", 0)),
        round_ended(2, "digit", relayed + placed_line("digit", 1), switched=True, relayed=kept_line("pair", 1)),
        round_ended(3, "digit", placed_line("digit", 2), relayed=kept_line("pair", 2)),
    ]


def answer_steps() -> Iterator[StepTaken]:
    """`pair` needs half the tokens and leaves the rest to end tokens, which have no text."""
    pairs = [ANSWER[index : index + 2] for index in range(0, A, 2)] + [""] * 9
    for number, (digit, pair) in enumerate(zip(ANSWER, pairs, strict=True), 1):
        yield step("digit", number, R + S + number - 1, digit, A - number, ended=3)
        yield step("pair", number, R + S + number - 1, pair, A - number, ended=3)


def completing_round() -> RoundEnded:
    """`pair` has the whole answer in half its positions, and three ends behind it: its relay completes `digit`, which
    needs all of them.
    """
    cells = [text for line in KEPT for text in tokens("pair", line)]
    placed = [Placed(position, text, None) for position, text in enumerate(cells)]
    pairs = [ANSWER[index : index + 2] for index in range(0, A, 2)]
    placed += [Placed(R + S + index, text, 0.9) for index, text in enumerate([*pairs, "", "", ""])]
    digits = [Placed(R + S + index, text, None) for index, text in enumerate(ANSWER)]
    ended = round_ended(4, "pair", tuple(placed), switched=True, relayed=digits)
    return replace(ended, masked_left=6)


def half_characters() -> list[Event]:
    """`pair` has two tokens for a character for which `digit` has one; either leads once."""
    whole = [Placed(position, text, 0.9) for position, text in enumerate("é12")]
    halves = [Placed(position, text, None) for position, text in enumerate(("\ufffd", "\ufffd", "1", "2"))]
    back = [*halves, Placed(4, "3", 0.9)]
    return [
        created(),
        replace(round_ended(1, "digit", tuple(whole), relayed=halves), masked_left=39),
        replace(round_ended(2, "pair", tuple(back), switched=True, relayed=[Placed(3, "3", None)]), masked_left=37),
    ]


def completed(answer: str = ANSWER) -> Completed:
    reasoning = "".join(KEPT)
    nfe = {name: NfeInfo(42, 0) for name in WRITTEN}
    wins = {"digit": 2, "pair": 1}
    scores = {"digit": 0.25, "pair": 1.5}
    candidates = {"digit": answer, "pair": "951413382939696975"}
    return Completed(
        id="tie-1",
        text=f"{reasoning} Answer:{answer}",
        reasoning=reasoning,
        answer=answer,
        finish_reason="length",
        usage=Usage(30, R + S + A, 30 + R + S + A),
        tie=TieInfo(3, 1, wins, "digit", "lowest_tcc", scores, nfe, "answer", candidates),
        timings=Timings(0.1, 12.0, 700.0, 0.0, 3.0, 711.0),
    )


def events() -> list[Event]:
    """The whole run, with every step."""
    told: list[Event] = [created(), Started(0.1)]
    for index, ended in enumerate(rounds()):
        told += [*line_steps(index), ended]
    return [*told, *answer_steps(), Answer(ANSWER, 1.0), completed()]
