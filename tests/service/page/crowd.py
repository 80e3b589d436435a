"""A server of many scripted members and a long canvas: the load that the page must bear."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from service.loading import Loaded, start
from service.settings import EnsembleSettings, LimitSettings, ModelSettings, Settings
from tests.service.fakes import NAMES, FakeLoader, scripted_member
from tie_core.engine.observer import Observer
from tie_core.member import Member


class CrowdLoader(FakeLoader):
    """Members of any name: the odd ones read zoo-dream's tokens, the others zoo-llada's."""

    def __call__(self, settings: Settings, observer: Observer) -> Loaded:
        names = [model.name for model in settings.models]
        members: Mapping[str, Member] = {
            name: cast(Member, dataclasses.replace(scripted_member(NAMES[index % 2], self.faults), name=name))
            for index, name in enumerate(names)
        }
        with self.faults.away():
            self.loaded = start(settings, observer, members, dict.fromkeys(names, 0.1))
        return self.loaded


def crowd_settings(num_members: int, **options: Any) -> Settings:
    names = [f"member-{index + 1}" for index in range(num_members)]
    return Settings(
        models=[ModelSettings(name=name, path="nowhere") for name in names],
        ensembles=[EnsembleSettings(name="crowd", models=names, defaults={"suffix": " Answer:", **options})],
        limits=LimitSettings(max_kept_states=100_000),
    )
