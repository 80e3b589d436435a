"""A checkpoint folder as it lies on disk: its JSON files and which tensor is in which safetensors file.

Knows no family and reads no tensor data. Pickles are never opened. Layout: safetensors' format description.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Final

from tie_core.errors import CheckpointError
from tie_core.models.fields import Fields

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PICKLE_SUFFIXES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
ITEM_BYTES: Final[Mapping[str, int]] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # of the dtypes that are loaded
MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own limit."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies, and what its file's header says of it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose configuration and tensor headers could be read."""

    path: Path
    config: Fields
    generation_config: Fields
    tensors: Mapping[str, StoredTensor]

    @property
    def num_elements(self) -> int:
        """Numbers in all tensors; each becomes one parameter."""
        return sum(tensor.num_elements for tensor in self.tensors.values())


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a folder's JSON files and headers; raises CheckpointError, never loads weights."""
    if not path.is_dir():
        raise CheckpointError(
            f"{path} is no folder; a model is loaded from a local checkpoint folder and nothing is fetched: "
            "download the checkpoint first and give its folder as the path"
        )
    config = Fields("config.json", read_json(path / "config.json"))
    generation = path / "generation_config.json"
    return Checkpoint(
        path=path,
        config=config,
        generation_config=Fields(generation.name, read_json(generation) if generation.exists() else {}),
        tensors=_find_tensors(path),
    )


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; raises CheckpointError."""
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: download the complete checkpoint") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read as JSON ({error}): download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds no JSON object: download it again")
    return value


def _find_tensors(path: Path) -> dict[str, StoredTensor]:
    if (path / WEIGHTS).is_file():
        return read_header(path / WEIGHTS)
    if (path / INDEX).is_file():
        return _read_shards(path)
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(
            f"{path} has its weights only as pickles ({pickles[0]}), and loading one runs code from it; only "
            "safetensors are loaded: convert the weights or take the checkpoint's safetensors revision"
        )
    raise CheckpointError(f"{path} has neither {WEIGHTS} nor {INDEX}: download the complete checkpoint")


def _read_shards(path: Path) -> dict[str, StoredTensor]:
    weight_map = read_json(path / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path / INDEX} has no weight_map: download it again")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted({_shard_name(shard) for shard in weight_map.values()}):
        for name, tensor in read_header(path / shard).items():
            if weight_map.get(name) != shard:
                raise CheckpointError(f"{shard} holds {name}, but {INDEX} does not say so: restore both")
            tensors[name] = tensor
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"{INDEX} places {missing[0]} in a shard that lacks it: restore the shards")
    return tensors


def _shard_name(shard: object) -> str:
    if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
        raise CheckpointError(f"{INDEX} names the shard {shard!r}, which is no .safetensors file beside it")
    return shard


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors that a safetensors file announces, checked against its size; raises CheckpointError."""
    try:
        file_bytes = file.stat().st_size
        with file.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, file_bytes - 8):
                raise _damaged(file, f"its header claims {header_bytes} bytes of {file_bytes}")
            header = json.loads(stream.read(header_bytes))
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: download the complete checkpoint") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, f"its header cannot be read ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no object")
    header.pop("__metadata__", None)
    data_bytes = file_bytes - 8 - header_bytes
    _check_spans(file, header)
    return {name: _stored_tensor(file, name, entry, data_bytes) for name, entry in header.items()}


def _stored_tensor(file: Path, name: str, entry: object, data_bytes: int) -> StoredTensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(end)]} if all(
            isinstance(size, int) and size >= 0 for size in shape
        ):
            if not 0 <= start <= end <= data_bytes:
                raise _damaged(file, f"{name} lies at bytes {start} to {end} of {data_bytes}")
            num_bytes = prod(shape) * ITEM_BYTES.get(dtype, 0)
            if num_bytes and num_bytes != end - start:
                raise _damaged(file, f"{name} of {num_bytes} bytes lies at bytes {start} to {end}")
            return StoredTensor(file, dtype, tuple(shape))
        case _:
            raise _damaged(file, f"its header's entry for {name} is malformed")


def _check_spans(file: Path, header: Mapping[str, object]) -> None:
    """No two tensors share bytes. What is malformed in itself is told where each entry is read."""
    spans = [entry["data_offsets"] for entry in header.values() if isinstance(entry, dict) and "data_offsets" in entry]
    pairs = [
        span for span in spans if isinstance(span, list) and len(span) == 2 and all(type(at) is int for at in span)
    ]
    pairs = sorted(span for span in pairs if span[0] < span[1])
    if any(before[1] > after[0] for before, after in pairwise(pairs)):
        raise _damaged(file, "two of its tensors overlap")


def _damaged(file: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{file} is no complete safetensors file: {what}: download it again")
