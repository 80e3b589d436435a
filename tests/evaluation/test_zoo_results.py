"""The command on the embedded zoo: a few validation items from the engine to the page."""

import pytest

from tests.members import zoo
from tests.running import running_engine
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.evaluation import measuring, zoo_results
from tie_core.evaluation.measuring import make_request, measure, read
from tie_core.evaluation.settings import SETTINGS
from tie_core.zoo import DEFAULTS
from tie_core.zoo.task import VALIDATION_SEED, make_items

ITEMS = make_items(VALIDATION_SEED, 3)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble("zoo", zoo(), DEFAULTS)


@pytest.mark.parametrize("name", ["tcc", "random"])
def test_the_engine_measures_what_the_plain_driver_answers(ensemble, name):
    told = []
    with running_engine(ensemble.members) as engine:
        measured = measure(engine, ensemble, BY_NAME[name], ITEMS, lambda *report: told.append(report))

    alone = [list(run_plainly(make_request(ensemble, BY_NAME[name], item, 0)))[-1] for item in ITEMS]
    assert measured.answered == tuple(map(read, ITEMS, alone))
    assert told == [(name, 1, 3), (name, 2, 3), (name, 3, 3)]


def test_more_items_than_are_sent_ahead_are_all_answered(ensemble, monkeypatch):
    monkeypatch.setattr(measuring, "MAX_AHEAD", 2)
    with running_engine(ensemble.members, max_running=1, max_waiting=2) as engine:
        measured = measure(engine, ensemble, BY_NAME["threshold-post"], ITEMS + ITEMS, lambda *_: None)

    assert measured.answered[:3] == measured.answered[3:]


def test_an_expert_leader_leads_every_line(ensemble):
    with running_engine(ensemble.members) as engine:
        measured = measure(engine, ensemble, BY_NAME["expert"], ITEMS, lambda *_: None)

    assert all(min(answered.wins.values()) >= 1 for answered in measured.answered)  # every item has lines of both


def test_the_command_writes_the_page_and_does_not_measure_twice(tmp_path, capsys, monkeypatch):
    page, saved = tmp_path / "results.md", tmp_path / "measured.jsonl"
    words = ["--items", "2", "--seed-split", "validation", "--settings", "threshold-tcc-n1", "--save", str(saved)]

    zoo_results.main([*words, "--out", str(page)])
    monkeypatch.setattr(zoo_results, "measure", None)
    zoo_results.main(words)

    assert "| TIE, tcc, threshold 0.9, n = 1 |" in page.read_text()
    assert len(saved.read_text().splitlines()) == 3
    assert capsys.readouterr().out == page.read_text()


def test_an_unknown_setting_ends_with_a_message(capsys):
    with pytest.raises(SystemExit, match="no setting nonsense"):
        zoo_results.main(["--settings", "nonsense"])


def test_the_price_list_is_made_of_validation_items_only(tmp_path, capsys):
    words = ["--page", "fewer-steps", "--items", "2", "--settings", "tcc-tau90,tcc-tau90-fill"]

    zoo_results.main([*words, "--out", str(tmp_path / "page.md")])

    assert "validation seed (20260616)" in (tmp_path / "page.md").read_text()
    with pytest.raises(SystemExit, match="takes validation items"):
        zoo_results.main([*words, "--seed-split", "test"])
