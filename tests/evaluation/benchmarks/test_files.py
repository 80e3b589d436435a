"""Published files: found, read whatever their line ends, and told by file, line and field where they are malformed."""

import gzip
import json

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines, read_list, read_table
from tie_core.evaluation.task import Item

FILES = Files("quiz", ("quiz.jsonl.gz", "quiz.jsonl"), "the makers of quizzes")
RECORDS = [{"q": "naïve – 数学?"}, {"q": "line\u2028separator\x85and\x0cfeed"}]


def texts(records):
    return [record.text("q") for record in records]


@pytest.mark.parametrize("place", ["quiz/quiz.jsonl", "quiz.jsonl"])
def test_a_file_is_found_in_the_tasks_own_folder_and_beside_others(tmp_path, place):
    path = write_lines(tmp_path / place, RECORDS)

    assert FILES.find(tmp_path) == path


def test_the_tasks_own_folder_goes_first(tmp_path):
    write_lines(tmp_path / "quiz.jsonl", RECORDS)
    own = write_lines(tmp_path / "quiz" / "quiz.jsonl", RECORDS)

    assert FILES.find(tmp_path) == own


def test_a_missing_file_is_told_with_every_place_and_the_source(tmp_path):
    (tmp_path / "quiz").mkdir()

    with pytest.raises(TaskError) as told:
        FILES.find(tmp_path)

    for words in ("quiz/quiz.jsonl", f"{tmp_path}/quiz.jsonl", "quiz.jsonl.gz", "get it from the makers of quizzes"):
        assert words in str(told.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", ["", BYTE_ORDER_MARK])
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path, end, mark):
    path = write_lines(tmp_path / "quiz.jsonl", RECORDS, end=end, mark=mark)

    assert texts(read_lines(path)) == [record["q"] for record in RECORDS]


def test_a_gzipped_file_is_read_alike(tmp_path):
    path = tmp_path / "quiz.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, RECORDS)).encode()))

    assert texts(read_lines(path)) == [record["q"] for record in RECORDS]


@pytest.mark.parametrize("damage", ["not gzip", "cut off", "changed"])
def test_a_damaged_archive_is_told(tmp_path, damage):
    sound = gzip.compress(b'{"q": "a"}\n' * 50)
    path = tmp_path / "quiz.jsonl.gz"
    path.write_bytes({"not gzip": b"{}", "cut off": sound[:-9], "changed": sound[:12] + b"\xff" + sound[13:]}[damage])

    with pytest.raises(TaskError, match=r"quiz\.jsonl\.gz cannot be read"):
        list(read_lines(path))


@pytest.mark.parametrize("line", ["{", "[1]", "3", "null", '{"q": "a"} x', "[" * 100_000])
def test_a_malformed_line_is_told_by_its_number(tmp_path, line):
    path = write(tmp_path / "quiz.jsonl", f'{{"q": "a"}}\r\n\r\n{line}\r\n')

    with pytest.raises(TaskError, match=r"quiz\.jsonl, line 3: .*is this the published file\?"):
        list(read_lines(path))


def test_another_encoding_is_told(tmp_path):
    path = tmp_path / "quiz.jsonl"
    path.write_bytes('{"q": "é"}'.encode("latin-1"))

    with pytest.raises(TaskError, match="cannot be read"):
        list(read_lines(path))


def test_a_list_is_read_entry_by_entry(tmp_path):
    path = write(tmp_path / "quiz.json", json.dumps(RECORDS), mark=BYTE_ORDER_MARK)

    assert texts(read_list(path)) == [record["q"] for record in RECORDS]


@pytest.mark.parametrize(("text", "told"), [("{}", "no JSON list"), ("[1]", "entry 1"), ("[", "no valid JSON")])
def test_a_list_of_anything_else_is_told(tmp_path, text, told):
    with pytest.raises(TaskError, match=told):
        list(read_list(write(tmp_path / "quiz.json", text)))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_by_its_columns(tmp_path, end):
    path = write(tmp_path / "t.csv", end.join(['"one, ""two""', 'and three",é', "x,y", ""]), mark=BYTE_ORDER_MARK)

    rows = [record.fields for record in read_table(path, ("q", "r"))]

    assert [(row["q"].replace("\r\n", "\n"), row["r"]) for row in rows] == [('one, "two"\nand three', "é"), ("x", "y")]


def test_a_row_of_another_width_is_told(tmp_path):
    with pytest.raises(TaskError, match=r"t\.csv, row 2: 3 columns where 2 are expected \(q, r\)"):
        list(read_table(write(tmp_path / "t.csv", "a,b\na,b,c\n"), ("q", "r")))


def test_what_is_no_table_is_told(tmp_path):
    with pytest.raises(TaskError, match=r"t\.csv, row 1: .*published file"):
        list(read_table(write(tmp_path / "t.csv", "a," + "b" * 200_000), ("q", "r")))


@pytest.mark.parametrize(
    ("read", "fields", "told"),
    [
        (lambda record: record.text("a"), {}, "'a' is not text"),
        (lambda record: record.text("a"), {"a": 1}, "'a' is not text"),
        (lambda record: record.text("a"), {"a": " \n"}, "'a' is empty"),
        (lambda record: record.whole_number("a"), {"a": "1"}, "'a' is not a whole number"),
        (lambda record: record.whole_number("a"), {"a": True}, "'a' is not a whole number"),
        (lambda record: record.texts("a"), {"a": "x"}, "'a' is not a list of texts"),
        (lambda record: record.texts("a"), {"a": ["x", 1]}, "'a' is not a list of texts"),
        (lambda record: record.records("a"), {"a": [{}, 1]}, "'a' is not a list of objects"),
        (lambda record: record.record("a"), {"a": []}, "'a' is not an object"),
        (lambda record: record.record("a").text("b"), {"a": {}}, ", 'a': the field 'b' is not text"),
        (lambda record: record.records("a")[0].text("b"), {"a": [{}]}, ", 'a': the field 'b' is not text"),
    ],
)
def test_a_field_of_another_kind_is_told_with_its_place(read, fields, told):
    with pytest.raises(TaskError, match=rf"^line 7.*{told}.*is this the published file\?"):
        read(Record("line 7", fields))


def test_an_empty_file_and_an_id_that_is_there_twice_are_told(tmp_path):
    records = [Record("line 1", {}), Record("line 2", {})]

    with pytest.raises(TaskError, match="is empty"):
        items_of(tmp_path, [], lambda number, record: Item("a", "", ""))
    with pytest.raises(TaskError, match="line 2: a is there twice"):
        items_of(tmp_path, records, lambda number, record: Item("a", "", ""))
    assert [item.id for item in items_of(tmp_path, records, lambda number, record: Item(str(number), "", ""))] == [
        "0",
        "1",
    ]
