"""The paper's ablations on records made by hand: their conditions, their figures, and the paper's beside them."""

import random
from dataclasses import replace

import pytest

from tests.evaluation.answers import BASE, INTERVALS, MEMBERS, post, ran, record, results, study
from tie_core.evaluation import ablations, paper, trajectories
from tie_core.evaluation.conditions import POST, RANDOM, SCORES, Condition, tie_by
from tie_core.evaluation.leaders import INJECT
from tie_core.evaluation.named import TABLES
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.tasks import TASKS
from tie_core.options import resolve_options

ASKED = study()
TCC = tie_by("tcc")


def with_base(intervals=INTERVALS, **options) -> Study:
    return replace(ASKED, base={**BASE, **options}, intervals=intervals)


def made(name, runs, asked=ASKED):
    """A table from a digit string for each condition (or records), by the condition's place."""
    conditions = TABLES[name].conditions(asked)
    records = [
        each
        for condition, told in zip(conditions, runs, strict=True)
        for each in (ran(condition, told) if isinstance(told, str) else told)
    ]
    return TABLES[name].render(results(records, asked))


@pytest.mark.parametrize("name", TABLES)
def test_every_condition_of_every_table_is_valid_and_has_a_key_of_its_own(name):
    conditions = TABLES[name].conditions(ASKED)

    assert len({condition.key for condition in conditions}) == len(conditions) > 0
    for condition in conditions:
        resolve_options({}, condition.options)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_made_of_the_records_of_its_conditions_alone(name):
    runs = [post(["100", "010", "110"], "110") if each == POST else "101" for each in TABLES[name].conditions(ASKED)]
    alone = [
        ran(each, told, alone="010") if isinstance(told, str) else told
        for each, told in zip(TABLES[name].conditions(ASKED), runs, strict=True)
    ]

    section = made(name, alone)

    assert section.name == name
    for grid in section.grids:
        assert {len(row) for row in grid.rows} == {len(grid.header)}
    assert section.markdown(3)
    assert section.data()["tables"]


def test_the_papers_figures_are_of_tasks_that_there_are():
    assert set(paper.ACCURACY) <= set(TASKS)
    assert set(paper.CHANGE_RATE) <= set(TASKS)
    assert paper.gain("gsm8k", "tcc", paper.POST) == pytest.approx(83.47 - 80.29)
    assert paper.gain("gsm8k", "tcc", "") == pytest.approx(83.47 - 78.77)
    assert paper.gain("zoo", "tcc", "") is None


def test_intervals_are_half_and_twice_the_ensembles_own_and_share_the_default_run():
    half, own, twice = ablations.interval_conditions(with_base({"tcc": 8}, block_size=8))

    assert own.key == TCC.key
    assert (half.options["interval"], twice.options["interval"]) == (4, 16)
    assert half.options["relay_boundary"] == "step"  # inside a block
    assert "relay_boundary" not in twice.options
    above_a_block, *_ = ablations.interval_conditions(with_base({"tcc": 32}, block_size=16))
    assert "relay_boundary" not in above_a_block.options


def test_the_interval_has_the_papers_figures_and_signs():
    section = made("interval", ["1" * 10 + "0" * 30, "1" * 30 + "0" * 10, "1" * 40])
    rows, effects = section.grids

    assert [row[3].text() for row in rows.rows] == ["82.34", "83.47", "82.49"]
    over_half, over_twice = effects.rows
    assert (over_half[1].paired.difference, over_half[3].text()) == (0.5, "+1.13")
    assert over_half[4].text() == "not comparable"  # its rounds also end inside blocks
    assert (over_twice[1].paired.difference, over_twice[3].text(), over_twice[4].text()) == (
        -0.25,
        "+0.98",
        "the opposite",
    )


def test_two_tokens_a_step_go_with_half_the_interval():
    asked = with_base({"tcc": 32, "top1": 16})
    by_label = {each.label: each.options for each in ablations.acceleration_conditions(asked)}

    assert by_label["TIE, tcc, top 2, n = 16"]["interval"] == 16
    assert by_label["TIE, top1, top 2, n = 8"]["interval"] == 8
    assert "interval" not in by_label["TIE, tcc, threshold 0.9, n = 2"]  # what the ensemble has under that policy
    assert by_label["post-generation ensemble, threshold 0.9"]["interval"] == POST.options["interval"]


def test_acceleration_is_held_against_the_best_member_under_the_same_policy():
    conditions = ablations.acceleration_conditions(ASKED)
    slow, fast = ["100"] * 20, ["001"] * 15 + ["000"] * 5
    runs = [post(slow, "1" * 20), "1" * 20, "1" * 20]
    for place in (3, 6):
        runs += [[record(conditions[place], n, alone[2] == "1", alone=alone) for n, alone in enumerate(fast)]]
        runs += ["1" * 20, "1" * 18 + "00"]

    rows, effects = made("acceleration", runs).grids

    assert [row[0].text() for row in rows.rows].count("cat alone, threshold 0.9") == 1
    first = effects.rows[0]
    assert (first[0].text(), first[1].paired.difference) == ("TIE, tcc, threshold 0.9, n = 2 over cat alone", 0.25)
    assert first[3].value == pytest.approx(82.26 - 80.44)
    assert [row[3].text() for row in effects.rows] == ["+1.82", "–", "+2.80", "–", "+1.22", "–", "+2.66", "–"]


