import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.dot import sketch
from recengine.kernels.scan import bytes_topm, rescore
from tests.oracles import scan as oracle


@st.composite
def cases(draw):
    users, items, factors = draw(st.sampled_from([0, 1, 2, 5, 19])), draw(st.sampled_from([1, 7, 16, 33, 150, 700, 3000])), draw(st.sampled_from([1, 3, 4, 8, 17]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    vectors = rng.standard_normal((items, factors)).astype(np.float32) * rng.lognormal(0, 1, (items, 1)).astype(np.float32)
    queries = rng.standard_normal((users, factors)).astype(np.float32)
    if draw(st.booleans()):  # small whole numbers: many ties, and sums that no order of adding changes
        vectors, queries = np.rint(vectors), np.rint(queries * 2) + np.float32(0.0)
        queries[:, 0] = 3
    if draw(st.booleans()):
        vectors[rng.random(items) < 0.3, 0] = np.nan
    mask = (rng.random((users, items)) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(np.uint8) if draw(st.booleans()) else None
    return queries, vectors, mask


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 200), st.sampled_from([1, 2]))
def test_the_bytes_rank_as_whole_products_of_codes_do(case, m, threads):
    queries, vectors, mask = case
    got, answered = bytes_topm(queries, sketch(vectors), len(vectors), m, mask, threads=threads)
    want_items, want_scores = oracle.bytes_topm(queries, vectors, m, mask)
    assert answered.tolist() == [1] * len(queries) or np.isnan(vectors).all(axis=None) or not (~np.isnan(vectors).any(axis=1)).any()
    np.testing.assert_array_equal(got.items, want_items)
    np.testing.assert_array_equal(got.scores, want_scores)


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(1, 60), st.sampled_from([1, 2]), st.integers(0, 100))
def test_given_rows_are_put_in_their_true_order(case, n, threads, seed):
    queries, vectors, mask = case
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(np.arange(-2, len(vectors) + 2))[: rng.integers(0, 100)] for _ in queries]
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    flat = np.concatenate([np.zeros(0), *lists]).astype(np.int32)
    got = rescore(queries, vectors, indptr, flat, n, mask, threads=threads)
    items, scores = oracle.rescore(queries, vectors, indptr, flat, n, mask)
    np.testing.assert_allclose(got.scores, scores, rtol=1e-5, atol=1e-5)
    wrong = got.items != items  # only where float32 cannot tell two scores apart
    np.testing.assert_allclose(got.scores[wrong], scores[wrong], rtol=1e-5, atol=1e-5)
    assert ((got.items >= 0) == (items >= 0)).all()


def test_one_and_two_threads_give_the_same_bits_and_batches_the_same_as_single_queries():
    rng = np.random.default_rng(0)
    vectors, queries = rng.standard_normal((5000, 20), dtype=np.float32), rng.standard_normal((40, 20), dtype=np.float32)
    queries[[3, 17]] = np.nan
    mask = (rng.random((40, 5000)) < 0.7).astype(np.uint8)
    codes = sketch(vectors)
    for hidden in (None, mask):
        one, answered = bytes_topm(queries, codes, 5000, 50, hidden)
        two, _ = bytes_topm(queries, codes, 5000, 50, hidden, threads=2)
        np.testing.assert_array_equal(one.items, two.items)
        np.testing.assert_array_equal(one.scores, two.scores)
        assert np.flatnonzero(answered == 0).tolist() == [3, 17]
        for q in range(40):
            single, _ = bytes_topm(queries[q : q + 1], codes, 5000, 50, None if hidden is None else hidden[q : q + 1])
            np.testing.assert_array_equal(single.items[0], one.items[q])


def test_read_only_and_strided_inputs_are_taken_and_left_alone():
    wide = np.random.default_rng(0).standard_normal((40, 24)).astype(np.float32)
    strided = wide[::2, ::3]
    frozen = strided.copy()
    frozen.flags.writeable = False
    codes = sketch(np.ascontiguousarray(strided))
    np.testing.assert_array_equal(bytes_topm(strided, codes, 20, 5)[0].items, bytes_topm(frozen, codes, 20, 5)[0].items)
    indptr, given_ = np.arange(21, dtype=np.int64) * 2, np.tile(np.array([3, 4], np.int32), 20)
    np.testing.assert_array_equal(rescore(strided, frozen, indptr, given_, 2).items, rescore(frozen, strided, indptr, given_, 2).items)
    np.testing.assert_array_equal(strided, frozen)


Q, V = np.ones((2, 4), np.float32), np.ones((9, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bytes_topm(Q.astype(np.float64), sketch(V), 9, 1), "queries"),
        (lambda: bytes_topm(np.ones((2, 9), np.float32), sketch(V), 9, 1), "queries"),
        (lambda: bytes_topm(Q, sketch(V), 9, 0), "m"),
        (lambda: bytes_topm(Q, sketch(V), 9, 1, np.ones((2, 8), np.uint8)), "mask"),
        (lambda: bytes_topm(Q, sketch(V), 9, 1, threads=0), "threads"),
        (lambda: rescore(Q, V[:, :3], np.array([0, 0, 0]), np.zeros(0, np.int32), 1), "rows"),
        (lambda: rescore(Q, V, np.array([0, 2, 1]), np.zeros(1, np.int32), 1), "indptr"),
        (lambda: rescore(Q, V, np.array([0, 0]), np.zeros(0, np.int32), 1), "indptr"),
        (lambda: rescore(Q, V, np.array([0, 0, 1]), np.zeros(1), 1), "given"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
