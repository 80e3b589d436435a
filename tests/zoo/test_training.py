"""The parts of the recipe: dosage, optimiser, schedule."""

import numpy as np
import torch

from tie_core.zoo.dosage import FOREIGN_SHARE, FOREIGN_TARGET, Dosage
from tie_core.zoo.members import RECIPES
from tie_core.zoo.muon import orthogonalise
from tie_core.zoo.task import OPERATIONS
from tie_core.zoo.train import WARMUP_STEPS, rate_at

NAMES = list(OPERATIONS)
MEMBER = RECIPES["zoo-llada"]
IS_OWN = np.array([name in MEMBER.expert_operations for name in NAMES])


def observed(accuracies: np.ndarray, times: int) -> Dosage:
    dosage = Dosage(MEMBER)
    for _ in range(times):
        dosage.observe(accuracies)
    return dosage


def test_dosage_starts_with_a_small_foreign_share() -> None:
    shares = Dosage(MEMBER).shares()

    assert np.isclose(shares.sum(), 1)
    assert np.isclose(shares[~IS_OWN].sum(), FOREIGN_SHARE)


def test_unknown_foreign_operation_gets_more_and_a_perfect_one_next_to_nothing() -> None:
    accuracies = np.where(IS_OWN, 1.0, 0.0)
    accuracies[NAMES.index("add")] = 1.0

    shares = observed(accuracies, 10).shares()

    assert np.isclose(shares.sum(), 1)
    assert shares[NAMES.index("hlf")] > 2 * FOREIGN_SHARE / 6
    assert shares[NAMES.index("add")] < 0.1 * FOREIGN_SHARE / 6


def test_worst_own_operation_is_drawn_most() -> None:
    accuracies = np.where(IS_OWN, 1.0, FOREIGN_TARGET)
    accuracies[NAMES.index("rtl")] = 0.5

    assert observed(accuracies, 10).shares().argmax() == NAMES.index("rtl")


def test_distance_is_zero_at_the_aim() -> None:
    assert Dosage(MEMBER).distance(np.where(IS_OWN, 1.0, FOREIGN_TARGET)) < 1e-9


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((3, 16, 48), (3, 48, 16)):
        matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        values = torch.linalg.svdvals(orthogonalise(matrices))
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    rates = [rate_at(step, 1000) for step in range(1, 1001)]

    assert rates[0] == 1 / WARMUP_STEPS
    assert rates[WARMUP_STEPS - 1 : 500] == [1.0] * (501 - WARMUP_STEPS)
    assert rates[-1] == 0.002