@pytest.mark.parametrize(("name", "published"), [("normalisation", "+0.83"), ("cross_model", "+1.36")])
def test_two_ways_are_held_against_each_other(name, published):
    rows, effects = made(name, ["1" * 10, "0" * 9 + "1"]).grids

    (only,) = effects.rows
    assert [row[1].num for row in rows.rows] == [10, 1]
    assert (only[1].paired.difference, only[3].text(), only[4].text()) == (0.9, published, "the same")


def test_final_rules_are_read_off_one_run():
    posted = post(["100", "100", "010"], "110")  # ann is the best member
    tied = [
        record(TCC, 0, True, alone="011", led="bb", final="cat"),
        record(TCC, 1, False, alone="101", led="cca", final="bob"),
        record(TCC, 2, True, alone="110", led="ab", final="bob"),
    ]

    rows, _ = made("selection", [posted, tied]).grids

    assert [(row[0].text(), row[1].num) for row in rows.rows] == [
        ("lowest_tcc", 2),
        ("best_model (ann)", 2),  # items 1 and 2
        ("most_selected", 3),  # bob, cat, and of ann and bob the one that was chosen
    ]


def test_equal_leaders_without_the_chosen_one_go_by_their_token_changes():
    run = record(TCC, 0, True, alone="111", led="abab", tcc=(2.0, 1.0, 0.5), final="cat")
    unknown = record(TCC, 0, True, alone="111", led="abab", tcc=(None, 1.0, 0.5), final="cat")

    assert (ablations.most_selected(run), ablations.most_selected(unknown)) == ("bob", "bob")


def test_the_default_run_serves_the_final_rules_unless_another_rule_is_configured():
    assert ablations.selection_conditions(ASKED) == (POST, TCC)
    _, other = ablations.selection_conditions(with_base(selection="most_selected"))
    assert other.options["selection"] == "lowest_tcc"


def test_stability_holds_wrong_runs_against_right_ones():
    alone = ["100", "100", "011", "010"]
    tcc = [(0.5, 3.0, None), (1.5, 1.0, 1.0), (4.0, 1.0, 0.0), (2.0, 3.0, 2.0)]
    posted = [
        record(POST, n, True, alone=each, tcc=counts) for n, (each, counts) in enumerate(zip(alone, tcc, strict=True))
    ]

    section = made("stability", [posted])

    ann, bob, cat, published = section.grids[0].rows
    assert [figure.value for figure in ann[1:]] == [2, 1.0, 1.0, 2, 3.0, 3.0, 2.0, 3.0]
    assert [figure.value for figure in bob[1:]] == [2, 2.0, 2.0, 2, 2.0, 2.0, 0.0, 1.0]
    assert [figure.value for figure in cat[1:]] == [1, 0.0, 0.0, 2, 1.5, 1.5, None, None]
    assert ann[7].text() == "+2.000 [-4.919, +8.919]"  # at 25 / 17 degrees of freedom
    assert (published[3].text(), published[6].text()) == ("1.81", "4.27")
    assert published[8].value == pytest.approx(4.27 / 1.81)
    assert section.sentences == (
        "Wrong runs change their answer more often (the difference's interval is above 0) with 0 of the 0 members that"
        " have 10 runs of each or more.",
    )


