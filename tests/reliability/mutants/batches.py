"""Seeded bugs of the engine: rows that stay, rows that fall with their neighbours, canvases that are mixed up."""

from tests.reliability.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a request that ends keeps its place",
        "tie_core/engine/engine.py",
        "            self._admitted.pop(run.request.id, None)\n",
        "            pass\n",
        ("tests/engine/test_cancelling.py::test_a_cancelled_request_makes_no_forward_but_the_one_that_runs",),
    ),
    Mutant(
        "a cancelled row is taken again",
        "tie_core/engine/worker.py",
        "self._backlog.put_back([row for row in self._running if row.request_id not in self._cancelled])",
        "self._backlog.put_back(self._running)",
        ("tests/engine/test_cancelling.py::test_a_row_that_is_cancelled_while_rows_are_taken_is_not_taken",),
    ),
    Mutant(
        "a cancelled row goes on in the running batch",
        "tie_core/engine/worker.py",
        "                self._cancelled.add(request_id)\n",
        "                pass\n",
        ("tests/engine/test_cancelling.py::test_a_cancelled_request_makes_no_forward_but_the_one_that_runs",),
    ),
    Mutant(
        "one more request is admitted than has a place",
        "tie_core/engine/engine.py",
        "if len(self._admitted) >= self._max_running + self._max_waiting:",
        "if len(self._admitted) > self._max_running + self._max_waiting:",
        ("tests/engine/test_engine.py::test_what_does_not_fit_the_queue_is_refused_at_once",),
    ),
    Mutant(
        "watched positions are counted from the first canvas of the batch",
        "tie_core/engine/packing.py",
        "positions = watch.positions[watch.span(first, last)] - start",
        "positions = watch.positions[watch.span(first, last)] - start - (last > first + 1)",
        (
            "tests/engine/test_engine.py::test_rows_of_all_requests_share_a_forward",
            "tests/properties/test_batch_invariance.py",
        ),
    ),
    Mutant(
        "a relay is told to the wrong member",
        "tie_core/relay.py",
        "views = [self.view(leader, receiver) for receiver in range(len(self._ends))]",
        "views = [self.view(receiver, receiver) for receiver in range(len(self._ends))]",
        ("tests/test_relay.py", "tests/test_tie.py"),
    ),
)
