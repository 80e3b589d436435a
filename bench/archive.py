"""What was measured, on disk: one JSON file, a benchmark at a time, with the circumstances of each."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

import tie_core
from bench.passes import Sample
from bench.suite import Samples

DIGITS = 6  # of seconds: microseconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One benchmark's samples by side, in the order of the passes."""

    name: str
    date: str
    seconds: float
    circumstances: Mapping[str, str]
    samples: Mapping[str, list[Sample]]


def circumstances(*, is_quick: bool, are_shared: bool, dtype: str, threads: int | None) -> dict[str, str]:
    """What a figure depends on besides the code."""
    inherited = os.environ.get("OMP_NUM_THREADS")
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "scale": "quick" if is_quick else "full",
        "checkpoints": "of the shared folder" if are_shared else "made at random",
        "products in": dtype,
        "threads of the server": str(threads or inherited or "its own choice"),
        "tie-server": tie_core.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def measured_now(name: str, seconds: float, circumstances: Mapping[str, str], samples: Samples) -> Measured:
    return Measured(name, datetime.now(UTC).date().isoformat(), seconds, circumstances, samples)


def load_archive(path: Path) -> dict[str, Measured]:
    """Everything that the file holds; nothing if there is none."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {name: _measured(name, data) for name, data in stored.items()}


def save_archive(path: Path, measured: Mapping[str, Measured]) -> None:
    """Write the file anew, so that whatever breaks a run off loses the benchmark under way and no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {name: _rounded(asdict(entry)) for name, entry in measured.items()}
    text = json.dumps(data, separators=(",", ":")).replace('},"', '},\n"')
    path.write_text(text + "\n", encoding="utf-8")


def _measured(name: str, data: Mapping[str, Any]) -> Measured:
    samples = {side: [_sample(sample) for sample in passes] for side, passes in data["samples"].items()}
    return Measured(name, data["date"], data["seconds"], data["circumstances"], samples)


def _sample(data: Mapping[str, Any]) -> Sample:
    lists = {name: tuple(data[name]) for name in ("prompt_tokens", "latencies")}
    return Sample(**{**data, **lists})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list | tuple) else value
