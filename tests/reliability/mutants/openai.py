"""Seeded bugs of the OpenAI routes and of what is told of requests: text sent too soon, fields dropped, words told."""

from tests.reliability.mutant import Mutant

ROUTES = "tests/service/test_openai_routes.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "clients are not told that another try is in vain",
        "service/errors.py",
        "**(FINAL if is_final else {})",
        "",
        (f"{ROUTES}::test_a_failure_without_a_stream_is_a_server_error_that_the_client_does_not_retry",),
    ),
    Mutant(
        "a wrong method is told the methods of one route alone",
        "service/errors.py",
        ", *_methods_of(request)}",
        "}",
        ("tests/service/test_errors.py::test_a_wrong_method_is_told_every_right_one",),
    ),
    Mutant(
        "what may become a stop string is not held back",
        "tie_core/ending.py",
        "return text[: begun if found is None else min(found, begun)]",
        "return text[:found]",
        ("tests/test_ending.py::test_what_may_become_a_stop_string_is_held_back",),
    ),
    Mutant(
        "the settled text is what the first member holds",
        "tie_core/settled.py",
        "shared = _shared_beginning(texts)",
        "shared = texts[0]",
        ("tests/properties/test_settled_text.py::test_text_that_members_do_not_share_is_not_settled",),
    ),
    Mutant(
        "a character that may still be composed is settled",
        "tie_core/settled.py",
        "_unmoved_by_composition(shared) if self._is_transcoded else shared",
        "shared",
        ("tests/properties/test_settled_text.py::test_what_composition_may_change_is_held_back",),
    ),
    Mutant(
        "a limit of tokens makes another canvas where the defaults fix it",
        "tie_core/ensemble.py",
        "if resolved.gen_length is not None and not",
        "if not",
        ("tests/test_ending.py::test_a_limit_never_changes_regions_that_the_defaults_fix",),
    ),
    Mutant(
        "text that was sent is sent again at the end",
        "service/openai_replies.py",
        "        self._sent += text\n",
        "",
        (f"{ROUTES}::test_a_streamed_completion_is_the_text",),
    ),
    Mutant(
        "a temperature is silently ignored",
        "service/openai_schemas.py",
        '"temperature": (_is_number(0),',
        '"temperature": (lambda _: True,',
        (f"{ROUTES}::test_what_cannot_be_done_is_refused_by_name",),
    ),
    Mutant(
        "the usage of a stream is left out",
        "service/openai_replies.py",
        "if self._asked.includes_usage:",
        "if not self._asked:",
        (f"{ROUTES}::test_usage_comes_only_when_asked_for_and_last",),
    ),
    Mutant(
        "the body of a request is in its log line",
        "service/routes/tie.py",
        "    owner = owner_of(request)\n    once",
        '    owner = owner_of(request)\n    request.state.log["body"] = raw.decode()\n    once',
        (f"{ROUTES}::test_metrics_and_logs_name_the_route",),
    ),
    Mutant(
        "headers are on spans where the environment asks for them",
        "service/telemetry.py",
        'NO_HEADERS: Final = ["(?!)"]',
        "NO_HEADERS: Final[list[str]] = []",
        ("tests/service/test_telemetry.py::test_spans_hold_nothing_of_what_a_client_sent",),
    ),
    Mutant(
        "a span has the path as the client wrote it",
        "service/telemetry.py",
        'span.set_attribute(name, "")',
        "pass",
        ("tests/service/test_telemetry.py::test_spans_hold_nothing_of_what_a_client_sent",),
    ),
)
