"""Whether the configured models fit their devices: the plan that the server makes before it loads anything."""

from collections.abc import Sequence

from service.settings import LimitSettings, ModelSettings
from tie_core.engine.devices import find_devices
from tie_core.engine.placement import Wish, make_plan
from tie_core.models.footprint import read_footprint


def check_placement(models: Sequence[ModelSettings], limits: LimitSettings) -> None:
    """Refuse models that do not fit their devices, with the figures, before anything is loaded.

    Raises:
        TieError: a checkpoint that cannot be read, a device that is not here or too small.
    """
    make_plan([wish_for(model) for model in models], find_devices(), limits.max_batch_positions).check()


def wish_for(model: ModelSettings) -> Wish:
    """A configured model as the planner sees it; raises TieError for a folder that cannot be read."""
    return Wish(model.name, model.device, model.dtype, read_footprint(model.path.expanduser(), model.dtype))
