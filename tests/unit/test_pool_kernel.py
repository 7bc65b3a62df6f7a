import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.pool import merge
from tests.oracles import pool as oracle


def ranked(rng, rows, width, n_items, filled):
    """Distinct items a row, some places empty."""
    out = np.full((rows, width), -1, np.int32)
    for row in out:
        n = min(width, n_items)
        row[:n] = rng.permutation(n_items)[:n]
        row[rng.random(width) > filled] = -1
    return out


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([0, 1, 2, 9]), st.lists(st.sampled_from([0, 1, 5, 70]), min_size=1, max_size=5), st.sampled_from([0, 1, 63, 64, 65, 500]),
    st.sampled_from([1, 3, 64, 1000]), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1, 2]), st.integers(0, 2**31),
)
def test_merge_equals_the_union_by_rank(rows, widths, n_items, limit, filled, threads, seed):
    rng = np.random.default_rng(seed)
    lists = [ranked(rng, rows, width, n_items, filled) for width in widths]
    for got, want in zip(merge(lists, limit=limit, n_items=n_items, threads=threads), oracle.merge(lists, limit), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_a_source_counts_even_when_the_item_came_first_from_another_and_below_the_cut():
    first, second = np.array([[7, 3]], np.int32), np.array([[9, 7]], np.int32)
    indptr, items, sources = merge([first, second], limit=2, n_items=10)
    assert (indptr.tolist(), items.tolist(), sources.tolist()) == ([0, 2], [7, 9], [0b11, 0b10])


def test_thirty_two_sources_fit_and_the_last_has_the_highest_bit():
    lists = [np.array([[s]], np.int32) for s in range(32)]
    assert merge(lists, limit=99, n_items=32)[2].tolist() == [1 << s for s in range(32)]


def test_strided_and_read_only_lists_are_taken():
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    frozen = base[::2, ::2].copy()
    frozen.flags.writeable = False
    for got, want in zip(merge([base[::2, ::2]], limit=9, n_items=24), merge([frozen], limit=9, n_items=24), strict=True):
        np.testing.assert_array_equal(got, want)


ONE = np.zeros((1, 1), np.int32)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: merge([], limit=1, n_items=1), "lists"),
        (lambda: merge([ONE] * 33, limit=1, n_items=1), "lists"),
        (lambda: merge([ONE.astype(np.int64)], limit=1, n_items=1), r"lists\[0\]"),
        (lambda: merge([ONE, np.zeros((2, 1), np.int32)], limit=1, n_items=1), r"lists\[1\]"),
        (lambda: merge([ONE, ONE + 5], limit=1, n_items=5), r"lists\[1\]"),
        (lambda: merge([ONE], limit=0, n_items=1), "limit"),
        (lambda: merge([ONE], limit=1, n_items=-1), "n_items"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
