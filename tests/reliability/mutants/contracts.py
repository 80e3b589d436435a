"""Seeded bugs of what others build on: events that are not what the contracts say, checks that find nothing."""

from tests.reliability.mutant import Mutant

CONTRACTS = "tests/service/test_contracts.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "an event has a field that no schema names",
        "service/event_log.py",
        "return to_json(event_data(event))",
        'return to_json({**event_data(event), "detail": 1})',
        (f"{CONTRACTS}test_no_event_of_any_kind_of_run_breaks_the_contract",),
    ),
    Mutant(
        "a chunk lacks a field that OpenAI's clients read",
        "service/openai_replies.py",
        'choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish_reason}',
        'choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}',
        (f"{CONTRACTS}test_openais_objects_and_chunks_are_those_of_the_page",),
    ),
    Mutant(
        "an event's field has another name and the committed contracts have not",
        "service/reply_schemas.py",
        '"retryable": {"type"',
        '"is_retryable": {"type"',
        ("tests/test_house.py::test_the_contracts_are_what_the_code_says",),
    ),
    Mutant(
        "readings are summed in the members' order",
        "tie_core/scoring.py",
        "fsum(values) / len(values)",
        "sum(values) / len(values)",
        ("tests/test_scoring.py::test_the_members_order_changes_no_bit_of_a_score",),
    ),
    Mutant(
        "a check of the conformance kit says nothing of what it finds",
        "tie_core/testing/checking.py",
        "    if not condition:\n",
        "    if not condition and not words:\n",
        ("tests/testing/test_score.py::test_a_check_finds_what_it_is_there_for",),
    ),
)
