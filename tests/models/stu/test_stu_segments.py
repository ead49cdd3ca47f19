"""Gathering into buckets and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.models.layout import Layout
from specseq.models.stu.segments import segment_tables, tables_on
from specseq.series.batch import Segments


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=12), data=st.randoms())
@settings(max_examples=40, deadline=None)
def test_every_token_comes_back_from_exactly_one_bucket(lengths: list[int], data) -> None:
    sizes = np.array(lengths)
    starts = np.cumsum(sizes) - sizes
    order = list(range(len(lengths)))
    data.shuffle(order)
    tables = segment_tables(starts[order], sizes[order])
    x_DN = 1 + torch.arange(sizes.sum() * 2.0).view(2, -1)
    with_zero = torch.nn.functional.pad(x_DN, (0, 1))
    for reverse in (False, True):
        parts = []
        for bucket in tables.buckets:
            assert bucket.length // 2 < bucket.longest <= bucket.length or bucket.length == 8
            padded = bucket.pad(with_zero, reverse)
            assert padded.shape == (2, bucket.count, bucket.length)
            assert (padded[0] > 0).sum() == len(bucket.tokens)
            parts.append(bucket.unpad(torch.nn.functional.pad(padded, (0, 3)), reverse))
        joined_DN = torch.empty_like(x_DN)
        tables.join(parts, joined_DN)
        assert torch.equal(joined_DN, x_DN)


def test_segments_in_order_of_length_need_no_reordering() -> None:
    assert segment_tables(np.array([0, 3, 9]), np.array([3, 6, 20])).place is None
    assert segment_tables(np.array([9, 0, 3]), np.array([20, 3, 6])).place is None
    assert segment_tables(np.array([0, 60]), np.array([60, 3])).place is not None


def test_lengths_that_fit_no_bucket_are_refused() -> None:
    with pytest.raises(ValueError, match="found 0 to 3"):
        segment_tables(np.array([0, 0]), np.array([0, 3]))
    with pytest.raises(ValueError, match="found 9 to 9"):
        segment_tables(np.array([0]), np.array([9]), sizes=(4, 8))


def test_overlapping_segments_are_refused() -> None:
    with pytest.raises(ValueError, match="cover every token once"):
        segment_tables(np.array([0, 0]), np.array([2, 2]))


def test_variate_runs_are_found_in_a_stream_laid_out_by_samples() -> None:
    def table(*triples: tuple[int, int, int]) -> Segments:
        return Segments(*torch.tensor(triples).T)

    # Row 0: sample 1 with 2 variates of 3 tokens, one token of padding; row 1: samples of 2 and 5 tokens.
    layout = Layout.of(table((0, 0, 6), (1, 0, 2), (1, 2, 5)), rows=2, length=7)
    tables = tables_on(layout, table((0, 0, 3), (0, 3, 3), (1, 0, 2), (1, 2, 5)))
    runs = {
        tuple(layout.tokens[bucket.tokens[bucket.segment == number]].tolist())
        for bucket in tables.buckets
        for number in range(bucket.count)
    }
    assert runs == {(0, 1, 2), (3, 4, 5), (7, 8), (9, 10, 11, 12, 13)}
