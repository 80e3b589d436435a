"""The modes of decoding that are timed, each a line of options over the exact one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import ApiError
from service.option_places import body_of
from service.schemas import parse_generate
from tie_core import zoo
from tie_core.errors import OptionsError


@dataclass(frozen=True, slots=True)
class Mode:
    """`needs_confidence` is true of what does nothing on random weights, which are never sure."""

    name: str
    options: Mapping[str, Any]
    needs_confidence: bool = True

    @property
    def is_available(self) -> bool:
        """Whether this version of the server knows the options."""
        try:
            parse_generate(json.dumps({"prompt": "", **body_of(self.options)}).encode())
        except (OptionsError, ApiError):
            return False
        return True

    @property
    def zoo_options(self) -> dict[str, Any]:
        """On the embedded members: their presets, those of the policy, and the mode's own."""
        of_policy = zoo.POLICY_DEFAULTS.get(str(self.options.get("policy")), {})
        return {**zoo.DEFAULTS, **of_policy, **self.options}


EXACT: Final = Mode("exact", {}, needs_confidence=False)
WINDOW: Final = Mode("window cache", {"cache": "window"}, needs_confidence=False)
MODES: Final = (
    EXACT,
    WINDOW,
    Mode("top_k, k = 2", {"k": 2}),
    Mode("threshold 0.9", {"policy": "threshold", "tau": 0.9}),
    Mode("threshold 0.9, no relay", {"policy": "threshold", "tau": 0.9, "interval": 64}),
    Mode("factor", {"policy": "factor"}),
    Mode("entropy_bound", {"policy": "entropy_bound"}),
    Mode("fill_end", {"fill_end": True}),
    Mode("early_commit", {"early_commit": True}),
    Mode("threshold 0.9 and early_commit", {"policy": "threshold", "tau": 0.9, "early_commit": True}),
)
