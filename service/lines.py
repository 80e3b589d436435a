"""A run in plain words: rounds, canvases and results as lines of text without any control character."""

import unicodedata

from service.watch import WatchState
from tie_core.events import Completed, RoundEnded

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


def summary_lines(completed: Completed) -> list[str]:
    """How the answer came about, in two plain lines."""
    tie = completed.tie
    wins = ", ".join(f"{name} {count}" for name, count in tie.wins.items())
    decode = sum(spent.decode for spent in tie.nfe.values())
    score = sum(spent.score for spent in tie.nfe.values())
    forwards = f"{decode} forwards" + (f" and {score} for scoring" if score else "")
    approximated = f" · approximated: {', '.join(tie.approximations)}" if tie.approximations else ""
    plural = "" if tie.rounds == 1 else "s"
    return [
        f"from {tie.final_model} by {tie.final_rule} · {tie.rounds} round{plural},"
        f" {tie.switches} switched · led: {wins}",
        f"{forwards} · {completed.timings.total_ms / 1000:.2f} s{approximated}",
    ]


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