@pytest.mark.parametrize(("num_right", "told"), [(10, "1 of the 1"), (9, "0 of the 0")])
def test_wrong_runs_change_more_often_where_the_interval_of_enough_runs_says_so(num_right, told):
    alone = ["100"] * num_right + ["000"] * 10
    tcc = [(number % 2 + number // num_right, None, None) for number in range(len(alone))]
    posted = [
        record(POST, n, True, alone=each, tcc=counts) for n, (each, counts) in enumerate(zip(alone, tcc, strict=True))
    ]

    assert f"above 0) with {told} members" in made("stability", [posted]).sentences[0]


def test_change_rates_are_told_for_every_condition_and_the_papers_for_its_own_task():
    runs = [ran(tie_by(score), "10", led="aab") for score in SCORES]

    section = made("change_rate", runs, study(name="gsm8k"))
    (rows,) = section.grids

    assert [row[0].text() for row in rows.rows] == [f"TIE, {score}" for score in SCORES]
    assert (rows.rows[0][2].num, rows.rows[0][2].of) == (2, 4)
    assert [row[3].value for row in rows.rows] == [paper.CHANGE_RATE["gsm8k"], *[None] * (len(SCORES) - 1)]
    assert "in 67 % of them with the 3 members here, and in 50 % with the paper's 2" in section.note


@pytest.mark.parametrize("name", ["switches", "change_rate"])
def test_the_leaders_of_the_main_tables_conditions_are_told(name):
    part = Condition("TIE of two", {"score": "tcc"}, models=("ann", "bob"))

    assert TABLES[name].conditions(study([POST, TCC, RANDOM, part])) == (TCC, RANDOM)
    assert TABLES[name].conditions(study([POST])) == (TCC,)


def test_switches_are_held_against_each_other_by_run():
    early, late = "abbbbb", "aaaaab"
    runs = {"tcc": ran(tie_by("tcc"), "1" * 6, led=early), "top1": ran(tie_by("top1"), "1" * 6, led=late)}
    runs["commit"] = [record(tie_by("commit"), n, True, led=(early, late)[n % 2]) for n in range(6)]

    section = made("switches", runs.values(), study(map(tie_by, runs)))

    tcc, top1, commit = section.grids[0].rows
    assert [(cell.num, cell.of) for cell in tcc[2:5]] == [(6, 6), (0, 12), (0, 12)]
    assert [row[1].value for row in (tcc, top1, commit)] == [6, 6, 6]
    assert [row[5].text() for row in (tcc, top1, commit)] == ["+100.0", "-50.0", "+25.0"]
    assert [row[6].tested.p_value for row in (tcc, top1, commit)] == pytest.approx([2 / 64, 2 / 64, 5 / 8], abs=0.01)
    assert section.sentences == (
        "Thirds in which the leader changes more often (p < 0.05): TIE, tcc (the first), TIE, top1 (the last).",
        "First and last third are not told apart: TIE, commit.",
    )


def test_a_run_whose_first_third_has_no_change_to_make_says_nothing():
    section = made("switches", [ran(TCC, "1" * 8, led="abb")], study([TCC]))

    assert [cell.text() for cell in section.grids[0].rows[0][5:]] == ["–", "–"]
    assert section.sentences == ("First and last third are not told apart: TIE, tcc.",)


@pytest.mark.parametrize("num_rounds", [6, 18])
def test_a_steady_rate_is_seldom_taken_for_a_difference_of_thirds(num_rounds):
    rng = random.Random(0)

    def leaders():
        is_bob = [False]
        for _ in range(num_rounds - 1):
            is_bob.append(is_bob[-1] ^ (rng.random() < 0.2))
        return "".join("ab"[each] for each in is_bob)

    def is_told_apart():
        runs = [record(TCC, number, True, led=leaders()) for number in range(200)]
        return "(p < 0.05)" in made("switches", [runs], study([TCC])).sentences[0]

    assert sum(is_told_apart() for _ in range(40)) <= 5


def test_injections_are_counted_by_who_was_right_alone():
    posted = post(["100", "100", "100", "000", "010", "110"], "100000")
    asked = trajectories.injection_conditions(ASKED)
    told = {"ann>bob": "110000", "bob>ann": "000111"}  # after it, bob or ann is right
    runs = [posted]
    for condition in asked[1:]:
        pair = condition.leaders.removeprefix(INJECT)
        target = pair.partition(">")[2]
        digits = told.get(pair, "000000")
        runs.append(
            [
                record(condition, n, False, alone="".join(digit if name == target else "0" for name in MEMBERS))
                for n, digit in enumerate(digits)
            ]
        )

    section = made("injection", runs)
    rows, effects = section.grids

    assert len(rows.rows) == len(effects.rows) == 6  # ordered pairs of three
    by_name = {row[0].text(): [(share.num, share.of) for share in row[2::2]] for row in rows.rows}
    assert by_name["bob after ann"] == [(2, 3), (0, 1), (0, 1)]
    assert by_name["ann after bob"] == [(1, 1), (1, 1), (0, 3)]
    assert [figure.value for figure in rows.rows[0][1::2]] == [3, 1, 1]
    assert effects.rows[0][1].paired.difference == pytest.approx((2 - 2) / 6)
    assert section.sentences == (
        "Targets that are wrong alone, after a source that is right alone: 0 to 100 % right.",
        "Targets that are right alone, after a source that is wrong alone: 0 % right.",
    )


def test_injections_into_members_that_are_always_right_correct_nothing():
    asked = trajectories.injection_conditions(ASKED)
    runs = [post(["111"] * 3, "111"), *(ran(condition, "111", alone="111") for condition in asked[1:])]

    assert made("injection", runs).sentences[0].endswith(": there are none.")


def test_a_table_of_fewer_items_takes_the_first_ones():
    found = results([*post(["100", "010"], "11"), *ran(TCC, "10")])
    first = Results(found.study, found.items[:1], found.records)

    assert first.right(TCC) == (True,)
