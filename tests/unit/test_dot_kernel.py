import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.dot import dot_ragged, dot_topk, pack
from tests.oracles import dot as oracle

USERS = st.sampled_from([0, 1, 2, 5, 12, 13, 40, 130])
ITEMS = st.sampled_from([0, 1, 15, 16, 17, 64, 65, 300])
FACTORS = st.sampled_from([0, 1, 3, 16, 64])


def whole(rng, shape):
    """Small whole numbers: every sum is exact in float32, so ties are real and the oracle must agree bit for bit."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def every_pair(queries, packed):
    users = len(queries)
    indptr = np.arange(users + 1, dtype=np.int64) * packed.n
    return dot_ragged(queries, packed, indptr, np.tile(np.arange(packed.n, dtype=np.int32), users)).reshape(users, -1)


@settings(max_examples=200, deadline=None)
@given(USERS, ITEMS, FACTORS, st.integers(1, 70), st.sampled_from([1, 2]), st.sampled_from([None, 0.02, 0.5, 1.0]), st.integers(0, 2**31))
def test_dot_topk_equals_the_sorted_matrix_product(users, items, factors, n, threads, allowed, seed):
    rng = np.random.default_rng(seed)
    queries, vectors = whole(rng, (users, factors)), whole(rng, (items, factors))
    if factors:
        queries[rng.random(users) < 0.1, 0] = np.nan
        vectors[rng.random(items) < 0.1] = np.nan
    mask = None if allowed is None else (rng.random((users, items + 3)) < allowed).astype(np.uint8)
    got = dot_topk(queries, pack(vectors), n, mask, threads=threads)
    want_items, want_scores = oracle.dot_topk(queries, vectors, n, mask)
    np.testing.assert_array_equal(got.items, want_items)
    np.testing.assert_array_equal(got.scores, want_scores)


@settings(max_examples=100, deadline=None)
@given(USERS, ITEMS, FACTORS, st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_dot_ragged_equals_the_formula_and_unknown_items_score_nan(users, items, factors, threads, seed):
    rng = np.random.default_rng(seed)
    queries, vectors = whole(rng, (users, factors)), whole(rng, (items, factors))
    if factors:
        vectors[rng.random(items) < 0.2] = np.nan
        queries[rng.random(users) < 0.2] = np.nan
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 50, users))]).astype(np.int64)
    asked = rng.integers(-2, items + 2, indptr[-1]).astype(np.int32)
    got = dot_ragged(queries, pack(vectors), indptr, asked, threads=threads)
    np.testing.assert_array_equal(got, oracle.dot_ragged(queries, vectors, indptr, asked))


@pytest.mark.parametrize("factors", [1, 7, 64, 100])
def test_one_pair_has_the_same_bits_in_every_batch_tile_and_thread(factors):
    rng = np.random.default_rng(factors)
    queries = rng.standard_normal((61, factors)).astype(np.float32)
    packed = pack(rng.standard_normal((333, factors)).astype(np.float32))
    mask = (rng.random((61, 340)) < 0.7).astype(np.uint8)
    whole_batch = dot_topk(queries, packed, 333, mask)
    scores = every_pair(queries, packed)
    for threads in (1, 2):
        for size in (1, 2, 12, 13, 24, 61):
            for start in range(0, 61, size):
                rows = slice(start, start + size)
                got = dot_topk(queries[rows], packed, 333, mask[rows], threads=threads)
                np.testing.assert_array_equal(got.items, whole_batch.items[rows])
                np.testing.assert_array_equal(got.scores.view(np.int32), whole_batch.scores[rows].view(np.int32))
    for row in range(61):
        picked = whole_batch.items[row]
        picked = picked[picked >= 0]
        assert len(picked) == mask[row, :333].sum()
        np.testing.assert_array_equal(whole_batch.scores[row, : len(picked)], scores[row, picked])


def test_scores_agree_with_float64_to_rounding():
    rng = np.random.default_rng(3)
    queries, vectors = rng.standard_normal((5, 64)).astype(np.float32), rng.standard_normal((500, 64)).astype(np.float32)
    np.testing.assert_allclose(every_pair(queries, pack(vectors)), oracle.scores(queries, vectors), atol=2e-5)


def test_a_query_with_nan_picks_nothing():
    queries = np.ones((2, 4), np.float32)
    queries[1, 3] = np.nan
    got = dot_topk(queries, pack(np.ones((20, 4), np.float32)), 3)
    assert got.items.tolist() == [[0, 1, 2], [-1, -1, -1]]
    assert np.isnan(got.scores[1]).all()


def test_packed_vectors_do_not_follow_later_writes_and_are_read_only():
    vectors = np.ones((4, 2), np.float32)
    packed = pack(vectors)
    vectors[:] = 9
    assert dot_topk(np.ones((1, 2), np.float32), packed, 1).scores.tolist() == [[2.0]]
    assert not packed.rows.flags.writeable
    assert not packed.panels.flags.writeable


def test_strided_and_read_only_inputs_are_taken():
    rng = np.random.default_rng(0)
    vectors, queries = whole(rng, (50, 12)), whole(rng, (6, 12))
    frozen = queries[::2, ::3].copy()
    frozen.flags.writeable = False
    strided = dot_topk(queries[::2, ::3], pack(vectors[:, ::3]), 5, np.ones((6, 50), np.uint8)[::2])
    np.testing.assert_array_equal(strided.items, dot_topk(frozen, pack(vectors[:, ::3].copy()), 5).items)


ONE = pack(np.ones((3, 2), np.float32))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: pack(np.ones((3, 2))), "vectors"),
        (lambda: pack(np.ones(3, np.float32)), "vectors"),
        (lambda: dot_topk(np.ones((1, 3), np.float32), ONE, 1), "queries"),
        (lambda: dot_topk(np.ones((1, 2), np.float32), ONE, 1, np.ones((1, 2), np.uint8)), "mask"),
        (lambda: dot_topk(np.ones((1, 2), np.float32), ONE, 1, np.ones((2, 3), np.uint8)), "mask"),
        (lambda: dot_topk(np.ones((1, 2), np.float32), ONE, 1, np.ones((1, 3), bool)), "mask"),
        (lambda: dot_topk(np.ones((1, 2), np.float32), ONE, -1), "n"),
        (lambda: dot_ragged(np.ones((1, 2), np.float32), ONE, np.array([0, 2]), np.array([0], np.int32)), "indptr"),
        (lambda: dot_ragged(np.ones((1, 2), np.float32), ONE, np.array([0, 1, 1]), np.array([0], np.int32)), "indptr"),
        (lambda: dot_ragged(np.ones((1, 2), np.float32), ONE, np.array([0, 1]), np.array([0])), "items"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
