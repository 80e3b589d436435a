"""Statistics of logits: what is predicted, how surely, and what may be committed."""

import math

import pytest
import torch

from tie_core.prediction import Columns, EndTokens, statistics, to_predictions

END = EndTokens(eos_id=2, end_ids=(2, 3))
NO_TOKENS = torch.tensor([], dtype=torch.long)


def logits(*probabilities):
    return torch.tensor([probabilities], dtype=torch.float64).log()


def test_statistics_are_those_of_the_softmax():
    read = statistics(logits(0.5, 0.3, 0.2), NO_TOKENS, END)
    assert read.tokens.tolist() == [0]
    assert read.top1.item() == pytest.approx(0.5)
    assert read.margin.item() == pytest.approx(0.2)
    entropy = 0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2)
    assert read.negative_entropy.item() == pytest.approx(entropy)
    assert read.top1.dtype == torch.float32


def test_a_tie_goes_to_the_lowest_token():
    read = statistics(logits(0.2, 0.4, 0.4), NO_TOKENS, END)
    assert read.tokens.item() == 1
    assert read.margin.item() == pytest.approx(0.0)


def test_forbidden_tokens_are_predicted_but_never_proposed():
    read = statistics(logits(0.1, 0.3, 0.6), torch.tensor([2]), END)
    assert (read.tokens.item(), read.proposals.item()) == (2, 1)
    assert read.confidences.item() == pytest.approx(0.3)


def test_confidence_suppression_commits_end_tokens_last():
    read = statistics(logits(0.1, 0.2, 0.6, 0.1), NO_TOKENS, END, "confidence")
    assert (read.proposals.item(), read.confidences.item()) == (2, 0.0)
    other = statistics(logits(0.1, 0.5, 0.3, 0.1), NO_TOKENS, END, "confidence")
    assert other.confidences.item() == pytest.approx(0.5 / 0.6)


def test_prediction_suppression_never_proposes_eos():
    read = statistics(logits(0.1, 0.2, 0.6, 0.1), NO_TOKENS, END, "prediction")
    assert (read.tokens.item(), read.proposals.item()) == (2, 1)
    assert read.confidences.item() == pytest.approx(0.2 / 0.4)


@pytest.mark.parametrize("suppress_end", ["off", "confidence", "prediction"])
def test_statistics_are_of_the_models_own_logits(suppress_end):
    plain = statistics(logits(0.1, 0.2, 0.6, 0.1), NO_TOKENS, END)
    read = statistics(logits(0.1, 0.2, 0.6, 0.1), NO_TOKENS, END, suppress_end)
    assert (read.tokens.item(), read.top1.item(), read.margin.item()) == (
        plain.tokens.item(),
        plain.top1.item(),
        plain.margin.item(),
    )


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_noticed(poison):
    rows = torch.zeros(2, 4)
    rows[1, 2] = poison
    assert statistics(rows, NO_TOKENS, END).is_finite.tolist() == [True, False]


def test_impossible_tokens_do_not_spoil_the_entropy():
    read = statistics(logits(0.5, 0.5, 0.0), NO_TOKENS, END)
    assert read.negative_entropy.item() == pytest.approx(math.log(0.5))


def test_bfloat16_logits_are_read_in_float32():
    sure = torch.tensor([[8.0, 1.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert statistics(sure, NO_TOKENS, END).top1.item() == pytest.approx(float(sure.float().softmax(-1)[0, 0]))


def test_rows_are_split_back_by_canvas():
    read = statistics(torch.eye(3, 4), NO_TOKENS, END)
    first, second = to_predictions(Columns.of(read), [(5, 9), (1,)])
    assert (first.positions, first.tokens) == ((5, 9), (0, 1))
    assert (second.positions, second.tokens) == ((1,), (2,))


def test_a_row_is_read_alike_alone_and_among_others():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = torch.randn(40, 126_464, generator=torch.Generator().manual_seed(3)) * 3
        together = statistics(rows, NO_TOKENS, END)
        for number in range(0, 40, 7):
            alone = statistics(rows[number : number + 1], NO_TOKENS, END)
            assert [column.item() for column in alone.columns] == [column[number].item() for column in together.columns]
    finally:
        torch.set_num_threads(before)
