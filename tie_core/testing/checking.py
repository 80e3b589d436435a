"""How checks speak: a check is a function that raises AssertionError, with what is wrong, or NotChecked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Verdict = Literal["holds", "broken", "not checked"]
Subject = TypeVar("Subject")


class NotChecked(Exception):  # noqa: N818 (it is no error)
    """What a check needs was not given; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to; `words` say what is wrong, or what is missing."""

    check: str
    verdict: Verdict
    words: str = ""


def hold(condition: bool, words: str) -> None:
    """`assert` with `words`, in optimised Python too."""
    if not condition:
        raise AssertionError(words)


def findings(checks: Mapping[str, Callable[[Subject], None]], subject: Subject) -> Iterator[Finding]:
    """Every check in turn; one that raises anything else is broken too."""
    for name, check in checks.items():
        try:
            check(subject)
        except NotChecked as missing:
            yield Finding(name, "not checked", str(missing))
        except AssertionError as broken:
            yield Finding(name, "broken", str(broken))
        except Exception as error:  # of code that is not ours
            yield Finding(name, "broken", f"raised {type(error).__name__}: {error}")
        else:
            yield Finding(name, "holds")


def demand(name: str, found: Iterator[Finding]) -> None:
    """Raises:
    AssertionError: some checks are broken; the message names all of them.
    """
    broken = [f"  {finding.check}: {finding.words}" for finding in found if finding.verdict == "broken"]
    if broken:
        raise AssertionError("\n".join([f"{name}: {len(broken)} checks are broken", *broken]))


def summary_of(check: Callable[..., None]) -> str:
    """The first sentence of its docstring."""
    return " ".join((check.__doc__ or "").partition("\n\n")[0].split())
