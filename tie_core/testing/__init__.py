"""A conformance kit: what the engine and the rounds rely on in a model family and in a score, as checks to run.

Plain functions that raise AssertionError, for third parties as for our own; no test framework is needed.
`docs/conformance.md` lists them.
"""

from tie_core.testing.checking import Finding, NotChecked, findings
from tie_core.testing.family import FAMILY_CHECKS, check_family
from tie_core.testing.score import SCORE_CHECKS, ScoreSpecimen, check_score, load_score
from tie_core.testing.specimen import Specimen, load_specimen

__all__ = [
    "FAMILY_CHECKS",
    "SCORE_CHECKS",
    "Finding",
    "NotChecked",
    "ScoreSpecimen",
    "Specimen",
    "check_family",
    "check_score",
    "findings",
    "load_score",
    "load_specimen",
]
