"""Measurements on disk, a line of JSON for each setting, so that a long run can be resumed and its page rewritten."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tie_core.evaluation.measuring import Answered, Measurement


class Archive:
    """Keeps measurements in a file (None: nowhere). `key` says what they are of: items and weights."""

    def __init__(self, path: Path | None, key: Mapping[str, Any]) -> None:
        self._path = path
        self._key = dict(key)

    def load(self) -> dict[str, Measurement]:
        """What is there already, by setting.

        Raises:
            ValueError: the file holds measurements of other items or other weights.
        """
        if self._path is None or not self._path.exists():
            return {}
        return {measured.setting: measured for measured in self._read(self._path)}

    def add(self, measured: Measurement) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"of": self._key, "measured": asdict(measured)}) + "\n")

    def _read(self, path: Path) -> Iterator[Measurement]:
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["of"] != self._key:
                raise ValueError(f"{path} holds measurements of {entry['of']}, not of {self._key}: name another file")
            told = entry["measured"]
            yield Measurement(
                told["setting"], tuple(Answered(**answered) for answered in told["answered"]), told["seconds"]
            )
