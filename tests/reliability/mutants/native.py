"""Seeded bugs of the native route: events that get lost, runs that nobody ends, keys that join the wrong run."""

from tests.reliability.mutant import Mutant

LOG = "tests/service/test_event_log.py::"
REQUESTS = "tests/service/test_requests.py::"
ONCE = "tests/reliability/test_idempotency.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "merging drops rounds as well",
        "service/event_log.py",
        "            if not entry.is_state or entry.seq > old[-1].seq or entry.seq in (step, answer):\n",
        "            if entry.seq > old[-1].seq or entry.seq in (1, 2, step, answer):\n",
        (LOG + "test_a_reader_that_sleeps_gets_one_snapshot_for_the_older_steps",),
    ),
    Mutant(
        "a merged step is sent as if it were the only one",
        "service/event_log.py",
        "entry.is_merged, entry.event, entry.body = True, None, None",
        "pass",
        (LOG + "test_a_reader_that_sleeps_gets_one_snapshot_for_the_older_steps",),
    ),
    Mutant(
        "a snapshot misses the relay before it",
        "service/event_log.py",
        "                self._base.apply(entry.event, entry.relayed)\n",
        "                self._base.apply(entry.event, None)\n",
        (LOG + "test_a_reader_that_comes_back_folds_to_the_same_canvas",),
    ),
    Mutant(
        "a replay begins with what was seen",
        "service/event_log.py",
        "return Reader(self, after, detail",
        "return Reader(self, max(0, after - 1), detail",
        (REQUESTS + "test_a_replay_from_any_point_is_the_rest_of_the_stream",),
    ),
    Mutant(
        "the writer wakes nobody",
        "service/event_log.py",
        "        if is_awaited:\n",
        "        if is_awaited and entry.seq == 1:\n",
        (LOG + "test_a_writer_in_another_thread_wakes_the_reader",),
    ),
    Mutant(
        "a client that leaves leaves its run",
        "service/run.py",
        '            self.cancel("disconnect")\n',
        "            pass\n",
        ("tests/reliability/test_disconnects.py::test_rows_are_free_within_a_step_of_a_disconnect",),
    ),
    Mutant(
        "the first connection that leaves ends the run for all",
        "service/run.py",
        "        if self._num_callers == 0 and not self._goes_on:\n",
        "        if not self._goes_on:\n",
        (ONCE + "test_a_run_lives_while_one_of_its_connections_waits",),
    ),
    Mutant(
        "a key joins whatever ran under it",
        "service/claims.py",
        "if claim is not None and claim.body != once.body:",
        "if False:",
        (ONCE + "test_another_body_or_route_under_a_key_is_a_conflict",),
    ),
    Mutant(
        "a key is claimed only once its run is there",
        "service/runs.py",
        "        if (claim := self._standing_claim(once)) is not None:\n",
        "        if (claim := self._standing_claim(once)) is not None and claim.record.done():\n",
        (ONCE + "test_equal_requests_at_once_are_one_run",),
    ),
    Mutant(
        "a request is there for everybody",
        "service/runs.py",
        "        if record is None or record.owner != owner:\n",
        "        if record is None:\n",
        (REQUESTS + "test_a_request_is_there_for_its_owner_alone",),
    ),
    Mutant(
        "deadlines are looked at only where something happens",
        "tie_core/engine/deadlines.py",
        "return min(most, max(0.0, self._next - now))",
        "return most",
        ("tests/engine/test_deadlines.py::test_deadlines_are_due_in_order_and_forget_what_is_discarded",),
    ),
    Mutant(
        "workers know a run by its request's id",
        "tie_core/engine/run.py",
        "self._keyed = replace(request, id=key)",
        "self._keyed, self.key = request, request.id",
        ("tests/engine/test_deadlines.py::test_a_reused_id_never_gets_the_result_of_the_cancelled_request",),
    ),
    Mutant(
        "a stalled client's connection stays",
        "service/streams.py",
        '                scope["state"].get("abort", _nothing)()\n',
        "",
        ("tests/reliability/test_streams.py::test_a_reader_that_stalls_is_cut_even_if_nothing_more_is_to_be_sent",),
    ),
)
