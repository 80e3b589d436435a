"""Records made by hand: three members on items `q/0`, `q/1`, ..., and a side that answers from a script."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tie_core.errors import TieError
from tie_core.evaluation.conditions import POST, SCORES, Condition, standard
from tie_core.evaluation.records import LedRound, Record
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.sides import Listener, Question
from tie_core.evaluation.task import Item, Task
from tie_core.events import Completed, Failed, NfeInfo, RoundEnded, ScoreInfo, TieInfo, Timings, Usage

MEMBERS = ("ann", "bob", "cat")
BASE: Mapping[str, Any] = {"interval": 16, "block_size": 16, "score": "tcc", "selection": "lowest_tcc"}
INTERVALS = dict.fromkeys(SCORES, 16)


def resolve(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Another n under `threshold`."""
    return {**BASE, **({"interval": 2} if options.get("policy") == "threshold" else {}), **options}


def items(num: int, groups: Sequence[str] = ("",)) -> tuple[Item, ...]:
    """Items whose right answer is their number."""
    return tuple(
        Item(f"q/{number}", f"say {number}", str(number), groups[number % len(groups)]) for number in range(num)
    )


def task(num: int = 4, name: str = "numbers", **changes: Any) -> Task:
    """Answers are right if they are the reference."""
    fields: dict[str, Any] = {
        "options": {"task": "general"},
        "load": lambda folder: items(num),
        "grade": lambda item, answer: answer == item.reference,
    }
    return Task(name, "Numbers", **{**fields, **changes})


def record(
    condition: Condition | str,
    number: int,
    right: bool,
    *,
    alone: str = "",
    led: str = "",
    tcc: Sequence[float | None] = (),
    final: str = "ann",
    decode: int = 10,
    score: int = 0,
    **changes: Any,
) -> Record:
    """`alone` has a digit for each member, 1 where it is right; `led` a letter for each round: a, b or c."""
    names = {name[0]: name for name in MEMBERS}
    leaders = [names[letter] for letter in led]
    fields: dict[str, Any] = {
        "final_model": final,
        "members_right": {name: digit == "1" for name, digit in zip(MEMBERS, alone, strict=False)},
        "tcc": dict(zip(MEMBERS, tcc, strict=False)),
        "rounds": tuple(LedRound(leader, {leader: 0.0}) for leader in leaders),
        "switches": sum(one != other for one, other in pairwise(leaders)),
        "wins": {name: leaders.count(name) for name in MEMBERS},
        "decode_forwards": dict.fromkeys(MEMBERS, decode),
        "score_forwards": dict.fromkeys(MEMBERS, score),
        "seconds": 2.0,
    }
    key = condition if isinstance(condition, str) else condition.key
    return Record(key, f"q/{number}", right, **{**fields, **changes})


def post(alone: Sequence[str], right: str) -> list[Record]:
    """A post-generation run: of every item which members were right, and whether the chosen answer was."""
    return [record(POST, number, right[number] == "1", alone=each) for number, each in enumerate(alone)]


def ran(condition: Condition, right: str, **changes: Any) -> list[Record]:
    """A run of a condition: a digit for each item."""
    return [record(condition, number, digit == "1", **changes) for number, digit in enumerate(right)]


def study(conditions: Sequence[Condition] = standard(), chosen: Condition | None = None, **changes: Any) -> Study:
    return Study(task(**changes), MEMBERS, BASE, INTERVALS, resolve, tuple(conditions), chosen)


def results(records: Sequence[Record], asked: Study | None = None, groups: Sequence[str] = ("",)) -> Results:
    num = len({each.item for each in records})
    return Results(asked or study(), items(num, groups), {(each.condition, each.item): each for each in records})


def ended(number: int, leader: str) -> RoundEnded:
    return RoundEnded(
        round=number,
        steps={},
        scores={name: ScoreInfo(-0.5, 0.5, 0.9) for name in MEMBERS},
        leader=leader,
        switched=False,
        tie_break=None,
        set=(),
        unset=(),
        relayed=(),
        nfe={},
        masked_left=0,
        answer_probe=None,  # type: ignore[arg-type]  # nobody reads it
    )


def completed(name: str, answer: str, candidates: Mapping[str, str]) -> Completed:
    info = TieInfo(
        rounds=1,
        switches=0,
        wins={"ann": 1, "bob": 0, "cat": 0},
        final_model="ann",
        final_rule="lowest_tcc",
        scores={"ann": 0.5, "bob": None, "cat": 1.0},
        nfe={name: NfeInfo(10, 2) for name in MEMBERS},
        scored="answer",
        candidates=candidates,
    )
    timings = Timings(1_000.0, 0.0, 0.0, 0.0, 0.0, 3_500.0)
    return Completed(name, answer, "", answer, "stop", Usage(1, 1, 2), info, timings)


class ScriptedSide:
    """Answers every question with the number in it, from a thread of its own, the last asked first when all places are
    taken. `failing` are the prompts that end in an error; `wrong`, by condition, those that get another answer."""

    def __init__(
        self,
        at_once: int = 2,
        failing: Mapping[str, TieError] | None = None,
        *,
        wrong: Mapping[str, Collection[str]] | None = None,
        is_here: bool = True,
    ) -> None:
        self.at_once, self.is_here = at_once, is_here
        self.members = MEMBERS
        self.facts: dict[str, Any] = {"versions": {"tie-server": "1"}, "members": {"ann": {"weights": "abc"}}}
        self.asked: list[tuple[str, str]] = []  # condition and prompt
        self.resolved: list[Mapping[str, Any]] = []
        self.most_at_once = 0
        self._failing = failing or {}
        self._wrong = wrong or {}
        self._under_way: list[tuple[Question, Listener]] = []
        self._due: SimpleQueue[None] = SimpleQueue()
        Thread(target=self._answer, daemon=True).start()

    def resolve(self, options: Mapping[str, Any], models: Sequence[str] = ()) -> Mapping[str, Any]:
        self.resolved.append(options)
        return {**BASE, **options}

    def circumstances(self) -> Mapping[str, Any]:
        return self.facts

    def ask(self, question: Question, listen: Listener) -> None:
        self.asked.append((question.condition.key, question.prompt))
        self._under_way.append((question, listen))
        self.most_at_once = max(self.most_at_once, len(self._under_way))
        self._due.put(None)

    def _answer(self) -> None:
        while True:
            self._due.get()
            question, listen = self._under_way.pop()
            number = question.prompt.removeprefix("say ")
            if question.prompt in self._failing:
                listen(Failed(self._failing[question.prompt]))
                continue
            if question.prompt in self._wrong.get(question.condition.key, ()):
                number = f"not {number}"
            listen(ended(1, "ann"))
            listen(completed(question.id, number, {"ann": number, "bob": "", "cat": number}))
