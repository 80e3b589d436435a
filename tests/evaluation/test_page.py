"""The page: every setting has its row, verdicts follow the figures, and the split is named."""

import re
from dataclasses import replace

from tests.evaluation.answers import FIRST, SECOND, post, run
from tie_core.evaluation.page import Circumstances, render
from tie_core.evaluation.settings import SETTINGS

TOLD = Circumstances(
    date="2026-01-02",
    split="test",
    seed=7,
    num_items=4,
    machine="Linux x86_64, 2 cores",
    versions={"torch": "2.0"},
    weights={FIRST: "abc", SECOND: "def"},
)
ALL = {
    setting.name: replace(post("1100", "1010", "1100"), setting=setting.name)
    if setting.is_baseline
    else run(setting.name, "1110")
    for setting in SETTINGS
}


def test_every_setting_has_a_row_in_both_tables():
    page = render(TOLD, SETTINGS, ALL)

    for setting in SETTINGS:
        assert page.count(f"| {setting.label} |") == 2


def test_every_line_of_a_table_has_as_many_cells_as_its_header():
    page = render(TOLD, SETTINGS, ALL)

    for lines in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in lines.splitlines()}) == 1


def test_circumstances_are_told():
    page = render(TOLD, SETTINGS, ALL)

    for word in ("2026-01-02", "the test seed (7)", "2 cores", "torch 2.0", f"{FIRST} `abc`"):
        assert word in page


def test_validation_figures_say_that_they_are_for_development():
    assert "for development only" in render(replace(TOLD, split="validation"), SETTINGS, ALL)
    assert "for development only" not in render(TOLD, SETTINGS, ALL)


def test_missed_targets_are_named_in_the_summary():
    page = render(TOLD, SETTINGS, ALL)

    assert "2 of 6 targets are met. Missed: TIE, tcc: +5.0 points on the post-generation ensemble" in page


def test_a_part_of_the_settings_makes_a_page_too():
    page = render(TOLD, SETTINGS[:1], {"post": ALL["post"]})

    assert "not measured" in page
    assert "Cross-model reading against" not in page
