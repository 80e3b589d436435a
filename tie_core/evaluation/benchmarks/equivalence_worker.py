"""The script of `equivalence.py`'s child process: says that it is there, then `true` or `false` for each pair it reads.

A pair is a line of JSON, `[reference, answer]`, both LaTeX without delimiters. Knows nothing of ours.
"""

import json
import logging
import os
import resource
import sys

from math_verify import parse, verify  # type: ignore[import-untyped]  # it has no types

MEMORY_BYTES = 4 << 30
STEP_SECONDS = 5  # for each of reading one side and comparing


def is_equal(reference: str, answer: str) -> bool:
    try:
        sides = [parse(rf"\boxed{{{latex}}}", parsing_timeout=STEP_SECONDS) for latex in (reference, answer)]
        return bool(verify(*sides, timeout_seconds=STEP_SECONDS))
    except (Exception, RecursionError, MemoryError):
        return False


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    logging.disable()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    sys.stdout = sys.stderr  # whatever the library prints is no answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(is_equal(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
