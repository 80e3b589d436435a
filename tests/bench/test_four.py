"""The configuration of `make four`: the zoo as it is embedded, and a fourth member behind it."""

from bench.checkpoints import ROOT
from service.configuration import load_settings
from tie_core import zoo


def test_three_of_the_four_are_the_embedded_ensemble() -> None:
    here, embedded = load_settings(ROOT / "bench" / "four.toml"), load_settings(None)

    *first, fourth = here.models
    assert [(model.name, ROOT / model.path) for model in first] == [
        (model.name, model.path) for model in embedded.models
    ]
    assert fourth.name not in zoo.MEMBERS
    assert here.default_ensemble.models == [*zoo.MEMBERS, fourth.name]
    assert here.default_ensemble.defaults == embedded.default_ensemble.defaults
