"""A whole evaluation on a scripted side: what is asked in which order, what is not asked again, and the report."""

import json
import re
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from tests.evaluation.answers import ScriptedSide, items, task
from tie_core.errors import EngineClosedError, TaskError
from tie_core.evaluation.conditions import CHOSEN, POST, RANDOM, SCORES, parse_conditions, standard, tie_by
from tie_core.evaluation.evaluation import Evaluation, Wishes, parse_tables
from tie_core.evaluation.named import TABLES

TOLD = {"command": "tie eval numbers", "date": "2026-01-02", "machine": "Linux, 2 cores"}


def quietly(name, work, records, at_once):
    return records


def evaluation(tmp_path, side=None, track=quietly, **wishes):
    asked = Wishes(**{"tasks": (task(6),), "tables": {"main": None}, **wishes})
    asked.check()
    return Evaluation(side or ScriptedSide(), asked, tmp_path, tmp_path / "out", TOLD, track)


def test_everything_that_the_tables_need_is_asked_once(tmp_path):
    side = ScriptedSide()
    tables = {"main": 5, "interval": 3, "stability": None}

    report = evaluation(tmp_path, side, tables=tables, num_items=2).run()

    asked = [(condition, num) for condition in standard() for num in range(5)]
    asked += [
        (condition, num)
        for condition in TABLES["interval"].conditions(report.chapters[0].experiment.study)
        for num in range(3)
    ]
    assert len(side.asked) == len(set(side.asked)) == len({(condition.key, num) for condition, num in asked})
    assert report.chapters[0].sizes == {"main": 5, "interval": 3, "stability": 2}


def test_a_table_has_no_more_items_than_there_are(tmp_path):
    (chapter,) = evaluation(tmp_path, tables={"main": 100}).run().chapters

    assert chapter.sizes == {"main": 6}


def test_what_is_answered_is_not_asked_again_and_more_can_be_asked_later(tmp_path):
    first, again, more = ScriptedSide(), ScriptedSide(), ScriptedSide()

    report = evaluation(tmp_path, first, num_items=3).run()
    same = evaluation(tmp_path, again, num_items=3).run()
    evaluation(tmp_path, more, num_items=4).run()

    assert again.asked == []
    assert same.data() == report.data()
    assert len(first.asked) == 3 * len(standard())
    assert len(more.asked) == len(standard())


def test_a_run_that_is_broken_off_goes_on_where_it_was(tmp_path):
    def broken_off(name, work, records, at_once):
        yield from islice(records, 4)
        raise KeyboardInterrupt

    side = ScriptedSide()
    with pytest.raises(KeyboardInterrupt):
        evaluation(tmp_path, track=broken_off).run()
    evaluation(tmp_path, side).run()

    assert len(side.asked) == 6 * len(standard()) - 4


def test_records_under_other_options_or_of_other_weights_are_refused(tmp_path):
    evaluation(tmp_path).run()
    other = ScriptedSide()
    other.facts = {**other.facts, "members": {"ann": {"weights": "abd"}}}

    with pytest.raises(TaskError, match=r"options.tau: there null, now 0.5"):
        evaluation(tmp_path, options={"tau": 0.5}).run()
    with pytest.raises(TaskError, match=r'members.ann.weights: there "abc", now "abd"'):
        evaluation(tmp_path, other).run()
    with pytest.raises(TaskError, match=r"items.seed: there 0, now 1"):
        evaluation(tmp_path, seed=1).run()


def test_records_of_members_in_another_order_or_of_other_references_are_refused(tmp_path):
    evaluation(tmp_path).run()
    other = ScriptedSide()
    other.members = other.members[::-1]
    corrected = task(6, load=lambda folder: tuple(replace(item, reference="0") for item in items(6)))

    with pytest.raises(TaskError, match=r'order: there \["ann", "bob", "cat"\], now \["cat", "bob", "ann"\]'):
        evaluation(tmp_path, other).run()
    with pytest.raises(TaskError, match=r"verdicts by other references: have them judged anew by --regrade"):
        evaluation(tmp_path, tasks=(corrected,)).run()


