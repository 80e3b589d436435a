"""The engine as whoever answers: what it records is what the plain driver answers, for three members too."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.members import zoo
from tests.running import running_engine
from tests.service.fakes import NAMES, OPTIONS, Faults, scripted_member
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.errors import OptionsError
from tie_core.evaluation.conditions import POST, RANDOM, Condition, tie_by
from tie_core.evaluation.leaders import leaders_of, led
from tie_core.evaluation.record_file import RecordFile
from tie_core.evaluation.records import record_of
from tie_core.evaluation.running import Work, run
from tie_core.evaluation.sides import EngineSide, files_digest, weights_digest
from tie_core.evaluation.zoo_task import TRACING_TASK as TASK
from tie_core.events import Completed, RoundEnded
from tie_core.zoo import MEMBERS, member_path

ITEMS = TASK.load_validation(Path())[:3]
CONDITIONS = (
    POST,
    RANDOM,
    tie_by("top1"),
    Condition("not divided", {"score": "tcc"}, is_normalised=False),
    Condition("two", {"score": "tcc"}, models=NAMES),
)


@pytest.fixture(scope="module")
def three():
    members = [scripted_member(name, Faults()) for name in NAMES]
    return Ensemble("tie", [*members, replace(members[0], name="third")], OPTIONS)


def plainly(ensemble, condition, item):
    request = ensemble.request(
        messages=[{"role": "user", "content": item.prompt}], models=condition.models or None, **condition.options
    )
    choose = leaders_of(condition.leaders, request, item.prompt)
    events = list(run_plainly(led(request, choose, is_normalised=condition.is_normalised)))
    assert isinstance(events[-1], Completed)
    rounds = [event for event in events if isinstance(event, RoundEnded)]
    return record_of(condition.key, "", TASK, item, rounds, events[-1])


def test_the_engine_records_what_the_plain_driver_answers(three, tmp_path):
    file = RecordFile(tmp_path / "zoo.jsonl", {}, {})
    file.load()
    work = [Work(condition, item) for condition in CONDITIONS for item in ITEMS]
    with running_engine(three.members) as engine:
        side = EngineSide(engine, three, {}, at_once=4)
        told = {(each.condition, each.item): each for each in run(side, TASK, work, file)}

    for each in work:
        record = told[each.condition.key, each.item.id]
        assert replace(record, seconds=0.0) == replace(plainly(three, each.condition, each.item), seconds=0.0)
    assert len(told) == len(work)
    assert set(told[POST.key, ITEMS[0].id].members_right) == {*NAMES, "third"}
    assert set(told[CONDITIONS[-1].key, ITEMS[0].id].wins) == set(NAMES)


def test_a_member_alone_is_what_the_post_generation_run_says_of_it(three):
    """So it need not be run."""
    for item in ITEMS:
        together = plainly(three, POST, item)
        for member in three.members:
            alone = plainly(three, Condition("alone", models=(member.name,)), item)
            assert alone.is_right == together.members_right[member.name]
            assert alone.decode_forwards[member.name] == together.decode_forwards[member.name]
            assert alone.tcc != {member.name: None}
            assert together.rounds == ()


def test_options_are_resolved_over_the_ensembles_defaults(three):
    side = EngineSide(None, three, {}, at_once=4)

    assert side.members == [*NAMES, "third"]
    assert side.resolve({"score": "top1"})["score"] == "top1"
    assert side.resolve({})["interval"] == OPTIONS["interval"]
    with pytest.raises(OptionsError):
        side.resolve({"interval": 0})


def test_circumstances_tell_the_weights_of_every_member():
    ensemble = Ensemble("zoo", zoo(), {})
    told = EngineSide(None, ensemble, {name: member_path(name) for name in MEMBERS}, at_once=4).circumstances()

    assert {name: facts["weights"] for name, facts in told["members"].items()} == {
        name: weights_digest(member_path(name)) for name in MEMBERS
    }
    assert {name: facts["files"] for name, facts in told["members"].items()} == {
        name: files_digest(member_path(name)) for name in MEMBERS
    }
    assert len({facts["weights"] for facts in told["members"].values()}) == len(MEMBERS)
    assert told["versions"].keys() == {"tie-server", "python", "torch", "transformers"}


def test_a_digest_is_that_of_all_weight_files(tmp_path):
    (tmp_path / "b.safetensors").write_bytes(b"2")
    first = weights_digest(tmp_path)
    assert first == sha256(b"2").hexdigest()[:12]  # as `sha256sum` tells it
    (tmp_path / "a.safetensors").write_bytes(b"1")
    (tmp_path / "config.json").write_text("{}")
    both = weights_digest(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"3")

    assert len({first, both, weights_digest(tmp_path)}) == 3


def test_another_digest_is_that_of_configuration_template_and_tokenizer(tmp_path):
    names = ("config.json", "chat_template.jinja", "tokenizer.json", "tokenizer.model", "merges.txt")
    for name in names:
        (tmp_path / name).write_text("as it was")
    before = files_digest(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"1")
    (tmp_path / "README.md").write_text("read me")
    assert files_digest(tmp_path) == before

    told = {before}
    for name in names:
        (tmp_path / name).write_text("another")
        told.add(files_digest(tmp_path))
    assert len(told) == len(names) + 1
