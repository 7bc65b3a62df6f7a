from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.mmr import mmr
from tests.oracles import mmr as oracle

WEIGHTS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])


def unit(rng, n, d, kinds):
    """Unit vectors around `kinds` centres, some of them zero rows."""
    centres = rng.standard_normal((kinds, d))
    vectors = centres[rng.integers(0, kinds, n)] + 0.3 * rng.standard_normal((n, d))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    vectors[rng.random(n) < 0.1] = 0
    return vectors.astype(np.float32)


def relevances(rng, n, levels, missing, ranked):
    relevance = rng.standard_normal(n) * 5 if levels == 0 else rng.integers(0, levels, n)
    relevance = np.sort(relevance)[::-1] if ranked else relevance
    return np.where(rng.random(n) < missing, np.nan, relevance).astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 15, 16, 17, 90]), min_size=0, max_size=4), st.sampled_from([1, 3, 16, 20]), st.sampled_from([1, 5, 30, 100]),
    WEIGHTS, st.sampled_from([0, 1, 3]), st.sampled_from([0.0, 0.2, 1.0]), st.booleans(), st.integers(0, 2**31),
)
def test_every_pick_is_the_best_by_the_formula(lengths, d, n, weight, levels, missing, ranked, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng, 60, d, 4)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = rng.integers(-1, 70, indptr[-1]).astype(np.int32)
    relevance = np.concatenate([relevances(rng, n, levels, missing, ranked) for n in lengths] or [np.zeros(0, np.float32)]).astype(np.float32)
    weights = np.full(len(lengths), weight, np.float32)
    picks = mmr(items, relevance, indptr, vectors, n, weights)
    np.testing.assert_array_equal(picks, mmr(items, relevance, indptr, vectors, n, weights, threads=2))
    for row, (start, stop) in enumerate(pairwise(indptr)):
        own, rel = items[start:stop], relevance[start:stop]
        got = picks[row][picks[row] >= 0] - start
        assert len(got) == len(set(got.tolist())) == min(n, (~np.isnan(rel)).sum())
        assert (picks[row, len(got) :] == -1).all()
        if len(got):
            assert got[0] == np.nanargmax(rel)
        for step in range(1, len(got)):
            gain = oracle.gains(own, rel, vectors, float(np.float32(weight)), got[:step].tolist())
            assert gain[got[step]] >= np.nanmax(gain) - 2e-6


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1, 16, 40, 100]), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.sampled_from([1, 2, 5]), st.booleans(), st.integers(0, 2**31))
def test_ties_go_to_the_earlier_position_when_all_sums_are_exact(length, weight, levels, ranked, seed):
    rng = np.random.default_rng(seed)
    vectors = np.eye(8, dtype=np.float32)[rng.integers(0, 8, 50)] * rng.choice([1, -1, 0], (50, 1)).astype(np.float32)
    items = rng.integers(0, 55, length).astype(np.int32)
    relevance = relevances(rng, length, levels, 0.1, ranked)
    if np.isnan(relevance).all():
        relevance[0] = 1
    got = mmr(items, relevance, np.array([0, length]), vectors, 30, np.array([weight], np.float32))
    np.testing.assert_array_equal(got[0], oracle.mmr_row(items, relevance, vectors, 30, weight))


def test_weight_one_gives_exactly_the_order_of_relevance_even_where_scaling_would_make_ties():
    relevance = np.float32(1) + np.arange(300, dtype=np.float32) * np.float32(2**-23)
    relevance[7] = -1e6
    picks = mmr(np.zeros(300, np.int32), relevance, np.array([0, 300]), np.ones((1, 1), np.float32), 300, np.ones(1, np.float32))
    np.testing.assert_array_equal(picks[0], np.argsort(-relevance, kind="stable"))


def test_a_row_has_the_same_picks_alone_and_in_a_batch():
    rng = np.random.default_rng(5)
    vectors, indptr = unit(rng, 400, 32, 10), np.arange(6, dtype=np.int64) * 77
    items, relevance = rng.integers(0, 400, 385).astype(np.int32), rng.standard_normal(385).astype(np.float32)
    weights = np.array([0.1, 0.5, 0.7, 0.9, 1.0], np.float32)
    together = mmr(items, relevance, indptr, vectors, 20, weights)
    for row in range(5):
        part = slice(indptr[row], indptr[row + 1])
        alone = mmr(items[part], relevance[part], np.array([0, 77]), vectors, 20, weights[row : row + 1])
        np.testing.assert_array_equal(alone[0] + indptr[row], together[row])


def test_infinite_relevance_ranks_at_the_ends():
    relevance = np.array([0, np.inf, -np.inf, 1], np.float32)
    picks = mmr(np.arange(4, dtype=np.int32), relevance, np.array([0, 4]), np.zeros((0, 3), np.float32), 4, np.array([0.5], np.float32))
    assert picks.tolist() == [[1, 3, 0, 2]]


def test_strided_and_read_only_inputs_are_taken():
    rng = np.random.default_rng(0)
    vectors, items, relevance = unit(rng, 40, 12, 3), np.arange(40, dtype=np.int32), rng.standard_normal(40).astype(np.float32)
    frozen = vectors[:, ::2].copy()
    frozen.flags.writeable = False
    weight, indptr = np.array([0.6], np.float32), np.array([0, 20])
    np.testing.assert_array_equal(
        mmr(items[::2], relevance[::2], indptr, vectors[:, ::2], 9, weight), mmr(items[::2].copy(), relevance[::2].copy(), indptr, frozen, 9, weight)
    )


K, F, P, V, W = np.zeros(3, np.int32), np.zeros(3, np.float32), np.array([0, 3]), np.ones((2, 2), np.float32), np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((K.astype(np.int64), F, P, V, 1, W), "items"),
        ((K, F[:2], P, V, 1, W), "relevance"),
        ((K, F, np.array([0, 2]), V, 1, W), "indptr"),
        ((K, F, np.array([0, 4, 3]), V, 1, np.ones(2, np.float32)), "indptr"),
        ((K, F, P, V.ravel(), 1, W), "vectors"),
        ((K, F, P, V, 0, W), "n"),
        ((K, F, P, V, 1, np.ones(2, np.float32)), "relevance_weight"),
        ((K, F, P, V, 1, W * 1.5), "relevance_weight"),
        ((K, F, P, V, 1, W * np.nan), "relevance_weight"),
    ],
)
def test_a_wrong_argument_is_named(arguments, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        mmr(*arguments)
