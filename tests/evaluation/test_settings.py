"""Settings: names are unique, options are ones that a request takes, and baselines come along."""

import pytest

from tie_core.evaluation.settings import SETTINGS, choose_settings
from tie_core.options import resolve_options
from tie_core.zoo import DEFAULTS


def test_names_and_labels_are_unique():
    assert len({setting.name for setting in SETTINGS}) == len({setting.label for setting in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_options_are_valid_and_a_baseline_decodes_alike(setting):
    options = resolve_options(DEFAULTS, setting.options)
    baseline = next(other for other in SETTINGS if other.name == setting.baseline)

    assert options.policy == resolve_options(DEFAULTS, baseline.options).policy
    assert baseline.is_baseline


def test_naming_none_chooses_all():
    assert choose_settings([]) == SETTINGS


def test_baselines_come_along_in_the_usual_order():
    chosen = choose_settings(["threshold-tcc", "tcc"])

    assert [setting.name for setting in chosen] == ["post", "tcc", "threshold-post", "threshold-tcc"]


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ValueError, match="no setting nonsense: the settings are post, "):
        choose_settings(["nonsense"])
