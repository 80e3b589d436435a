"""Where the native route's body has the library's options."""

from collections.abc import Mapping
from typing import Any, Final

from service.schemas import PARTS, GenerateBody
from tie_core.errors import OptionsError

RENAMED: Final = {"reasoning": ("reasoning_length",), "answer": ("answer", "length")}
"""Options that a body has under other names."""


def body_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The native route's body for options by the library's names.

    Raises:
        OptionsError: an option that the route has no field for.
    """
    body: dict[str, Any] = {}
    for name, value in options.items():
        *sections, field = _place_of(name)
        part = body
        for section in sections:
            part = part.setdefault(section, {})
        part[field] = value
    return body


def _place_of(name: str) -> tuple[str, ...]:
    if name in RENAMED:
        return RENAMED[name]
    if name in GenerateBody.model_fields:
        return (name,)
    for section, body in PARTS.items():
        if section != "messages" and name in body.model_fields:
            return (section, name)
    raise OptionsError(name, f"unknown option; the server's route has no field {name!r}")
