"""The last layer's MLP reads the rows that somebody reads, and no others."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.members import tiny
from tie_core.models.invariance import ROW_MULTIPLE
from tie_core.models.mask_predictor import MaskPredictor


def rows_of_mlps(model: MaskPredictor, read: Callable[[], Tensor]) -> list[int]:
    """Rows that each layer's MLP computes, first layer first."""
    rows: list[int] = []
    decoder = model._decoder
    mlps = [part for name, part in decoder.named_modules() if name.endswith(".mlp")]
    hooks = [mlp.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1])) for mlp in mlps]
    read()
    for hook in hooks:
        hook.remove()
    return rows


@pytest.mark.parametrize("name", ["llada-tiny", "dream-tiny"])
def test_only_the_rows_that_are_read_go_through_the_last_mlp(name: str) -> None:
    model = tiny(name).model
    ids = torch.arange(1, 97)

    rows = rows_of_mlps(model, lambda: model.hidden(ids, [48, 48], torch.tensor([50, 3, 95])))

    *before, last = rows
    assert set(before) == {96}
    assert last == ROW_MULTIPLE


def test_lanes_read_their_own_rows_and_give_them_back_in_order() -> None:
    model = tiny("llada-tiny").model
    ids = torch.arange(1, 97)
    asked = torch.tensor([95, 3, 50, 4, 49, 47, 48])
    alone = model.hidden(ids, [48, 48], asked)
    model.lanes.open(2, 1)
    try:
        shared = model.hidden(ids, [48, 48], asked)
        of_one = model.hidden(ids, [48, 48], torch.tensor([60]))  # the other lane reads none
    finally:
        model.lanes.open(1, 1)

    assert torch.equal(alone, shared)
    assert torch.equal(of_one, model.hidden(ids, [48, 48], torch.tensor([60])))
