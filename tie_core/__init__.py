"""Trajectory-level ensembling of masked diffusion language models, as a library.

Knows no HTTP, no event loop, no environment and no terminal: those are `service`'s. The public names load what they
need when they are first used, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tie_core.engine.engine import Engine
    from tie_core.ensemble import Ensemble
    from tie_core.errors import TieError
    from tie_core.member import Member, load_member
    from tie_core.models.loading import load_model
    from tie_core.options import TieOptions

__all__ = ["Engine", "Ensemble", "Member", "TieError", "TieOptions", "load_member", "load_model"]
__version__ = "0.1.0"

_HOMES = {
    "Engine": "tie_core.engine.engine",
    "Ensemble": "tie_core.ensemble",
    "Member": "tie_core.member",
    "TieError": "tie_core.errors",
    "TieOptions": "tie_core.options",
    "load_member": "tie_core.member",
    "load_model": "tie_core.models.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