def test_references_that_were_corrected_judge_what_is_recorded(tmp_path):
    corrected = task(6, load=lambda folder: tuple(replace(item, reference="0") for item in items(6)))
    evaluation(tmp_path).run()
    side = ScriptedSide()

    evaluation(tmp_path, side, tasks=(corrected,), regrades=True).run()
    again = evaluation(tmp_path, side, tasks=(corrected,)).run()

    assert side.asked == []
    assert sum(again.chapters[0].experiment.results(6).right(POST)) == 1
    with pytest.raises(TaskError, match="verdicts by other references"):
        evaluation(tmp_path).run()


def test_records_under_defaults_that_have_changed_are_refused(tmp_path):
    class Changed(ScriptedSide):
        """top1's own interval, which the header does not tell, is another one."""

        def resolve(self, options, models=()):
            n = {"interval": 32} if options.get("score") == "top1" else {}
            return {**super().resolve(options), **n, **options}

    def asked(side, *conditions):
        evaluation(tmp_path, side, conditions=conditions).run()

    asked(ScriptedSide(), tie_by("tcc"), tie_by("top1"), tie_by("top1", interval=4))
    asked(Changed(), tie_by("tcc"), tie_by("top1", interval=4))
    with pytest.raises(TaskError, match=r"holds records of 'score=top1' under other options"):
        asked(Changed(), tie_by("tcc"), tie_by("top1"))


def test_a_grader_that_was_mended_judges_what_is_recorded_without_asking_again(tmp_path):
    def verdicts(report):
        runs = report.chapters[0].experiment.results(6).runs(POST)
        return [(run.is_right, tuple(run.members_right.values())) for run in runs]

    broken = task(6, grade=lambda item, answer: answer == "")
    first = evaluation(tmp_path, tasks=(broken,)).run()
    side = ScriptedSide()
    kept = evaluation(tmp_path, side).run()
    mended = evaluation(tmp_path, side, regrades=True).run()
    later = evaluation(tmp_path, side).run()

    assert side.asked == []
    assert verdicts(first) == verdicts(kept) == [(False, (False, True, False))] * 6
    assert verdicts(mended) == verdicts(later) == [(True, (True, False, True))] * 6


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    def beside(name, work, records, at_once):
        with pytest.raises(TaskError, match="another run writes into"):
            evaluation(tmp_path).run()
        return records

    evaluation(tmp_path, track=beside).run()


def test_the_condition_is_chosen_on_validation_items_before_any_other_is_asked(tmp_path):
    side = ScriptedSide(1)
    told = task(6, load_validation=lambda folder: items(9)[6:])

    report = evaluation(
        tmp_path, side, tasks=(told,), conditions=parse_conditions("post,random,chosen"), num_to_choose=2
    ).run()

    (chapter,) = report.chapters
    scores = [tie_by(score) for score in SCORES]
    validation, test = side.asked[: 2 * len(scores)], side.asked[2 * len(scores) :]
    assert {condition for condition, _ in validation} == {condition.key for condition in scores}
    assert {prompt for _, prompt in validation} < {"say 6", "say 7", "say 8"}
    assert {prompt for _, prompt in test}.isdisjoint(prompt for _, prompt in validation)
    assert chapter.experiment.study.chosen == scores[0]  # all are as good, and the first is as cheap
    assert chapter.experiment.study.conditions == (POST, RANDOM, scores[0])
    assert {condition for condition, _ in test} == {POST.key, RANDOM.key, scores[0].key}
    assert (tmp_path / "out" / "numbers.validation.jsonl").exists()
    assert (tmp_path / "out" / "numbers.test.jsonl").exists()


def test_the_better_condition_is_chosen(tmp_path):
    class Better(ScriptedSide):
        """Right under top1 alone."""

        def ask(self, question, listen):
            prompt = question.prompt if "top1" in question.condition.key else "say nothing"
            super().ask(replace(question, prompt=prompt), listen)

    report = evaluation(tmp_path, Better(), tasks=(task(40),), num_to_choose=4).run()

    assert report.chapters[0].experiment.study.chosen == tie_by("top1")
    (row, *others) = report.chapters[0].choice.section.grids[0].rows
    assert [cell.text() for cell in row] == ["TIE, top1 (chosen)", "100.0 [51.0, 100.0]", "36.0"]
    assert [cell.num for _, cell, _ in others] == [4, *[0] * (len(SCORES) - 2)]  # commit_top1 has top1 in its name
    assert "### What was chosen among\n\n4 items. " in report.write(tmp_path / "page.md")


