"""Records on disk: they come back as they were, a torn line is mended, and a file of something else is refused."""

import json
import subprocess
import sys
import tracemalloc

import pytest

from tests.evaluation.answers import record
from tie_core.errors import TaskError
from tie_core.evaluation.record_file import RecordFile, held

OF = {"task": "numbers", "items": {"digest": "abc", "seed": 0}, "versions": {"torch": "2.0"}}
WRITTEN = [
    record(
        "score=tcc",
        0,
        True,
        alone="101",
        led="aab",
        tcc=(0.5, None, 2.0),
        approximations=("fill_end",),
        candidates={"ann": "4"},
    ),
    record("score=tcc", 1, False, answer="\ud800\u2028 ×", error="too long"),
]


def file_at(path, **changes):
    return RecordFile(path, {**OF, **changes}, {"date": "2026-01-02"})


def written(path, records=WRITTEN):
    file = file_at(path)
    file.load()
    for each in records:
        file.add(each)
    return path


def test_records_come_back_as_they_were(tmp_path):
    path = written(tmp_path / "a" / "numbers.jsonl")

    assert list(file_at(path).load().values()) == WRITTEN
    assert json.loads(path.read_text().splitlines()[0]) == {
        "of": OF,
        "references": "",
        "told": {"date": "2026-01-02"},
    }


def test_a_line_that_was_broken_off_is_removed_and_written_anew(tmp_path):
    path = written(tmp_path / "numbers.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    file = file_at(path)

    assert list(file.load().values()) == WRITTEN[:1]
    file.add(WRITTEN[1])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("left", [0, 5])
def test_a_file_that_was_broken_off_in_its_first_line_is_begun_anew(tmp_path, left):
    path = written(tmp_path / "numbers.jsonl", [])
    whole = path.read_bytes()
    path.write_bytes(whole[:left])

    assert file_at(path).load() == {}
    assert path.read_bytes() == whole


def test_records_of_something_else_are_refused_with_what_differs(tmp_path):
    path = written(tmp_path / "numbers.jsonl")

    with pytest.raises(TaskError) as refused:
        file_at(path, items={"digest": "abd", "seed": 0}, members={}).load()

    assert 'items.digest: there "abc", now "abd"; members: there null, now {}' in str(refused.value)
    assert "seed" not in str(refused.value)


@pytest.mark.parametrize("line", ["[]", "{}", "no JSON", '{"condition": "a", "item": "b", "rounds": [{"x": 1}]}'])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    path = written(tmp_path / "numbers.jsonl")
    path.write_text(path.read_text() + line + "\n")

    with pytest.raises(TaskError, match="line 4 is no record"):
        file_at(path).load()


def test_another_file_is_not_taken_for_one(tmp_path):
    path = tmp_path / "numbers.jsonl"
    path.write_text("[1]\n")

    with pytest.raises(TaskError, match="does not begin with what its records are of"):
        file_at(path).load()


def test_rewritten_records_take_the_place_of_all_others(tmp_path):
    path = written(tmp_path / "numbers.jsonl")
    header = path.read_text().splitlines()[0]

    file_at(path).rewrite(WRITTEN[1:])

    assert list(file_at(path).load().values()) == WRITTEN[1:]
    assert path.read_text().splitlines()[0] == header
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_read_line_by_line(tmp_path):
    path = written(tmp_path / "numbers.jsonl", [record("score=tcc", 0, True, answer="x" * 100_000)] * 50)
    tracemalloc.start()
    try:
        file_at(path).load()
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 5  # all are of one key, so one is kept
    finally:
        tracemalloc.stop()


def test_a_folder_is_written_by_one_run_at_a_time(tmp_path):
    again = "import sys, pathlib, tie_core.evaluation.record_file as it; it.held(pathlib.Path(sys.argv[1])).__enter__()"
    with held(tmp_path):
        other = subprocess.run(
            [sys.executable, "-c", again, str(tmp_path)], capture_output=True, text=True, check=False
        )
        with pytest.raises(TaskError, match="another run writes into"), held(tmp_path):
            pytest.fail("held twice")

    assert "another run writes into" in other.stderr
    with held(tmp_path / "new"), held(tmp_path):
        pass
