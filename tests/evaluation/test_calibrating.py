"""What is learned on validation items: which members, which score, which rule; and that the simpler one wins a tie."""

import json
from dataclasses import replace

import pytest

from tests.evaluation.answers import MEMBERS, ScriptedSide, items, post, ran, results, study, task
from tie_core.errors import TaskError
from tie_core.evaluation.calibrating import Way, simplest_of_the_best
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.evaluation import Evaluation, Wishes
from tie_core.evaluation.records import LedRound
from tie_core.evaluation.unequal import PLAIN, render
from tie_core.events import Completed, RoundEnded, ScoreInfo

TOLD = {"command": "tie eval numbers", "date": "2026-01-02", "machine": "Linux, 2 cores"}


class Unequal(ScriptedSide):
    """`right` says which members are right in a run of a condition, by the number of the item."""

    def __init__(self, right, **changes):
        super().__init__(**changes)
        self._right = right

    def ask(self, question, listen):
        members = question.condition.models or MEMBERS
        number = int(question.prompt.removeprefix("say "))
        right = self._right(question.condition, number)

        def judged(event):
            if isinstance(event, Completed):
                texts = {name: str(number) if name in right else "wrong" for name in members}
                final = members[0]
                tie = replace(event.tie, candidates=texts, final_model=final, scores=dict.fromkeys(members, 0.0))
                event = replace(event, answer=texts[final], tie=tie)
            elif isinstance(event, RoundEnded):
                readings = dict.fromkeys(members, ScoreInfo(-0.1 * (number % 5), 0.5, 0.9))
                event = replace(event, leader=members[0], scores=readings)
            listen(event)

        super().ask(question, judged)


def evaluated(tmp_path, side, **wishes):
    split = {"load_validation": lambda folder: tuple(replace(item, id=f"v/{item.id}") for item in items(60))}
    asked = Wishes(
        **{
            "tasks": (task(40, **split),),
            "tables": {"unequal": None},
            "conditions": (tie_by("tcc"), tie_by("commit")),
            "num_to_calibrate": 40,
            **wishes,
        }
    )
    asked.check()
    evaluation = Evaluation(side, asked, tmp_path, tmp_path / "out", TOLD, lambda name, work, records, at_once: records)
    (chapter,) = evaluation.run().chapters
    return chapter


def test_one_member_alone_wins_where_no_ensemble_beats_it(tmp_path):
    """Bob is right in every other item, whoever else is asked, and the ensembles answer with ann."""
    side = Unequal(lambda condition, number: {"bob"} if number % 2 else set())

    chapter = evaluated(tmp_path, side)

    assert chapter.learned.chosen.condition.models == ("bob",)
    assert "calibration" not in chapter.learned.chosen.condition.options
    assert sum(chapter.experiment.results(40).right(chapter.experiment.study.learned)) == 20


def test_the_score_by_which_all_are_right_wins_over_members_alone(tmp_path):
    def right(condition, number):
        return set(MEMBERS) if condition.options.get("score") == "commit" or number % 3 == 0 else set()

    chapter = evaluated(tmp_path, Unequal(right))

    assert chapter.learned.plain == tie_by("commit")
    assert chapter.learned.chosen.condition.options["score"] == "commit"
    assert len(chapter.learned.chosen.condition.models) == 2  # as right as all three, and cheaper


def test_a_calibration_that_is_better_is_chosen_with_its_table(tmp_path):
    def right(condition, number):
        return set(MEMBERS) if "calibration" in condition.options or number % 3 == 0 else set()

    chapter = evaluated(tmp_path, Unequal(right))
    options = chapter.learned.chosen.condition.options

    assert set(options["calibration"]) <= set(MEMBERS)
    assert set(options["calibration"]["ann"]) == {options["score"]}


def test_everything_is_learned_on_validation_items_before_a_test_item_is_asked(tmp_path):
    seen = []

    class Watching(Unequal):
        def ask(self, question, listen):
            seen.append(question.condition.key)
            super().ask(question, listen)

    chapter = evaluated(tmp_path, Watching(lambda condition, number: set(MEMBERS)))
    learned = [
        json.loads(line) for line in (tmp_path / "out" / "numbers.validation.jsonl").read_text().splitlines()[1:]
    ]
    measured = [json.loads(line) for line in (tmp_path / "out" / "numbers.test.jsonl").read_text().splitlines()[1:]]

    assert seen[: len(learned)].count(POST.key) == 40
    assert {each["item"][:2] for each in learned} == {"v/"}
    assert {each["item"][:2] for each in measured} == {"q/"}
    assert len(seen) == len(learned) + len(measured)
    assert {each["condition"] for each in measured} == {
        POST.key,
        PLAIN.key,
        chapter.learned.plain.key,
        chapter.learned.chosen.condition.key,
    }


