import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.topk import topk, topk_ragged
from tests.oracles import topk as oracle

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, 1e-38, np.inf, -np.inf, np.nan])


@st.composite
def rows(draw):
    users, items = draw(st.integers(0, 4)), draw(st.sampled_from([0, 1, 7, 16, 33, 150]))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((users, items)).astype(np.float32)
    if draw(st.booleans()):
        scores = np.round(scores)
    if draw(st.booleans()) and scores.size:
        scores[rng.random(scores.shape) < 0.4] = draw(VALUES)
    mask = (rng.random((users, items)) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(np.uint8)
    return scores, mask if draw(st.booleans()) else None


@settings(max_examples=300, deadline=None)
@given(rows(), st.integers(1, 200), st.sampled_from([1, 2]))
def test_topk_equals_a_full_stable_sort(data, n, threads):
    scores, mask = data
    got = topk(scores, n, mask, threads=threads)
    items, best = oracle.topk(scores, n, mask)
    np.testing.assert_array_equal(got.items, items)
    np.testing.assert_array_equal(got.scores, best)


@settings(max_examples=200, deadline=None)
@given(rows(), st.integers(1, 40), st.sampled_from([1, 2]), st.integers(0, 100))
def test_topk_ragged_equals_a_sort_of_every_row(data, n, threads, seed):
    flat = data[0].ravel()
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(flat) + 1, 5))
    indptr = np.concatenate([[0], cuts, [len(flat)]]).astype(np.int64)
    kept, positions = topk_ragged(flat, indptr, n, threads=threads)
    want_kept, want = oracle.topk_ragged(flat, indptr, n)
    np.testing.assert_array_equal(kept, want_kept)
    np.testing.assert_array_equal(positions, want)


def test_ascending_scores_and_many_items_keep_the_last():
    scores = np.arange(100_000, dtype=np.float32)[None]
    assert topk(scores, 3).items.tolist() == [[99_999, 99_998, 99_997]]


def test_read_only_and_strided_inputs_are_taken_and_left_alone():
    wide = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    strided = wide[::2, ::3]
    frozen = strided.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(topk(strided, 5).items, topk(frozen, 5).items)
    np.testing.assert_array_equal(strided, frozen)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: topk(np.zeros((2, 3)), 1), "scores"),
        (lambda: topk(np.zeros(3, np.float32), 1), "scores"),
        (lambda: topk([[1.0]], 1), "scores"),
        (lambda: topk(np.zeros((2, 3), np.float32), 1, np.ones((2, 4), np.uint8)), "mask"),
        (lambda: topk(np.zeros((2, 3), np.float32), 0), "n"),
        (lambda: topk(np.zeros((2, 3), np.float32), 1, threads=0), "threads"),
        (lambda: topk_ragged(np.zeros(3, np.float32), np.array([0, 2]), 1), "indptr"),
        (lambda: topk_ragged(np.zeros(3, np.float32), np.array([0, 4, 3]), 1), "indptr"),
        (lambda: topk_ragged(np.zeros(3, np.float32), np.array([1, 3]), 1), "indptr"),
        (lambda: topk_ragged(np.zeros(3, np.float32), np.array([], np.int64), 1), "indptr"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
