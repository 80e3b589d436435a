"""Measurements on disk come back as they were, and only for the same items and weights."""

import pytest

from tests.evaluation.answers import post, run
from tie_core.evaluation.archive import Archive

KEY = {"seed": 7, "items": 3, "weights": {"a": "b"}}


def test_measurements_come_back_as_they_were(tmp_path):
    file = tmp_path / "measured.jsonl"
    written = {"post": post("110", "101", "111"), "tcc": run("tcc", "111")}

    for measurement in written.values():
        Archive(file, KEY).add(measurement)

    assert Archive(file, KEY).load() == written


def test_measurements_of_other_items_are_refused(tmp_path):
    file = tmp_path / "measured.jsonl"
    Archive(file, KEY).add(run("tcc", "111"))

    with pytest.raises(ValueError, match="name another file"):
        Archive(file, KEY | {"items": 4}).load()


def test_without_a_file_nothing_is_kept():
    archive = Archive(None, KEY)
    archive.add(run("tcc", "111"))

    assert archive.load() == {}
