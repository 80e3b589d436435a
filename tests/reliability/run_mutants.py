"""`make mutants`: plants every seeded bug in a copy of the tree and tells which ones the tests found."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.reliability.mutant import Mutant
from tests.reliability.planting import PlantingError, Trial, all_mutants, try_mutant, try_unmutated

AT_ONCE = 2


def main() -> int:
    wanted = parse_arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    sound = check_tests(wanted, console)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = list(pool.map(lambda mutant: timed_trial(mutant, console), wanted))
    num_killed = sum(trial.verdict == "killed" for trial, _ in trials)
    console.print(table(wanted, trials))
    console.print(f"{num_killed} of {len(wanted)} killed")
    return 0 if sound and num_killed == len(wanted) else 1


def parse_arguments() -> list[Mutant]:
    known = {mutant.name: mutant for mutant in all_mutants()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=sorted(known), help="may be given again")
    names = parser.parse_args().only or known
    return [known[name] for name in names]


def check_tests(mutants: list[Mutant], console: Console) -> bool:
    """Without a bug every test must pass, or its failing would say nothing."""
    trial = try_unmutated(mutants)
    passed = trial.verdict == "survived"
    told = "pass" if passed else f"do not pass: {trial.detail or trial.verdict}"
    console.print(f"{len(mutants)} mutants; without them their tests {told}", markup=False)
    return passed


def timed_trial(mutant: Mutant, console: Console) -> tuple[Trial, float]:
    started = time.monotonic()
    try:
        trial = try_mutant(mutant)
    except PlantingError as error:
        trial = Trial("broken", str(error))
    seconds = time.monotonic() - started
    console.print(f"  {trial.verdict:9} {mutant.name} ({seconds:.0f} s)", markup=False)
    return trial, seconds


def table(mutants: list[Mutant], trials: list[tuple[Trial, float]]) -> Table:
    told = Table("mutant", "file", "verdict", "seconds", "by")
    for mutant, (trial, seconds) in zip(mutants, trials, strict=True):
        style = None if trial.verdict == "killed" else "bold red"
        told.add_row(mutant.name, mutant.file, trial.verdict, f"{seconds:.0f}", trial.detail, style=style)
    return told


if __name__ == "__main__":
    sys.exit(main())
