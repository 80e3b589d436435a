"""Seeded bugs of the service's old promises: bodies that are told, events that are lost, ends that come too early."""

from tests.reliability.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a half of a UTF-16 pair is let in",
        "service/encoding.py",
        """            json.dumps(value, ensure_ascii=False).encode()\n""",
        """            json.dumps(value).encode()\n""",
        ("tests/service/test_errors.py::test_what_is_no_json_is_refused",),
    ),
    Mutant(
        "a bug is told in its own words",
        "service/errors.py",
        "problem.message or str(error),",
        "str(error) or problem.message,",
        ("tests/service/test_errors.py::test_a_bug_is_told_without_its_words",),
    ),
    Mutant(
        "the log has the words of a bug",
        "service/log.py",
        "kind=type(error).__name__, frames",
        "kind=str(error), frames",
        ("tests/service/test_errors.py::test_a_bug_in_a_route_has_the_one_shape_and_leaves_no_text",),
    ),
    Mutant(
        "a client that leaves is not cancelled",
        "service/run.py",
        """        self.cancel("disconnect")\n""",
        """        pass\n""",
        ("tests/service/test_overload.py::test_a_client_that_leaves_frees_its_rows",),
    ),
    Mutant(
        "an API key follows a redirect to another server",
        "service/client.py",
        "request.add_unredirected_header(name, value)",
        "request.add_header(name, value)",
        ("tests/service/test_cli.py::test_a_key_follows_no_redirect_to_another_server",),
    ),
    Mutant(
        "a drain ends what runs at once",
        "service/lifecycle.py",
        "await self._wait_for_the_end_of_all(seconds)",
        "await self._wait_for_the_end_of_all(0)",
        ("tests/service/test_overload.py::test_a_drain_lets_running_requests_finish_and_takes_no_new_ones",),
    ),
    Mutant(
        "a shutdown ends streams without a word",
        "service/lifecycle.py",
        "        self._runs.cancel_all()\n",
        "",
        ("tests/service/test_overload.py::test_what_outlasts_the_drain_gets_a_terminal_event",),
    ),
    Mutant(
        "a server that drains looks ready",
        "service/lifecycle.py",
        """        if self.phase != "ready" or self.loaded is None:\n""",
        """        if self.loaded is None:\n""",
        ("tests/service/test_overload.py::test_a_drain_lets_running_requests_finish_and_takes_no_new_ones",),
    ),
    Mutant(
        "the places to wait are told as those to run",
        "service/series.py",
        """labels("waiting").set(limits.max_waiting)""",
        """labels("waiting").set(limits.max_running)""",
        ("tests/service/test_metrics.py::test_places_are_those_of_the_settings",),
    ),
    Mutant(
        "a panel asks for a metric that is not there",
        "docker/dashboard.py",
        """quantile(0.95, "tie_barrier_wait_seconds", "model")""",
        """quantile(0.95, "tie_barrier_seconds", "model")""",
        ("tests/docker/test_prometheus.py::test_every_query_of_a_panel_has_data[Barrier wait]",),
    ),
)