def test_what_was_answered_is_learned_from_again_without_asking(tmp_path):
    def right(condition, number):
        return set(MEMBERS) if "calibration" in condition.options or number % 3 == 0 else set()

    first, again = evaluated(tmp_path, Unequal(right)), Unequal(right)

    assert evaluated(tmp_path, again).learned.chosen == first.learned.chosen
    assert again.asked == []


def test_every_part_of_three_members_is_tried(tmp_path):
    chapter = evaluated(tmp_path, Unequal(lambda condition, number: set()))

    assert {way.condition.models for way in chapter.learned.ways} >= {
        ("ann",), ("bob",), ("cat",), ("ann", "bob"), ("ann", "cat"), ("bob", "cat"), (),
    }  # fmt: skip


def way(label, right, *simplicity):
    return Way(Condition(label), [digit == "1" for digit in right], 1.0, simplicity)


def test_of_ways_that_are_not_told_apart_the_simplest_is_taken():
    simple, better, best = way("simple", "10" * 20, 1), way("better", "1" * 36 + "0" * 4, 2), way("best", "1" * 40, 3)

    assert simplest_of_the_best([best, better, simple]) is better  # 4 items more are not told apart, 20 are


def test_an_ensemble_that_is_calibrated_already_is_refused(tmp_path):
    class Calibrated(ScriptedSide):
        def resolve(self, options, models=()):
            return {"calibration": {"ann": {}}, **super().resolve(options)}

    with pytest.raises(TaskError, match="calibrated already"):
        evaluated(tmp_path, Calibrated())


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"num_to_calibrate": None}, "the table `unequal` needs --calibrate"),
        ({"num_to_choose": 2}, "give --calibrate or --choose"),
        ({"split": "validation"}, "leave out --split validation"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_a_model_is_loaded(tmp_path, wishes, says):
    with pytest.raises(TaskError, match=says):
        evaluated(tmp_path, ScriptedSide(), **wishes)


def test_the_table_pairs_the_calibration_with_the_better_member_and_with_plain_tie(tmp_path):
    def right(condition, number):
        return set(MEMBERS) if "calibration" in condition.options else {"bob"} if number % 2 else set()

    (section,) = evaluated(tmp_path, Unequal(right)).sections

    rows = {row[0]["said"] if isinstance(row[0], dict) else row[0]: row for row in section.data()["tables"][0]["rows"]}
    (label,) = (label for label in rows if label.endswith("(chosen on validation items)"))
    assert rows[label][1] == 50.0  # bob is right in half of the items, the others in none
    assert rows[label][3]["difference"] == 0.5
    assert rows[label][5]["difference"] == 1.0
    verdict, calibrated, ties = section.sentences
    assert verdict.startswith("ann and bob and cat: plain TIE is **worse** than bob alone (-50.0 [")
    assert "calibrated) is better than bob alone (+50.0 [" in verdict
    assert "], p < 0.0001), better than plain TIE (+100.0 [" in verdict.replace("] points, p", "], p")
    assert calibrated == "A calibrated reading was chosen for 1 of 1 ensembles."
    assert ties.startswith("ann and bob and cat: no member alone had the best score in ")


def test_what_is_the_better_member_itself_is_not_compared_with_it():
    bob = Condition("bob alone", {"score": "tcc"}, models=("bob",))
    alone = ["010"] * 10 + ["000"] * 10
    rounds = (LedRound("ann", {"ann": 0.0, "bob": 0.0}), LedRound("bob", {"ann": -1.0, "bob": 0.0}))
    records = [*post(alone, "0" * 20), *ran(PLAIN, "0" * 20, rounds=rounds), *ran(bob, "1" * 10 + "0" * 10)]

    told = render(results(records, replace(study([]), chosen=PLAIN, learned=bob)))

    assert [row[0].text() for row in told.grids[0].rows][-2:] == [
        "TIE, tcc (the best score on validation items)",
        "bob alone (chosen on validation items)",
    ]
    assert told.sentences[0].endswith(
        "what was chosen on validation items (bob alone) is better than plain TIE"
        " (+50.0 [+27.5, +72.5] points, p 0.0020)."
    )
    assert told.sentences[1:] == (
        "A calibrated reading was chosen for 0 of 1 ensembles.",
        "ann and bob and cat: no member alone had the best score in 50.0 % of the rounds of plain TIE.",
    )
