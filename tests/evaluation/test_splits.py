"""Which items are measured: the same sample for the same seed, and none that a setting was chosen on."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluation.answers import items, task
from tie_core.errors import TaskError
from tie_core.evaluation.splits import items_digest, load_items, references_digest
from tie_core.evaluation.tasks import TASKS, find_tasks

HERE = Path()


def ids(of, split="all", seed=0):
    return [item.id for item in load_items(of, HERE, split, seed)]


def test_a_seed_gives_an_order_of_all_items():
    assert sorted(ids(task(50))) == sorted(item.id for item in items(50))
    assert ids(task(50)) == ids(task(50)) != ids(task(50), seed=1)


def test_a_published_set_is_parted_once_whatever_its_order():
    validation, test = ids(task(500), "validation"), ids(task(500), "test", seed=3)

    assert set(validation) | set(test) == set(ids(task(500)))
    assert set(validation).isdisjoint(test)
    assert 60 < len(validation) < 140  # a fifth of 500


def test_a_task_with_validation_items_of_its_own_gives_those():
    other = task(3, load_validation=lambda folder: items(9)[5:])

    assert sorted(ids(other, "validation")) == ["q/5", "q/6", "q/7", "q/8"]
    assert sorted(ids(other, "test")) == sorted(ids(other)) == ["q/0", "q/1", "q/2"]


def test_a_split_without_items_is_refused():
    with pytest.raises(TaskError, match="numbers has no validation items"):
        load_items(task(1), HERE, "validation", 0)


def test_one_digest_is_of_prompts_and_one_of_references_and_none_of_the_order():
    corrected = tuple(replace(item, reference="0") for item in items(4))
    reworded = tuple(replace(item, prompt="say it") for item in items(4))

    for digest, other, same in ((items_digest, reworded, corrected), (references_digest, corrected, reworded)):
        assert digest(items(4)) == digest(items(4)[::-1]) == digest(same)
        assert len({digest(of) for of in (items(4), items(5), other)}) == 3


def test_the_zoo_is_a_task_whose_right_answers_are_graded_right():
    (zoo,) = find_tasks(["zoo", "zoo"])
    first, second = load_items(zoo, HERE, "test", 0)[:2]

    assert zoo.grade(first, first.reference.answer)
    assert not zoo.grade(first, second.reference.answer)
    assert first.prompt not in {item.prompt for item in load_items(zoo, HERE, "validation", 0)}


def test_an_unknown_task_is_refused_with_those_that_there_are():
    with pytest.raises(TaskError, match="there is no task nonsense: the tasks are " + ", ".join(TASKS)):
        find_tasks(["zoo", "nonsense"])
