import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.quantized import adc_topm, encode, lay_out, lloyd
from tests.oracles import quantized as oracle


@st.composite
def cases(draw):
    n, w, rows = draw(st.sampled_from([0, 1, 5, 18])), draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 31, 32, 33, 700, 2100]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    vectors = rng.standard_normal((rows, 32 * w)).astype(np.float32) * rng.lognormal(0, 1, (rows, 1)).astype(np.float32)
    if draw(st.booleans()):
        vectors = np.rint(vectors)
    centroids = (rng.standard_normal((32, 16, w)) * draw(st.sampled_from([1.0, 3.0]))).astype(np.float32)
    d = draw(st.sampled_from([1, 32 * w - 3, 32 * w]))
    rotation = np.linalg.qr(rng.standard_normal((32 * w, 32 * w)))[0][:d].astype(np.float32)
    queries = rng.standard_normal((n, d)).astype(np.float32)
    mask = (rng.random((n, rows + 5)) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(np.uint8) if draw(st.booleans()) else None
    return queries, rotation, centroids, vectors, mask


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 4), st.sampled_from([1, 2]))
def test_centroids_move_to_the_means_of_what_is_nearest(case, steps, threads):
    _, _, centroids, vectors, _ = case
    vectors = vectors[:200]
    got = lloyd(vectors, centroids, steps, threads=threads)
    np.testing.assert_array_equal(got, oracle.lloyd(vectors, centroids, steps))
    np.testing.assert_array_equal(encode(vectors, got, threads=threads), oracle.encode(vectors, got))


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 300), st.sampled_from([1, 2]), st.booleans())
def test_a_scan_of_codes_ranks_as_sums_of_table_entries_do(case, m, threads, some):
    queries, rotation, centroids, vectors, mask = case
    items = np.arange(0, len(vectors), 2 if some else 1, dtype=np.int32)
    codes = encode(vectors[items], centroids)
    got, answered = adc_topm(queries, lay_out(rotation, centroids, codes, items), len(vectors), m, mask, threads=threads)
    want_items, want_scores = oracle.adc_topm(queries, rotation, centroids, codes, items, len(vectors), m, mask)
    assert answered.all()
    np.testing.assert_array_equal(got.items, want_items)
    np.testing.assert_allclose(got.scores, want_scores, rtol=1e-6, atol=1e-6)


def test_the_answer_depends_on_neither_threads_nor_batch_and_a_query_without_a_table_is_said():
    rng = np.random.default_rng(0)
    vectors, queries = rng.standard_normal((9000, 64), dtype=np.float32), rng.standard_normal((40, 64), dtype=np.float32)
    queries[3], queries[17], queries[20] = np.nan, 0, np.inf
    centroids = rng.standard_normal((32, 16, 2), dtype=np.float32)
    laid = lay_out(np.eye(64, dtype=np.float32), centroids, encode(vectors, centroids), np.arange(9000, dtype=np.int32))
    mask = (rng.random((40, 9000)) < 0.7).astype(np.uint8)
    for hidden in (None, mask):
        one, answered = adc_topm(queries, laid, 9000, 50, hidden)
        two, _ = adc_topm(queries, laid, 9000, 50, hidden, threads=2)
        np.testing.assert_array_equal(one.items, two.items)
        np.testing.assert_array_equal(one.scores, two.scores)
        assert np.flatnonzero(answered == 0).tolist() == [3, 17, 20]
        assert (one.items[[3, 17, 20]] == -1).all()
        for q in range(40):
            single, _ = adc_topm(queries[q : q + 1], laid, 9000, 50, None if hidden is None else hidden[q : q + 1])
            np.testing.assert_array_equal(single.items[0], one.items[q])


def test_read_only_and_strided_inputs_are_taken_and_left_alone():
    wide = np.random.default_rng(0).standard_normal((80, 96)).astype(np.float32)
    strided = wide[::2, ::3]
    frozen = strided.copy()
    frozen.flags.writeable = False
    centroids = np.random.default_rng(1).standard_normal((32, 16, 1)).astype(np.float32)
    codes = encode(strided, centroids)
    np.testing.assert_array_equal(codes, encode(frozen, centroids))
    laid = lay_out(np.eye(32, dtype=np.float32), centroids, codes, np.arange(40, dtype=np.int32))
    np.testing.assert_array_equal(adc_topm(strided, laid, 40, 9)[0].items, adc_topm(frozen, laid, 40, 9)[0].items)
    np.testing.assert_array_equal(strided, frozen)


C, R = np.ones((32, 16, 1), np.float32), np.eye(32, dtype=np.float32)
LAID = lay_out(R, C, np.zeros((3, 32), np.uint8), np.arange(3, dtype=np.int32))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: encode(R.astype(np.float64), C), "rows"),
        (lambda: encode(R, C[:31]), "centroids"),
        (lambda: encode(R[:, :31], C), "rows"),
        (lambda: lloyd(R, C, 0), "steps"),
        (lambda: lloyd(R, C, 1, threads=0), "threads"),
        (lambda: lay_out(R, C, np.zeros((3, 31), np.uint8), np.arange(3, dtype=np.int32)), "codes"),
        (lambda: lay_out(R, C, np.zeros((3, 32), np.uint8), np.arange(2, dtype=np.int32)), "items"),
        (lambda: lay_out(R[:, :9], C, np.zeros((3, 32), np.uint8), np.arange(3, dtype=np.int32)), "rotation"),
        (lambda: adc_topm(R[:, :9], LAID, 3, 1), "queries"),
        (lambda: adc_topm(R, LAID, 3, 0), "m"),
        (lambda: adc_topm(R, LAID, 3, 1, np.ones((32, 2), np.uint8)), "mask"),
        (lambda: adc_topm(R, LAID, 3, 1, threads=0), "threads"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
