"""Holds a checkpoint's family, or a score, against what the engine relies on: `python -m tie_core.testing --help`."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Final

from tie_core.errors import TieError
from tie_core.models.dtypes import DTYPES
from tie_core.scoring import SCORES
from tie_core.testing import FAMILY_CHECKS, SCORE_CHECKS, Finding, findings, load_score, load_specimen

PROFILER_LOG: Final = "KINETO_LOG_LEVEL"
SILENT: Final = "6"  # above every level: each start and stop of the profiler would be told on stderr


def main() -> int:
    """0: all that was checked holds; 1: something is broken; 2: there was nothing to check."""
    asked = _parser().parse_args()
    os.environ.setdefault(PROFILER_LOG, SILENT)
    if asked.score:
        return tell(findings(SCORE_CHECKS, load_score(asked.score)))
    try:
        specimen = load_specimen(asked.path, asked.device, asked.dtype, _known(asked), asked.recorded)
    except TieError as error:
        print(f"cannot be loaded: {error}", file=sys.stderr)
        return 2
    return tell(findings(FAMILY_CHECKS, specimen))


def tell(found: Iterable[Finding]) -> int:
    """A line for each check, as it ends."""
    num_broken = 0
    for finding in found:
        num_broken += finding.verdict == "broken"
        print(f"{finding.verdict:11}  {finding.check:12} {finding.words}".rstrip(), flush=True)
    return 1 if num_broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tie_core.testing", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("path", nargs="?", help="a checkpoint folder of the family")
    what.add_argument("--score", choices=sorted(SCORES), help="the score to check instead")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="float32", choices=sorted(DTYPES))
    parser.add_argument("--prompt", help="something to ask the model, with --reply")
    parser.add_argument("--reply", help="what it should answer, word by word")
    parser.add_argument("--recorded", help="safetensors file of a forward of the original implementation")
    return parser


def _known(asked: argparse.Namespace) -> tuple[str, str] | None:
    if (asked.prompt is None) != (asked.reply is None):
        _parser().error("--prompt and --reply go together")
    return None if asked.prompt is None else (asked.prompt, asked.reply)


if __name__ == "__main__":
    sys.exit(main())
