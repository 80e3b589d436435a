"""Seeded bugs of the server's end: it comes too late, or somebody is not told."""

from tests.reliability.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "clients that stopped reading hold the exit",
        "service/server.py",
        "CLOSING_SECONDS: Final = 2",
        "CLOSING_SECONDS: Final = 60",
        ("tests/reliability/test_sigterm.py::test_sigterm_under_load_loses_no_request",),
    ),
    Mutant(
        "a member that hangs holds the exit",
        "service/lifecycle.py",
        "await asyncio.to_thread(closing.join, CLOSE_SECONDS)",
        "await asyncio.to_thread(closing.join)",
        ("tests/reliability/test_sigterm.py::test_a_member_that_hangs_does_not_hold_the_exit",),
    ),
    Mutant(
        "a lane of a member that was given up holds the exit",
        "service/lifecycle.py",
        " or loaded.engine.has_living_threads",
        "",
        ("tests/reliability/test_sigterm.py::test_neither_does_one_that_was_given_up",),
    ),
    Mutant(
        "a second signal does not hurry",
        "service/server.py",
        "if self.num_signals > 1:",
        "if self.num_signals > 9:",
        ("tests/reliability/test_sigterm.py::test_a_second_signal_hurries",),
    ),
    Mutant(
        "who is refused is not told when to come back",
        "service/errors.py",
        """kind=UNAVAILABLE, headers={"retry-after": str(retry_after)})""",
        """kind=UNAVAILABLE)""",
        ("tests/service/test_overload.py::test_what_does_not_fit_is_refused_with_a_time_to_come_back",),
    ),
)