def test_the_best_part_of_the_members_is_chosen_beside_the_best_condition(tmp_path):
    class Better(ScriptedSide):
        """All members are right on all items, bob and cat on some, ann and bob on none."""

        def ask(self, question, listen):
            models = question.condition.models
            is_right = not models or ("cat" in models and int(question.prompt.removeprefix("say ")) % 2)
            super().ask(replace(question, prompt=question.prompt if is_right else "say nothing"), listen)

    words = "post; score=tcc models=ann,bob; score=tcc; score=tcc models=bob,cat"
    report = evaluation(
        tmp_path, Better(), tasks=(task(40),), conditions=parse_conditions(words), num_to_choose=8
    ).run()

    found = report.chapters[0].experiment.study
    assert (found.chosen.key, found.chosen_part.key) == ("score=tcc", "score=tcc models=bob,cat")
    told = report.write(tmp_path / "page.md")
    assert "over TIE, score=tcc models=bob,cat (the best part on validation items) | +" in told
    assert "\n| TIE, score=tcc models=bob,cat (the best part) |" in told


def test_of_what_is_chosen_among_only_the_chosen_ones_are_measured_on_test_items(tmp_path):
    side = ScriptedSide()
    report = evaluation(
        tmp_path,
        side,
        tasks=(task(40),),
        conditions=parse_conditions("post; chosen"),
        among=parse_conditions("tcc; top1; score=tcc models=ann,bob; score=tcc models=bob,cat"),
        num_to_choose=2,
    ).run()

    (chapter,) = report.chapters
    study = chapter.experiment.study
    assert study.conditions == (POST, study.chosen, study.chosen_part)
    asked = Counter(key for key, _ in side.asked)
    assert len(asked) == 1 + 4
    assert sorted(asked.values())[:2] == [2, 2]  # validation items only


@pytest.mark.parametrize(
    ("models", "says"), [("ann,bbo", "the members are ann, bob, cat"), ("ann,ann", "a member is named twice")]
)
def test_members_that_are_not_there_are_refused_before_any_request(tmp_path, models, says):
    side = ScriptedSide()

    with pytest.raises(TaskError, match=says):
        evaluation(tmp_path, side, conditions=parse_conditions(f"post; score=tcc models={models}")).run()

    assert side.asked == []


def test_what_is_chosen_is_measured_even_where_it_is_not_named(tmp_path):
    report = evaluation(tmp_path, tasks=(task(40),), conditions=(POST, RANDOM), num_to_choose=2).run()

    (chapter,) = report.chapters
    assert chapter.experiment.study.conditions == (POST, RANDOM, tie_by(SCORES[0]))
    assert "chosen on validation items, is **not** above" in report.write(tmp_path / "page.md")


def test_what_no_server_can_be_asked_is_refused_before_any_request(tmp_path):
    side = ScriptedSide(is_here=False)

    with pytest.raises(TaskError, match="a server cannot be asked for this: random leader"):
        evaluation(tmp_path, side, conditions=(RANDOM,)).run()

    assert side.asked == []


def test_every_condition_is_resolved_before_any_request(tmp_path):
    side = ScriptedSide()
    side.ask = lambda question, listen: pytest.fail("asked too early") if len(side.resolved) < 2 + len(SCORES) else None
    started = evaluation(tmp_path, side, track=lambda name, work, records, at_once: [])

    with pytest.raises(KeyError):  # nothing is answered
        started.run()

    assert [options.get("score") for options in side.resolved] == [None, *SCORES, None]


