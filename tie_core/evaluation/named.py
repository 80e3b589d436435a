"""The tables that can be asked for by name: the conditions that each needs, and how it is made of their records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tie_core.evaluation import ablations, fewer_steps, main_table, trajectories, unequal
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.sections import Section


@dataclass(frozen=True, slots=True)
class Table:
    """Conditions depend on the members and the options of a study; rendering needs the records of all of them."""

    conditions: Callable[[Study], tuple[Condition, ...]]
    render: Callable[[Results], Section]


TABLES: Final[dict[str, Table]] = {
    "main": Table(main_table.conditions, main_table.render),
    "stability": Table(trajectories.stability_conditions, trajectories.stability),
    "injection": Table(trajectories.injection_conditions, trajectories.injections),
    "switches": Table(trajectories.relayed, trajectories.switches),
    "change_rate": Table(trajectories.relayed, trajectories.change_rates),
    "interval": Table(ablations.interval_conditions, ablations.interval),
    "acceleration": Table(ablations.acceleration_conditions, ablations.acceleration),
    "normalisation": Table(ablations.normalisation_conditions, ablations.normalisation),
    "cross_model": Table(ablations.cross_model_conditions, ablations.cross_model),
    "selection": Table(ablations.selection_conditions, ablations.selection),
    "fewer_steps": Table(fewer_steps.conditions, fewer_steps.render),
    "unequal": Table(unequal.conditions, unequal.render),
}
"""Results, the paper's tables 1 and 2, figure 3 and tables 5 to 10, and two that the paper does not have."""
