"""A damaged or foreign weights file is a CheckpointError, whatever the damage, and never a half-loaded model."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tie_core.errors import CheckpointError
from tie_core.models.loading import load_model

Alter = Callable[..., Path]
NORM = "model.transformer.ln_f.weight"


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    return folder


def write_header(file: Path, header: object) -> None:
    encoded = json.dumps(header).encode()
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded)


def test_a_missing_tensor_is_named(altered: Alter) -> None:
    folder = rewrite(altered("llada-tiny"), lambda weights: weights.pop(NORM))
    with pytest.raises(CheckpointError, match=rf"lacks 1 tensors that config.json calls for \({NORM}\)"):
        load_model(folder)


def test_an_unexpected_tensor_is_named(altered: Alter) -> None:
    folder = rewrite(altered("llada-tiny"), lambda weights: weights.update({"extra.lora_A": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"holds 1 that it does not \(extra.lora_A\).*nor an adapter"):
        load_model(folder)


def test_a_wrong_shape_is_named(altered: Alter) -> None:
    folder = rewrite(altered("llada-tiny"), lambda weights: weights.update({NORM: torch.ones(63)}))
    with pytest.raises(CheckpointError, match=rf"{NORM} has shape \[63\], but config.json calls for \[64\]"):
        load_model(folder)


def test_integer_weights_are_refused(altered: Alter) -> None:
    folder = rewrite(altered("llada-tiny"), lambda weights: weights.update({NORM: torch.ones(64, dtype=torch.int8)}))
    with pytest.raises(CheckpointError, match=rf"{NORM} is stored as I8.*unquantised"):
        load_model(folder)


@pytest.mark.parametrize("num_bytes", [0, 4, 8, 100, 4000, -1])
def test_a_truncated_file_is_refused(num_bytes: int, altered: Alter) -> None:
    file = altered("llada-tiny") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(CheckpointError, match="no complete safetensors file"):
        load_model(file.parent)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {NORM: "F32"},
        {NORM: {"dtype": "F32", "shape": [64]}},
        {NORM: {"dtype": "F32", "shape": [-64], "data_offsets": [0, 0]}},
        {NORM: {"dtype": "F32", "shape": [64], "data_offsets": [0, 10**12]}},
        {NORM: {"dtype": "F32", "shape": [64], "data_offsets": [8, 0]}},
        {NORM: {"dtype": 32, "shape": [64], "data_offsets": [0, 0]}},
        {NORM: {"dtype": "F32", "shape": [64], "data_offsets": [0, 0]}},
        {NORM: {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}},
    ],
)
def test_a_malformed_header_is_refused(header: Any, altered: Alter) -> None:
    folder = altered("llada-tiny")
    write_header(folder / "model.safetensors", header)
    with pytest.raises(CheckpointError, match="no complete safetensors file"):
        load_model(folder)


def test_a_header_that_claims_more_than_the_file_is_refused(altered: Alter) -> None:
    file = altered("llada-tiny") / "model.safetensors"
    file.write_bytes((2**62).to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="header claims 4611686018427387904 bytes"):
        load_model(file.parent)


def test_offsets_that_overlap_are_refused(altered: Alter) -> None:
    """Consistent with the file's size, so only the safetensors library itself notices."""
    file = altered("llada-tiny") / "model.safetensors"
    content = file.read_bytes()
    num_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + num_bytes])
    header[NORM]["data_offsets"] = header["model.transformer.blocks.0.attn_norm.weight"]["data_offsets"]
    encoded = json.dumps(header).encode()
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content[8 + num_bytes :])
    with pytest.raises(CheckpointError, match="two of its tensors overlap"):
        load_model(file.parent)


def test_random_damage_to_a_header_is_refused_or_harmless(altered: Alter) -> None:
    file = altered("llada-tiny") / "model.safetensors"
    content, rng = file.read_bytes(), random.Random(0)
    header_bytes = int.from_bytes(content[:8], "little")
    num_refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(8 + header_bytes)] = rng.randrange(256)
        file.write_bytes(damaged)
        try:
            load_model(file.parent)
        except CheckpointError:
            num_refused += 1
    assert num_refused > 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"\xff\xfe\xfd", "cannot be read as JSON"),
    ],
)
def test_a_damaged_configuration_is_refused(content: bytes, message: str, altered: Alter) -> None:
    folder = altered("llada-tiny")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


def change_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    change(index["weight_map"])
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_missing_shard_is_named(altered: Alter) -> None:
    folder = altered("llada-tiny-gqa")
    (folder / "model-00003-of-00004.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00003-of-00004.safetensors is missing"):
        load_model(folder)


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "model.bin", 7, None])
def test_an_index_may_name_only_files_beside_it(shard: object, altered: Alter) -> None:
    folder = change_index(altered("llada-tiny-gqa"), lambda weight_map: weight_map.update({NORM: shard}))
    with pytest.raises(CheckpointError, match=r"no \.safetensors file beside it"):
        load_model(folder)


def test_an_index_that_misplaces_a_tensor_is_refused(altered: Alter) -> None:
    folder = change_index(
        altered("llada-tiny-gqa"), lambda weight_map: weight_map.update({NORM: "model-00004-of-00004.safetensors"})
    )
    with pytest.raises(CheckpointError, match=rf"holds {NORM}, but .*index.json does not say so"):
        load_model(folder)


def test_an_index_that_places_what_is_not_there_is_refused(altered: Alter) -> None:
    folder = change_index(
        altered("llada-tiny-gqa"), lambda weight_map: weight_map.update({"no.such": "model-00004-of-00004.safetensors"})
    )
    with pytest.raises(CheckpointError, match=r"places no\.such in a shard that lacks it"):
        load_model(folder)