@pytest.mark.parametrize("table", ["fewer_steps", "acceleration"])
def test_what_is_resolved_is_asked_once_and_before_the_first_answer(tmp_path, table):
    side = ScriptedSide()
    resolved_at_first = []

    def track(name, work, records, at_once):
        resolved_at_first.extend(side.resolved)
        return records

    evaluation(tmp_path, side, track=track, tables={table: 1}).run().write(tmp_path / "page.md")

    assert side.resolved == resolved_at_first
    assert len({json.dumps(options, sort_keys=True) for options in side.resolved}) == len(side.resolved) > len(SCORES)


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"tasks": (task(runs_code=True),)}, "allow it with --run-code"),
        ({"split": "dev"}, "there is no split dev"),
        ({"conditions": (CHOSEN,)}, "needs --choose"),
        ({"among": (POST,)}, "give --choose as well"),
        ({"num_to_choose": 4, "split": "validation"}, "leave out --split validation"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(tmp_path, wishes, says):
    with pytest.raises(TaskError, match=says):
        evaluation(tmp_path, **wishes)


def test_plots_without_matplotlib_are_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(TaskError, match=re.escape(".venv/bin/pip install -e '.[eval]'")):
        evaluation(tmp_path, draws_plots=True)


def test_a_task_of_one_item_has_no_interval(tmp_path):
    with pytest.raises(TaskError, match="an interval needs 2"):
        evaluation(tmp_path, tasks=(task(1),)).run()


def test_tables_come_in_their_order_with_their_numbers():
    assert parse_tables(["interval", "main:1000", "interval:20"]) == {"main": 1000, "interval": 20}
    for word, says in (("nonsense", "there is no table nonsense"), ("main:1", "at least 2"), ("main:x", "at least 2")):
        with pytest.raises(TaskError, match=says):
            parse_tables([word])


def test_the_report_has_a_chapter_for_each_task_and_a_section_for_each_table(tmp_path):
    tasks = (task(6, about="One says a number.", notes="- Of little use."), task(6, "others"))
    report = evaluation(tmp_path, tasks=tasks, tables={"main": 4, "switches": 3}, draws_plots=True).run()

    text = report.write(tmp_path / "page.md")

    assert text == (tmp_path / "page.md").read_text()
    assert "Made by `tie eval numbers` and not edited by hand, on 2026-01-02: Linux, 2 cores." in text
    assert text.count("\n## Numbers\n") == text.count("### Right answers\n\n4 items. ") == 2
    assert text.count("\n## Numbers\n\nOne says a number.\n\n- Items:") == 1
    assert text.count("3 items, the first of the main table's 4. ") == 2
    assert text.count("### What these figures do not show\n\n- Of little use.") == 1
    assert "Options, where a row does not say otherwise: block_size 16, interval 16, score tcc" in text
    assert "ann (weights `abc`)" in text
    for place in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (tmp_path / place).read_text().startswith("<?xml")
    assert len(list((tmp_path / "page").iterdir())) == 4
    json.dumps(report.data())


def test_a_report_of_one_ablation_has_its_name_and_validation_items_a_warning(tmp_path):
    one = evaluation(tmp_path, tasks=(task(60),), tables={"stability": 2}, split="validation").run()
    two = evaluation(tmp_path, tables={"main": 2, "stability": 2}).run()

    assert one.write(tmp_path / "one.md").startswith("# Token changes of right and wrong runs (table 1)\n")
    assert "for development only" in (tmp_path / "one.md").read_text()
    assert two.write(tmp_path / "two.md").startswith("# Results\n")
    assert "for development only" not in (tmp_path / "two.md").read_text()


def test_all_items_of_a_task_with_validation_items_of_its_own_are_called_test_items(tmp_path):
    told = task(6, "held out", load_validation=lambda folder: items(9)[6:])
    report = evaluation(tmp_path, tasks=(told, task(6)), tables={"main": 2}).run()

    (held_out, *_), (whole, *_) = (chapter.facts() for chapter in report.chapters)

    assert "of 6 (test, digest" in held_out
    assert "of 6 (all, digest" in whole


def test_the_same_figures_give_the_same_plot(tmp_path):
    report = evaluation(tmp_path, draws_plots=True).run()

    report.write(tmp_path / "one.md")
    report.write(tmp_path / "two.md")

    one, two = ((tmp_path / name / "numbers-main.svg").read_text() for name in ("one", "two"))
    assert one == two


def test_a_failure_ends_the_evaluation(tmp_path):
    with pytest.raises(EngineClosedError):
        evaluation(tmp_path, ScriptedSide(1, {"say 3": EngineClosedError("closed")})).run()
