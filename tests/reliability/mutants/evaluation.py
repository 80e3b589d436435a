"""Seeded bugs of the evaluation: programs that get out of the sandbox or pass too soon, answers judged too well."""

from tests.reliability.mutant import Mutant

SANDBOX = "tests/evaluation/test_sandbox.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a program that leaves early passes",
        "tie_core/evaluation/sandbox_child.py",
        "    except BaseException as error:",
        "    except SystemExit:\n        write(told_writer, read(token_reader, 64))\n"
        "    except BaseException as error:",
        (f"{SANDBOX}::test_a_program_that_does_not_is_wrong_and_says_why",),
    ),
    Mutant(
        "whatever a program writes into the pipe of the verdict passes",
        "tie_core/evaluation/sandbox.py",
        "if hmac.compare_digest(told, token):",
        "if len(told) >= len(token):",
        (f"{SANDBOX}::test_a_guess_in_every_open_file_is_no_verdict",),
    ),
    Mutant(
        "a sandboxed program may write where it likes",
        "tie_core/evaluation/sandbox_child.py",
        "return real.startswith(prefix) and len(real) < LONGEST_PATH",
        "return len(real) < LONGEST_PATH",
        (f"{SANDBOX}::test_files_beyond_its_folder_stay_as_they_are",),
    ),
    Mutant(
        "a sandboxed program sees the environment",
        "tie_core/evaluation/sandbox.py",
        "            env=_ENVIRONMENT,\n",
        "",
        (f"{SANDBOX}::test_the_environment_and_our_packages_are_not_to_be_seen",),
    ),
    Mutant(
        "a sandboxed program may write without end",
        "tie_core/evaluation/sandbox_child.py",
        "return may_be and next(left, None) is not None",
        "return may_be",
        (f"{SANDBOX}::test_a_program_that_does_not_is_wrong_and_says_why",),
    ),
    Mutant(
        "a program's sets are in another order in every run",
        "tie_core/evaluation/sandbox.py",
        '"PYTHONHASHSEED": "0"',
        '"PYTHONHASHSEED": "random"',
        (f"{SANDBOX}::test_the_order_of_a_set_is_the_same_in_every_run",),
    ),
    Mutant(
        "code runs without being allowed to",
        "tie_core/evaluation/task.py",
        "if task.runs_code and not run_code:",
        "if task.runs_code and run_code:",
        ("tests/evaluation/test_task.py::test_a_task_that_runs_code_is_refused_unless_that_is_allowed",),
    ),
    Mutant(
        "a Countdown number may be used twice",
        "tie_core/evaluation/benchmarks/countdown.py",
        "sorted(used) == sorted(item.reference.numbers)",
        "set(used) == set(item.reference.numbers)",
        ("tests/evaluation/benchmarks/test_countdown.py::test_a_number_that_is_there_twice_is_used_twice",),
    ),
    Mutant(
        "the first of two letters is the answer",
        "tie_core/evaluation/benchmarks/extraction.py",
        '(?:and|or)\\b)", rest):\n            return None',
        '(?:and|or)\\b)", rest):\n            return letter',
        ("tests/evaluation/benchmarks/test_extraction.py::test_the_letter_of_an_answer",),
    ),
    Mutant(
        "a calculation counts for the number that it makes",
        "tie_core/evaluation/benchmarks/math500.py",
        "if not _CALCULATION.search(side)",
        "if side",
        ("tests/evaluation/benchmarks/test_math500.py::test_anything_else_is_wrong_and_never_an_exception",),
    ),
)
