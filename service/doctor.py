"""What `tie doctor` tells: devices, where every model would go, threads, relays, what is missing or stands in the way.

Reads headers and tokenizers, never weights. It makes the same plan that the server makes before it loads.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from service.inventory import open_model, plain_table
from service.keys import read_needed_keys
from service.missing import OTEL, Missing, find_missing
from service.pairs import SAMPLES, Exactness, measure_exactness
from service.placement import wish_for
from service.settings import EnsembleSettings, ModelSettings, Settings, SettingsError
from tie_core.engine.devices import Device, choose_device, find_devices
from tie_core.engine.placement import Plan, Wish, activation_bytes, make_plan, readable
from tie_core.errors import PlacementError, TieError
from tie_core.models.dtypes import EMULATED_SLOWDOWN, bfloat16_slowdown
from tie_core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Relay:
    """How canvases get from one member to another of an ensemble, in both directions."""

    ensemble: str
    members: tuple[str, str]
    exactness: tuple[Exactness, ...]  # empty where ids are copied

    @property
    def way(self) -> str:
        return "transcodes" if self.exactness else "copies ids"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The configuration as it would be served. It can be if there are no problems."""

    devices: tuple[Device, ...]
    wishes: tuple[Wish, ...]
    plan: Plan
    relays: tuple[Relay, ...]
    most_threads: int  # of each model on the CPU; how many pay is measured at the start
    problems: tuple[str, ...]
    unreadable: tuple[ModelSettings, ...] = ()  # their folders cannot be used, so what they would take is not known
    advice: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    def data(self) -> dict[str, Any]:
        """Plain JSON types, bytes as numbers."""
        return {
            "devices": [asdict(device) for device in self.devices],
            "threads": {"cores": os.cpu_count(), "torch": torch.get_num_threads(), "most_per_model": self.most_threads},
            "planned_positions": self.plan.num_positions,
            "models": [self._model(wish) for wish in self.wishes],
            "relays": [
                {
                    "ensemble": relay.ensemble,
                    "between": list(relay.members),
                    "way": relay.way,
                    "exactness": [asdict(each) for each in relay.exactness],
                }
                for relay in self.relays
            ],
            "missing": [asdict(each) for each in self.missing],
            "problems": list(self.problems),
            "advice": list(self.advice),
        }

    def _model(self, wish: Wish) -> dict[str, Any]:
        footprint = wish.footprint
        return {
            "name": wish.name,
            "device": wish.device,
            "dtype": wish.dtype,
            "weights_bytes": footprint.weights_bytes,
            "activation_bytes": activation_bytes(footprint, self.plan.num_positions, wish.device),
            "cache_bytes_per_position": footprint.cache_bytes,
        }


def diagnose(settings: Settings) -> Diagnosis:
    """Look at everything that can be known without loading."""
    devices = find_devices()
    problems: list[str] = []
    vocabularies: dict[str, Vocabulary] = {}
    wishes: list[Wish] = []
    unreadable: list[ModelSettings] = []
    for model in settings.models:
        try:
            vocabularies[model.name] = open_model(model).vocabulary
            wishes.append(wish_for(model))
        except TieError as error:
            unreadable.append(model)
            problems += [f"{model.name}: {' '.join(str(error).split())}", *_missing_device(model, devices)]
    if settings.auth.keys_file is not None:
        problems += _wrong_keys(settings.auth.keys_file)
    missing = find_missing(vocabularies)
    if settings.telemetry.otlp_endpoint is not None:
        problems += [f"[telemetry] needs {each.what}: {each.remedy}" for each in missing if each.what == OTEL]
    plan = make_plan(wishes, devices, settings.limits.max_batch_positions)
    relays = [relay for ensemble in settings.ensembles for relay in _relays(ensemble, vocabularies)]
    return Diagnosis(
        devices,
        tuple(wishes),
        plan,
        tuple(relays),
        _most_threads(settings.models),
        (*problems, *plan.problems),
        tuple(unreadable),
        _advice(settings.models),
        missing,
    )


def _missing_device(model: ModelSettings, devices: Sequence[Device]) -> list[str]:
    """What the plan says of a model that has its files."""
    try:
        choose_device(model.device, devices)
    except PlacementError as error:
        return [f"{model.name}: {error}"]
    return []


def _advice(models: Sequence[ModelSettings]) -> tuple[str, ...]:
    """What works and could work better."""
    names = [model.name for model in models if model.device == "cpu" and model.dtype == "bfloat16"]
    if not names or (slowdown := bfloat16_slowdown()) < EMULATED_SLOWDOWN:
        return ()
    return (
        f"this CPU only emulates bfloat16: a product takes {slowdown:.0f} times as long as in float32; set dtype ="
        f' "float32" for {", ".join(names)} if there is memory for it',
    )


