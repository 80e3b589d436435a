"""lm-eval, unmodified, against the server: its accuracy on zoo worksheets is that of the library on the same items."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.loading import load
from service.settings import Settings
from tests.members import zoo
from tests.service.served import Served, serving
from tie_core import zoo as the_zoo
from tie_core.ensemble import Ensemble
from tie_core.zoo.items import make_items
from tie_core.zoo.task import TEST_SEED, Item, grade

TASK = """
task: zoo_worksheets
dataset_path: json
dataset_kwargs:
  cache_dir: {folder}/cache
  data_files:
    test: {folder}/items.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["\\n\\n", "</s>"]
filter_list:
  - name: answer
    filter:
      - function: regex
        regex_pattern: "Answer:\\\\s*([0-9 ]+)"
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    regexes_to_ignore: ["\\\\s"]
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # lm-eval's and datasets' own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Settings(), load) as served:
        yield served


Numbers = Callable[[int, int], int]


def evaluate(items: tuple[Item, ...], folder: Path, model: str, **options: Any) -> dict[str, Any]:
    """What `lm_eval run` does, on a task of a YAML file and a file of lines."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    rows = [{"prompt": item.prompt, "answer": item.answer} for item in items]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "zoo_worksheets.yaml").write_text(TASK.format(folder=folder), encoding="utf-8")
    results = lm_eval.simple_evaluate(
        model=model,
        tasks=["zoo_worksheets"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        **options,
    )
    assert results is not None
    return dict(results)


def offline(items: tuple[Item, ...], **asked: Callable[[Item], Any]) -> list[bool]:
    """Each item's answer by the library's plain driver, right or wrong."""
    ensemble = Ensemble("zoo", zoo(), the_zoo.DEFAULTS, the_zoo.POLICY_DEFAULTS)
    return [grade(item, ensemble.answer(**{name: make(item) for name, make in asked.items()}).answer) for item in items]


def test_chats_are_as_right_as_the_librarys_answers(
    served: Served, numbers: Numbers, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    items = make_items(TEST_SEED, numbers(4, 200))
    expected = offline(items, messages=lambda item: [{"role": "user", "content": item.prompt}])

    results = evaluate(
        items,
        tmp_path,
        "local-chat-completions",
        model_args={"model": "tie", "base_url": f"{served.url}/v1/chat/completions", "num_concurrent": 4},
        apply_chat_template=True,
    )

    accuracy = results["results"]["zoo_worksheets"]["exact_match,answer"]
    figure(f"lm-eval: chat completions {accuracy:.3f} on {len(items)} worksheets, offline {sum(expected)}/{len(items)}")
    assert right(results) == expected
    assert accuracy == pytest.approx(sum(expected) / len(items))
    assert sum(expected) >= len(items) / 2


def test_completions_are_as_right_as_the_librarys_answers(
    served: Served, numbers: Numbers, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    items = make_items(TEST_SEED, numbers(2, 200))
    expected = offline(items, prompt=lambda item: item.prompt)

    results = evaluate(
        items,
        tmp_path,
        "local-completions",
        model_args={
            "model": "tie",
            "base_url": f"{served.url}/v1/completions",
            "tokenizer_backend": None,
            "tokenized_requests": False,
        },
    )

    accuracy = results["results"]["zoo_worksheets"]["exact_match,answer"]
    figure(f"lm-eval: completions {accuracy:.3f} on {len(items)} worksheets, offline {sum(expected)}/{len(items)}")
    assert right(results) == expected
    assert accuracy == pytest.approx(sum(expected) / len(items))


def right(results: dict[str, Any]) -> list[bool]:
    """Item by item, in their order."""
    samples = sorted(results["samples"]["zoo_worksheets"], key=lambda sample: sample["doc_id"])
    return [sample["exact_match"] == 1.0 for sample in samples]
