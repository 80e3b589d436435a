"""Records on disk, a line of JSON each, written as they come, so that a run that was broken off can be resumed.

The first line says what they are of; a file of something else is refused.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tie_core.errors import TaskError
from tie_core.evaluation.records import Record

Key = tuple[str, str]
"""Condition and item."""


class RecordFile:
    """`circumstances` are what all records must share: task, items, options, versions, weights; `references` what their
    verdicts must. `told` is noted too."""

    def __init__(
        self, path: Path, circumstances: Mapping[str, Any], told: Mapping[str, Any], references: str = ""
    ) -> None:
        self.path, self._references = path, references
        self.circumstances: dict[str, Any] = json.loads(json.dumps(circumstances))  # as it is read back
        self._told = dict(told)

    def load(self, *, to_regrade: bool = False) -> dict[Key, Record]:
        """What is there already; a last line that was broken off is removed, and an empty file begun. Verdicts by other
        references are refused, unless they are asked for anew.

        Raises:
            TaskError: the file holds records of something else, or lines that are no records.
        """
        lines = _whole_lines(self.path)
        header = next(lines, None)
        if header is None:
            self._begin()
            return {}
        self._check_header(header, to_regrade)
        records = (self._record(line, number) for number, line in enumerate(lines, start=2))
        return {(record.condition, record.item): record for record in records}

    def add(self, record: Record) -> None:
        self._append(record.data())

    def rewrite(self, records: Iterable[Record]) -> None:
        """Put these in place of all that are there; the file is the old one until the new one is whole."""
        header = json.loads(next(_whole_lines(self.path))) | {"references": self._references}
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(header) + "\n")
            file.writelines(json.dumps(record.data()) + "\n" for record in records)
        new.replace(self.path)

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append({"of": self.circumstances, "references": self._references, "told": self._told})

    def _append(self, data: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(data) + "\n")

    def _check_header(self, line: str, to_regrade: bool) -> None:
        try:
            found, references = json.loads(line)["of"], json.loads(line)["references"]
        except (ValueError, TypeError, KeyError):
            raise TaskError(f"{self.path} does not begin with what its records are of: name another folder") from None
        if found != self.circumstances:
            what = "; ".join(differences(found, self.circumstances))
            raise TaskError(f"{self.path} holds records of something else ({what}): name another folder by --out")
        if references != self._references and not to_regrade:
            raise TaskError(f"{self.path} holds verdicts by other references: have them judged anew by --regrade")

    def _record(self, line: str, number: int) -> Record:
        try:
            return Record.of(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise TaskError(f"{self.path}, line {number} is no record: remove the line, and it is run again") from None


def differences(there: object, now: object, name: str = "") -> Iterator[str]:
    """Where two values of JSON differ, each place once."""
    if isinstance(there, dict) and isinstance(now, dict):
        for key in sorted(there.keys() | now.keys()):
            yield from differences(there.get(key), now.get(key), f"{name}.{key}" if name else str(key))
    elif there != now:
        yield f"{name}: there {json.dumps(there)}, now {json.dumps(now)}"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else writes records into this folder meanwhile, which is made if it is not there.

    Raises:
        TaskError: somebody does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        _lock(opened, folder)
        yield
    finally:
        os.close(opened)


def _lock(opened: int, folder: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TaskError(
            f"another run writes into {folder}: wait for its end, or name another folder by --out"
        ) from None


def _whole_lines(path: Path) -> Iterator[str]:
    """The lines of a file, each with its end; what follows the last end is cut off the file."""
    if not path.exists():
        return
    whole = 0
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(whole)
                return
            whole += len(line)
            yield line.decode("utf-8", errors="replace")
