"""A run in plain words: rounds, canvases and results as lines of text without any control character."""

import unicodedata
from collections.abc import Mapping

from service.watch import WatchState
from tie_core.events import Completed, RoundEnded, TieInfo

MASK = "·"


def visible(text: str) -> str:
    """The text with control and formatting characters as symbols that do nothing."""
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character == "\n":
        return "↵"
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    if character == "\x7f":
        return "␡"
    is_unsafe = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "\N{REPLACEMENT CHARACTER}" if is_unsafe else character


def plain(text: str) -> str:
    """Text for a terminal: its lines stay lines, every other control character is shown."""
    return "\n".join(map(visible, text.split("\n")))


def score_text(ended: RoundEnded, name: str) -> str:
    score = ended.scores[name]
    value = "no evidence" if score.value is None else f"{score.value + 0.0:.3f}"
    return f"{value} ({score.top1:.2f})"


def round_line(ended: RoundEnded) -> str:
    """A round as one plain line: every member's score (and top-1), the leader, what was relayed."""
    scores = "  ".join(f"{name} {score_text(ended, name)}" for name in ended.scores)
    relays = ", ".join(f"{relay.to} {relay.result}" for relay in ended.relayed)
    switch = " (switch)" if ended.switched else ""
    relayed = f", relayed: {relays}" if relays else ""
    return f"round {ended.round}: {scores}  ->  {ended.leader} leads{switch}{relayed}"


def rounds_text(num: int) -> str:
    return "1 round" if num == 1 else f"{num} rounds"


def summary_lines(completed: Completed) -> list[str]:
    """How the answer came about, in three plain lines."""
    tie = completed.tie
    wins = ", ".join(f"{name} {count}" for name, count in tie.wins.items())
    decode = sum(spent.decode for spent in tie.nfe.values())
    score = sum(spent.score for spent in tie.nfe.values())
    forwards = f"{decode} forwards" + (f" and {score} for scoring" if score else "")
    approximated = f" · approximated: {', '.join(tie.approximations)}" if tie.approximations else ""
    return [
        reason_line(tie),
        f"from {tie.final_model} by {tie.final_rule} · {rounds_text(tie.rounds)},"
        f" {tie.switches} switched · led: {wins}",
        f"{forwards} · {completed.timings.total_ms / 1000:.2f} s{approximated}",
    ]


def reason_line(tie: TieInfo) -> str:
    """Whose answer is the final one and why, in one plain line: the words of the playground."""
    return f"{tie.final_model} gives the answer: {_reason(tie)}"


def _reason(tie: TieInfo) -> str:
    if tie.partial:
        return "it led last, and then the deadline came"
    if len(tie.wins) == 1:
        return "it was the only one asked"
    if len(tie.candidates) == 1:
        return "it is the only one that was there to the end"
    if tie.final_rule == "best_model":
        return "it is named as the best model"
    if tie.final_rule == "most_selected":
        wins = {name: count for name, count in tie.wins.items() if name in tie.candidates}
        among = "of those that were there to the end, " if len(wins) < len(tie.wins) else ""
        rounds = ", ".join(f"{name} {count}" for name, count in wins.items())
        others = _others_equal(wins, tie.final_model)
        least = "; of these it wavered least" if others else ""
        return f"{among}{_it_and(others)} led the most rounds ({rounds}){least}"
    counts = "(token change count: " + ", ".join(f"{name} {_count_text(tcc)}" for name, tcc in tie.scores.items()) + ")"
    others = _others_equal(tie.scores, tie.final_model)
    if not others:
        return f"it wavered least about it in the whole run {counts}"
    surest = "of the two it was the surer" if len(others) == 1 else "of these it was the surest"
    chosen = f"{surest}, or the first of equals"
    if tie.scores[tie.final_model] is None:
        return f"nobody's wavering could be counted {counts}; {chosen}"
    return f"{_it_and(others)} wavered least in the whole run {counts}; {chosen}"


def _others_equal(values: Mapping[str, float | None], final: str) -> list[str]:
    return [name for name, value in values.items() if name != final and value == values[final]]


def _it_and(others: list[str]) -> str:
    """`it`, `it and b`, or `it, b and c`."""
    *names, last = ["it", *others]
    return f"{', '.join(names)} and {last}" if names else last


def _count_text(count: float | None) -> str:
    return "no evidence" if count is None else f"{count:.3f}"


def canvas_line(state: WatchState, model: str) -> str:
    """A canvas on one line: its text with a mark for every mask."""
    assert state.created is not None
    view = state.views[model]
    reasoning, answer = (
        "".join(MASK if cell is None else visible(cell.text) for cell in region.cells)
        for region in (view.reasoning, view.answer)
    )
    suffix = visible(str(state.created.options.get("suffix", "")))
    return (reasoning + suffix + answer).strip()
