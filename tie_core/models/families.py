"""The supported families by name. Reads no weights and needs no torch."""

from collections.abc import Mapping
from typing import Final

from tie_core.models import a2d_qwen3, dream, llada
from tie_core.models.family import Family

FAMILIES: Final[Mapping[str, Family]] = {
    "llada": llada.FAMILY,
    "dream": dream.FAMILY,
    "a2d-qwen3": a2d_qwen3.FAMILY,
}
