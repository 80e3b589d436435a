"""What is not here and optional: extras that are not installed, members without a chat template."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from service.inventory import refusal_of_messages
from tie_core.vocabulary import Vocabulary

OTEL: Final = "OpenTelemetry"
EXTRAS: Final = (
    ("opentelemetry.exporter.otlp.proto.http", OTEL, "otel", "traces (telemetry.otlp_endpoint)"),
    ("math_verify", "math_verify", "eval", "tie eval math500"),
    ("matplotlib", "matplotlib", "eval", "tie eval --plots"),
)
"""Module, its name for people, the extra that brings it, and what it is for."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not here, what does not work without it, and how to have it."""

    what: str
    needed_for: str
    remedy: str


def find_missing(vocabularies: Mapping[str, Vocabulary]) -> tuple[Missing, ...]:
    """Of this installation, and of the members by name."""
    found = [
        Missing(what, needed_for, f".venv/bin/pip install -e '.[{extra}]'")
        for module, what, extra, needed_for in EXTRAS
        if not _is_here(module)
    ]
    found += [
        Missing(f"{name}'s chat template", "messages, the playground, tie chat", "a `prompt` works: tie run --raw")
        for name, vocabulary in vocabularies.items()
        if refusal_of_messages(vocabulary) is not None
    ]
    return tuple(found)


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it lies in
        return False