def _wrong_keys(file: Path) -> list[str]:
    try:
        read_needed_keys(file.expanduser())
    except SettingsError as error:
        return [str(error)]
    return []


def _relays(ensemble: EnsembleSettings, vocabularies: Mapping[str, Vocabulary]) -> list[Relay]:
    known = [name for name in ensemble.models if name in vocabularies]
    return [
        Relay(ensemble.name, pair, _exactness(pair, vocabularies[pair[0]], vocabularies[pair[1]]))
        for pair in combinations(known, 2)
    ]


def _exactness(pair: tuple[str, str], one: Vocabulary, other: Vocabulary) -> tuple[Exactness, ...]:
    """Of both directions; of none between equal tokenizers."""
    if one.fingerprint == other.fingerprint:
        return ()
    return measure_exactness(one, other, pair), measure_exactness(other, one, pair[::-1])


def _most_threads(models: Sequence[ModelSettings]) -> int:
    num_sharing = sum(model.device == "cpu" for model in models)
    return max(1, torch.get_num_threads() // max(1, num_sharing))


def tables(diagnosis: Diagnosis) -> list[Table | Text]:
    """The diagnosis for a person."""
    return [
        _devices_table(diagnosis.devices),
        _plan_table(diagnosis),
        *_relays_parts(diagnosis),
        Text(
            f"{os.cpu_count()} cores; torch uses {torch.get_num_threads()} threads, at most {diagnosis.most_threads}"
            " for each model on the CPU (how many pay is measured at the start and logged)"
        ),
        _missing_part(diagnosis.missing),
        *(Text(line, "yellow") for line in diagnosis.advice),
        _verdict(diagnosis.problems),
    ]


def _devices_table(devices: Sequence[Device]) -> Table:
    table = plain_table("device", "", "memory", "free")
    for device in devices:
        memory = readable(device.total_bytes), readable(device.free_bytes)
        table.add_row(device.name, device.description, *memory)
    return table


def _plan_table(diagnosis: Diagnosis) -> Table:
    positions = diagnosis.plan.num_positions
    table = plain_table(
        "model", "device", "dtype", "weights", f"activations of {positions:,} positions", "window cache of them"
    )
    for wish in diagnosis.wishes:
        footprint = wish.footprint
        sizes = (
            footprint.weights_bytes,
            activation_bytes(footprint, positions, wish.device),
            positions * footprint.cache_bytes,
        )
        table.add_row(wish.name, wish.device, wish.dtype, *map(readable, sizes))
    for model in diagnosis.unreadable:
        table.add_row(model.name, model.device, model.dtype, Text("not known", "red"))
    return table


def _relays_parts(diagnosis: Diagnosis) -> list[Table | Text]:
    if not diagnosis.relays and diagnosis.unreadable:
        return [Text("which relays there are shows once the models' folders can be read")]
    if not diagnosis.relays:
        return [Text("no ensemble of two members: no relays")]
    table = plain_table("ensemble", "between", "a relay")
    for relay in diagnosis.relays:
        table.add_row(relay.ensemble, " and ".join(relay.members), relay.way)
    measured = {(each.source, each.receiver): each for relay in diagnosis.relays for each in relay.exactness}
    return [table, _exactness_table(list(measured.values()))] if measured else [table]


def _exactness_table(measured: Sequence[Exactness]) -> Table:
    """In shares of the beginnings of the sample texts; what is lost as a number, since even one would matter."""
    table = plain_table("relay", "exact", "half character", "lost", "and back", "tokens for one")
    for each in measured:
        exact, cut, back = (
            f"{100 * count / each.num_prefixes:.0f} %" for count in (each.num_exact, each.num_cut, each.num_back)
        )
        lost = str(each.num_refused + each.num_changed)
        tokens = f"{each.tokens_per_token:.2f}, most {each.most:.2f}"
        table.add_row(f"{each.source} → {each.receiver}", exact, cut, lost, back, tokens)
    table.caption = (
        f"of {len(SAMPLES)} sample texts, cut behind every token; a half character at the cut is masked again"
    )
    table.caption_justify = "left"
    return table


def _missing_part(missing: Sequence[Missing]) -> Table | Text:
    if not missing:
        return Text("nothing optional is missing")
    table = plain_table("not here", "needed for", "to have it")
    for each in missing:
        table.add_row(each.what, each.needed_for, Text(each.remedy))
    return table


def _verdict(problems: Sequence[str]) -> Text:
    if not problems:
        return Text("nothing stands in the way of serving this", "green")
    return Text("\n".join(["this cannot be served:", *problems]), "red")
