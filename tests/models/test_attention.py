"""Segments of packed canvases, and the same ones as bounds for a kernel of variable lengths."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tie_core.models.attention import Segment, attend, bounds_of, segments_of, takes_variable_lengths

CPU = torch.device("cpu")


def test_neighbours_of_one_length_are_one_segment():
    assert segments_of([5, 5, 3, 5]) == (
        Segment(2, 5, 5, first_query=0, first_key=0),
        Segment(1, 3, 3, first_query=10, first_key=10),
        Segment(1, 5, 5, first_query=13, first_key=13),
    )


def test_bounds_are_the_ends_of_every_canvas():
    bounds = bounds_of(segments_of([5, 5, 3]), CPU)
    assert bounds.queries.tolist() == bounds.keys.tolist() == [0, 5, 10, 13]
    assert (bounds.most_queries, bounds.most_keys) == (5, 5)
    assert bounds.queries.dtype == torch.int32


def test_keys_that_nobody_reads_become_a_sequence_without_queries():
    bounds = bounds_of([Segment(1, 4, 10, 0, 6), Segment(1, 2, 3, 4, 16), Segment(1, 1, 5, 6, 30)], CPU)
    assert bounds.queries.tolist() == [0, 0, 4, 6, 6, 7]
    assert bounds.keys.tolist() == [0, 6, 16, 19, 30, 35]
    assert (bounds.most_keys, bounds.keys_end) == (11, 35)


@pytest.mark.parametrize("num_key_heads", [4, 2])
def test_a_window_attends_to_its_whole_canvas_and_to_no_other(num_key_heads):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 16, 8, generator=generator)  # 4 + 2 positions and filler
    key, value = (torch.randn(1, num_key_heads, 40, 8, generator=generator) for _ in range(2))
    segments = [Segment(1, 4, 10, 0, 6), Segment(1, 2, 20, 4, 20)]

    attended, _ = attend(torch.nn.Module(), query, key, value, None, scaling=0.3, segments=segments)

    for rows, keys in ((slice(4), slice(6, 16)), (slice(4, 6), slice(20, 40))):
        wanted = scaled_dot_product_attention(
            query[:, :, rows], key[:, :, keys], value[:, :, keys], scale=0.3, enable_gqa=True
        )
        torch.testing.assert_close(attended[:, rows], wanted.transpose(1, 2))
    assert not attended[:, 6:].any()


def test_the_kernel_of_variable_lengths_is_for_cuda_in_16_bits():
    assert not takes_variable_lengths(CPU, torch.bfloat16)


@pytest.mark.gpu
@pytest.mark.parametrize("num_key_heads", [4, 2])
def test_both_ways_to_attend_agree(num_key_heads):
    device = torch.device("cuda:0")
    assert takes_variable_lengths(device, torch.bfloat16)
    query = torch.randn(1, 4, 16, 64, device=device, dtype=torch.bfloat16)
    key, value = (torch.randn(1, num_key_heads, 40, 64, device=device, dtype=torch.bfloat16) for _ in range(2))
    segments = [Segment(1, 4, 10, 0, 6), Segment(1, 2, 20, 4, 20)]
    module = torch.nn.Module()

    each, _ = attend(module, query, key, value, None, scaling=0.125, segments=segments)
    together, _ = attend(
        module, query, key, value, None, scaling=0.125, segments=segments, bounds=bounds_of(segments, device)
    )

    torch.testing.assert_close(together, each, atol=2e-2, rtol=2e-2)
