"""The head read in tiles says what the statistics of its whole logits say, each row by the same bits anywhere."""

import pytest
import torch

from tie_core import tiles
from tie_core.prediction import EndTokens, statistics
from tie_core.tiles import TiledHead

END = EndTokens(eos_id=2, end_ids=(2, 3))
SUPPRESS = ["off", "confidence", "prediction"]
WIDTH = 24


def head(num_tokens, seed=0):
    """A sharp head: probabilities from nearly 0 to nearly 1, some of them on special tokens."""
    return torch.randn(num_tokens, WIDTH, generator=torch.Generator().manual_seed(seed)) * 1.5


def rows(count, seed=1):
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("suppress_end", SUPPRESS)
@pytest.mark.parametrize(
    ("num_tokens", "num_rows"), [(5, 3), (64, 16), (300, 300), (2048, 40), (4480, 7), (12_003, 513)]
)
def test_tiles_say_what_whole_logits_say(num_tokens, num_rows, suppress_end):
    weight, hidden = head(num_tokens), rows(num_rows)
    forbidden = (0, 4, num_tokens - 1)
    tiled = TiledHead(weight, forbidden, END).statistics(hidden, suppress_end)
    whole = statistics(hidden @ weight.T, torch.tensor(forbidden), END, suppress_end)
    assert tiled.tokens.equal(whole.tokens)
    assert tiled.proposals.equal(whole.proposals)
    assert tiled.is_finite.all()
    for name in ("top1", "margin", "negative_entropy", "confidences"):
        torch.testing.assert_close(getattr(tiled, name), getattr(whole, name), rtol=1e-4, atol=1e-5)


def test_a_tie_between_tiles_goes_to_the_lowest_token():
    weight = torch.zeros(11_000, WIDTH)
    weight[[70, 90, 5200, 10_999], 0] = 3.0
    read = TiledHead(weight, (70,), END).statistics(torch.ones(1, WIDTH))
    assert (read.tokens.item(), read.proposals.item()) == (70, 90)
    assert read.margin.item() == pytest.approx(0.0)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [1, 6000])
def test_a_row_that_is_not_finite_is_noticed_and_spoils_no_other(poison, place):
    hidden = rows(3)
    hidden[:, 0] = torch.tensor([0.0, 1.0, 0.0])
    weight = head(8000)
    weight[:, 0] = 0.0
    clean = TiledHead(weight, (), END).statistics(hidden)
    weight[place, 0] = 1e38 if poison > 0 else poison
    hidden[1, 0] = 1e38
    read = TiledHead(weight, (), END).statistics(hidden.nan_to_num(posinf=1e38))
    assert read.is_finite.tolist() == [poison > 0, False, poison > 0]
    if poison > 0:
        assert read.top1[[0, 2]].equal(clean.top1[[0, 2]])


@pytest.mark.parametrize("suppress_end", SUPPRESS)
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("num_tokens", [300, 4480, 40_000])
def test_a_row_is_read_bit_for_bit_as_alone(num_tokens, num_threads, suppress_end):
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        reader = TiledHead(head(num_tokens), (0, 7), END)
        hidden = rows(600)
        together = reader.statistics(hidden, suppress_end)
        for start, stop in [(0, 1), (5, 6), (255, 258), (300, 317), (100, 500), (599, 600)]:
            apart = reader.statistics(hidden[start:stop], suppress_end)
            for column, whole in zip(apart.columns, together.columns, strict=True):
                assert column.equal(whole[start:stop])
    finally:
        torch.set_num_threads(before)


def test_no_rows_give_no_statistics():
    assert len(TiledHead(head(300), (), END).statistics(rows(0)).tokens) == 0


def test_no_tile_is_larger_than_its_share_of_the_cache(monkeypatch):
    sizes = []
    original = tiles.TopTwo.of
    monkeypatch.setattr(
        tiles.TopTwo, "of", lambda logits, first: sizes.append(logits.numel()) or original(logits, first)
    )
    TiledHead(head(40_000), (0,), END).statistics(rows(600))
    assert max(sizes) <= tiles.TILE_ROWS * tiles.CPU_TILE_TOKENS
