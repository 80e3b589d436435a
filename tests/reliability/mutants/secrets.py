"""Seeded bugs that give one request something of another, or tell a prompt to an operator."""

from tests.reliability.mutant import Mutant

TESTS = ("tests/reliability/test_secrets.py::test_no_secret_leaves_its_request",)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a part of a batch reads the canvases of the first part",
        "tie_core/engine/packing.py",
        "start, stop = int(self._rows.bounds[first]), int(self._rows.bounds[last])\n        positions",
        "start, stop = int(self._rows.bounds[0]), int(self._rows.bounds[last - first])\n        positions",
        ("tests/engine/test_out_of_memory.py",),
    ),
    Mutant(
        "relays are told to another stream",
        "service/runs.py",
        "run = self._live.get(request_id)\n        if run is not None:\n            run.record.log.put",
        "run = next(iter(self._live.values()), None)\n        if run is not None:\n            run.record.log.put",
        ("tests/service/test_requests.py::test_a_relay_is_shown_to_its_own_request",),
    ),
    Mutant(
        "a metric is labelled with prompts",
        "service/run.py",
        "metrics.requests.labels(self.request.ensemble, ",
        "metrics.requests.labels(self.request.members[0].vocabulary.decode(self.request.canvases[0].prompt), ",
        TESTS,
    ),
)
