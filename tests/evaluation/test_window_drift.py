"""The exact run seen through windows: nothing it decides changes, and always refreshed windows see what it saw."""

from tests.members import zoo
from tie_core.ensemble import Ensemble
from tie_core.evaluation.window_drift import main, measure_drift
from tie_core.zoo import DEFAULTS
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

ITEM = make_items(VALIDATION_SEED, 1)[0]


def request(**options):
    return Ensemble("zoo", zoo(), DEFAULTS).request(messages=[{"role": "user", "content": ITEM.prompt}], **options)


def test_windows_that_are_always_refreshed_drift_nowhere():
    drift = measure_drift([request()], refresh_interval=1)
    assert drift.num_positions == drift.num_exact_positions
    assert drift.num_same_leader == drift.num_rounds > 2
    assert not drift.top1
    assert set(drift.tcc) == {0.0}


def test_windows_read_less_and_see_nearly_the_same():
    drift = measure_drift([request()], refresh_interval=8)
    assert drift.num_positions < 0.5 * drift.num_exact_positions
    assert drift.num_same_token > 0.95 * len(drift.top1)
    assert 0 < max(drift.top1) < 1
    assert len(drift.row(8)) == 8


def test_the_shadow_decides_nothing():
    drift = measure_drift([request()], refresh_interval=8)
    exact = Ensemble("zoo", zoo(), DEFAULTS).answer([{"role": "user", "content": ITEM.prompt}])
    assert drift.num_rounds == exact.tie.rounds
    assert drift.num_exact_positions > sum(nfe.decode for nfe in exact.tie.nfe.values())


def test_the_command_writes_the_page(tmp_path):
    page = tmp_path / "page.md"
    main(["--items", "1", "--out", str(page)])
    text = page.read_text()
    assert "1 worksheets of the validation seed" in text.replace("\n", " ")
    assert text.count("%") >= 8
