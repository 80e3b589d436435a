"""Seeded bugs of what holds when members fail: who counts, what is dropped, who starts again."""

from tests.reliability.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "what a retired worker still does is taken",
        "tie_core/engine/worker.py",
        "            if not self._is_retired:\n                self._deliver_at_once(done)\n",
        "            self._deliver_at_once(done)\n",
        ("tests/engine/test_supervision.py::test_what_a_retired_worker_still_does_goes_nowhere",),
    ),
    Mutant(
        "a member that is lost in a reading stays a candidate",
        "tie_core/lost.py",
        "return tuple(each for each in those if each.member not in self.lost)",
        "return tuple(those)",
        ("tests/test_lost.py",),
    ),
    Mutant(
        "where the one that doubts is lost in a reading, readings of what nobody read are looked for",
        "tie_core/tie.py",
        "() if _any_is_answered(left) else _probes_of_all(",
        "_probes_of_all(",
        ("tests/test_lost.py::test_without_the_one_that_doubts_the_others_commit_early",),
    ),
    Mutant(
        "a member that is lost in the final stretch stays a candidate",
        "tie_core/tie.py",
        "for run in attendance.left(trajectories)\n",
        "for run in trajectories\n",
        ("tests/properties/test_losses.py",),
    ),
    Mutant(
        "numbers that are none are taken for statistics",
        "tie_core/prediction.py",
        "self.is_finite & np.isfinite(sums) & (lowest >= 0)",
        "self.is_finite & (lowest >= 0)",
        ("tests/reliability/test_faults.py::test_the_only_members_fault_is_a_typed_error",),
    ),
    Mutant(
        "a forward that raises costs all of its rows",
        "tie_core/engine/reading.py",
        "        if last - first == 1:\n",
        "        if raised or last - first == 1:\n",
        ("tests/engine/test_engine.py::test_a_fault_at_one_request_costs_it_that_member_and_the_others_nothing",),
    ),
    Mutant(
        "a worker that is gone is not replaced",
        "tie_core/engine/supervision.py",
        "        if self._worker is None and now >= self._restart_at:\n",
        "        if self._worker is None and now < 0:\n",
        ("tests/engine/test_supervision.py::test_what_was_shown_to_work_starts_again_without_delay",),
    ),
    Mutant(
        "nobody sees that a forward hangs",
        "tie_core/engine/worker.py",
        "now - since > max(stall_seconds, PATIENCE * self._expected_seconds)",
        "now - since > 1e9",
        ("tests/engine/test_supervision.py::test_a_row_that_waits_is_lost_with_the_worker",),
    ),
    Mutant(
        "a new worker shares its pool and lanes with the old one",
        "tie_core/engine/supervision.py",
        "Worker(self.member.renewed(), ",
        "Worker(self.member, ",
        ("tests/engine/test_supervision.py::test_another_worker_takes_over_with_a_pool_and_lanes_of_its_own",),
    ),
    Mutant(
        "a request goes on with fewer members than it asks for",
        "tie_core/lost.py",
        "if num_left < min(self._min_models, self._num_members):",
        "if num_left < 1:",
        ("tests/test_lost.py::test_a_request_goes_on_with_no_fewer_members_than_it_asks_for",),
    ),
    Mutant(
        "a deadline forgets who has finished while the others finish alone",
        "tie_core/engine/run.py",
        "        self._work, self._results, self._ready_at = work, {}, {}\n",
        "        self._work, self._results, self._ready_at, self._answered = work, {}, {}, None\n",
        ("tests/reliability/test_faults.py::test_a_partial_answer_is_that_of_a_member_that_had_finished",),
    ),
)
