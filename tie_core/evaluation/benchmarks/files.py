"""Published files of a benchmark in a local folder: found, read line by line, checked field by field.

Nothing is fetched. A mistake names the file, the line and the field, and what was expected there.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from tie_core.errors import TaskError
from tie_core.evaluation.task import Item

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Files:
    """A task's files below the folder of data. `names` are the ones it may be read from, the first that is there wins;
    `source` says who publishes them."""

    task: str
    names: tuple[str, ...]
    source: str

    def find(self, folder: Path) -> Path:
        """The first of the names in the task's own folder below `folder`, or in `folder` itself.

        Raises:
            TaskError: none is there.
        """
        looked_for = [parent / name for name in self.names for parent in (folder / self.task, folder)]
        for path in looked_for:
            if path.is_file():
                return path
        places = ", ".join(str(path) for path in looked_for)
        raise TaskError(f"{self.task} needs one of {places}, and none is there: get it from {self.source}")


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a file: its fields, and the place that a mistake is told by."""

    place: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that is text with something in it."""
        value = self.any_text(name)
        if not value.strip():
            raise self.malformed(f"{name!r} is empty")
        return value

    def any_text(self, name: str) -> str:
        """A field that is text, which may be empty."""
        return self._field(name, str, "text")

    def whole_number(self, name: str) -> int:
        return self._field(name, int, "a whole number")

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of texts."""
        values = self._field(name, list, "a list of texts")
        if not all(isinstance(value, str) for value in values):
            raise self.malformed(f"{name!r} is not a list of texts")
        return tuple(values)

    def records(self, name: str) -> tuple["Record", ...]:
        """A field that is a list of objects."""
        values = self._field(name, list, "a list of objects")
        if not all(isinstance(value, dict) for value in values):
            raise self.malformed(f"{name!r} is not a list of objects")
        return tuple(Record(f"{self.place}, {name!r}", value) for value in values)

    def record(self, name: str) -> "Record":
        """A field that is an object."""
        return Record(f"{self.place}, {name!r}", self._field(name, dict, "an object"))

    def malformed(self, why: str) -> TaskError:
        return TaskError(f"{self.place}: {why}; is this the published file?")

    def _field(self, name: str, kind: type[T], words: str) -> T:
        value = self.fields.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.malformed(f"the field {name!r} is not {words}")
        return value


def read_lines(path: Path) -> Iterator[Record]:
    """The objects of a file with one JSON object a line, gzipped where its name says so.

    Raises:
        TaskError: a line that is no JSON object, a file that is no UTF-8.
    """
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        if line.strip():
            yield _record(line, f"{path}, line {number}")


def read_list(path: Path) -> Iterator[Record]:
    """The objects of a file that is one JSON list.

    Raises:
        TaskError: another kind of file.
    """
    entries = _json(_text_of(path), str(path))
    if not isinstance(entries, list):
        raise TaskError(f"{path} holds no JSON list; is this the published file?")
    for number, entry in enumerate(entries, start=1):
        yield _as_record(entry, f"{path}, entry {number}")


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[Record]:
    """The rows of a CSV file without a head, by the names of its columns.

    Raises:
        TaskError: a row of another width, a file that is no CSV.
    """
    rows = csv.reader(io.StringIO(_text_of(path), newline=""))
    try:
        for number, row in enumerate(rows, start=1):
            if not row:
                continue
            if len(row) != len(columns):
                raise TaskError(
                    f"{path}, row {number}: {len(row)} columns where {len(columns)} are expected"
                    f" ({', '.join(columns)}); is this the published file?"
                )
            yield Record(f"{path}, row {number}", dict(zip(columns, row, strict=True)))
    except csv.Error as error:
        raise TaskError(f"{path}, row {rows.line_num}: {error}; is this the published file?") from error


def items_of(path: Path, records: Iterable[Record], item_of: Callable[[int, Record], Item]) -> tuple[Item, ...]:
    """An item for every record; `item_of` is told the record's number, from 0.

    Raises:
        TaskError: no record at all, or two items of one id.
    """
    items: dict[str, Item] = {}
    for number, record in enumerate(records):
        item = item_of(number, record)
        if item.id in items:
            raise record.malformed(f"{item.id} is there twice")
        items[item.id] = item
    if not items:
        raise TaskError(f"{path} is empty; is this the published file?")
    return tuple(items.values())


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TaskError(f"{path} cannot be read: {error}") from error


def _record(line: str, place: str) -> Record:
    return _as_record(_json(line, place), place)


def _json(text: str, place: str) -> object:
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{place}: no valid JSON ({error}); is this the published file?") from error


def _as_record(value: object, place: str) -> Record:
    if not isinstance(value, dict):
        raise TaskError(f"{place}: no JSON object; is this the published file?")
    return Record(place, value)
