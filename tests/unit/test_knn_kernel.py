"""The nearest-neighbour kernels against their oracle.

Small whole numbers make float32 sums exact, so picks and ties must agree to the bit; real values are held by tolerance.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.knn import Csr, neighbors, sum_at, sum_top, unit_rows
from tests.oracles import knn as oracle

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([0, 1, 2, 7, 33, 90])


def sparse(rng, rows, cols, density, largest=4):
    """Draw sparse rows with whole values 1..largest, columns in any order."""
    kept = [rng.permutation(cols)[: rng.binomial(cols, density)] for _ in range(rows)]
    indptr = np.concatenate(([0], np.cumsum([len(k) for k in kept]))).astype(np.int64)
    flat = np.concatenate([*kept, np.empty(0)]).astype(np.int32)
    return frozen(Csr(indptr, flat, rng.integers(1, largest + 1, len(flat)).astype(np.float32)))


def frozen(csr):
    for array in csr:
        array.setflags(write=False)
    return csr


def turned(csr, n_cols):
    full = oracle.dense(csr, n_cols).T
    indptr = np.concatenate(([0], np.cumsum((full > 0).sum(axis=1)))).astype(np.int64)
    return Csr(indptr, np.nonzero(full)[1].astype(np.int32), full[full > 0].astype(np.float32))


@given(SEEDS, SIZES, SIZES, st.floats(0, 1), st.sampled_from([1, 3, 40, 300]), st.sampled_from([1, 4]))
def test_neighbors_of_whole_numbers_equal_the_oracle_to_the_bit(seed, members, features, density, k, largest):
    rng = np.random.default_rng(seed)
    rows = sparse(rng, members, features, density, largest)
    own = np.where(rng.random(members) < 0.8, np.arange(members), -1).astype(np.int32)
    ones = np.ones(members, np.float32)
    got = [neighbors(rows, own, ones, turned(rows, features), ones, k, threads=t) for t in (1, 2)]
    full = oracle.dense(rows, features)
    items, scores = oracle.best(oracle.similarities(full, own, ones, full, ones, 0), np.ones((members, members)), k)
    for best in got:
        np.testing.assert_array_equal(best.items, items)
        np.testing.assert_array_equal(best.scores, scores)


@given(SEEDS, SIZES, st.sampled_from([0.0, 0.5, 10.0]), st.sampled_from(["plain", "tfidf", "bm25"]))
def test_shrunk_cosines_are_near_the_oracle(seed, members, shrinkage, weighting):
    rng = np.random.default_rng(seed)
    features, k = 20, 5
    rows = sparse(rng, members, features, 0.3)
    rarity = rng.random(features).astype(np.float32) + np.float32(0.1)
    values, norms = unit_rows(rows, rarity, weighting=weighting, average=3.0)
    unit = Csr(rows.indptr, rows.cols, values)
    wanted, lengths = oracle.unit_rows(oracle.dense(rows, features), rarity, weighting, 3.0)
    np.testing.assert_allclose(oracle.dense(unit, features), wanted, rtol=1e-6)
    np.testing.assert_allclose(norms, lengths, rtol=1e-6)
    own = np.arange(members, dtype=np.int32)
    best = neighbors(unit, own, norms, turned(unit, features), norms, k, shrinkage=shrinkage)
    full = oracle.similarities(wanted, own, norms, wanted, norms, shrinkage)
    for r in range(members):
        found = best.items[r][best.items[r] >= 0]
        assert len(found) == min(k, np.count_nonzero(full[r] > 0)) == len(set(found.tolist()))
        np.testing.assert_allclose(best.scores[r, : len(found)], full[r, found], rtol=1e-5)
        pairs = list(zip(-best.scores[r, : len(found)], found, strict=True))
        assert pairs == sorted(pairs)
        rest = np.delete(full[r], found)
        assert len(found) == 0 or rest.max(initial=0) <= best.scores[r, len(found) - 1] * (1 + 1e-5)


@given(SEEDS, SIZES, SIZES, st.sampled_from([0, 1, 5]), st.floats(0, 1), st.sampled_from([1, 10, 200]))
def test_sums_equal_the_oracle_to_the_bit(seed, matrix_rows, n_cols, batch, density, n):
    rng = np.random.default_rng(seed)
    matrix = sparse(rng, matrix_rows, n_cols, density)
    lengths = rng.integers(0, 12, batch)
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    weights = rng.integers(-2, 4, indptr[-1]).astype(np.float32)
    weights[rng.random(len(weights)) < 0.2] = np.nan
    entries = frozen(Csr(indptr, rng.integers(-2, matrix_rows + 3, indptr[-1]).astype(np.int32), weights))
    mask = (rng.random((batch, n_cols + 2)) < 0.7).astype(np.uint8)
    known = (rng.random(n_cols) < 0.8).astype(np.uint8)
    full = oracle.dense(entries, matrix_rows) @ oracle.dense(matrix, n_cols)
    items, scores = oracle.best(full, mask, n)
    asked = np.tile(np.arange(-1, n_cols + 2, dtype=np.int32), batch)
    ends = np.arange(batch + 1, dtype=np.int64) * (n_cols + 3)
    padded = np.where(np.append(known, 0)[:-1] == 1, full, np.nan)
    wanted = np.pad(padded, ((0, 0), (1, 2)), constant_values=np.nan).ravel()
    for threads in (1, 2):
        best = sum_top(entries, matrix, n_cols, mask, n, threads=threads)
        np.testing.assert_array_equal(best.items, items)
        np.testing.assert_array_equal(best.scores, scores)
        np.testing.assert_array_equal(sum_at(entries, matrix, known, ends, asked, threads=threads), wanted)


def test_crowded_and_sparse_rows_agree_and_leave_the_sums_cleared():
    rng = np.random.default_rng(3)
    members = 500
    rows = sparse(rng, members, 40, 0.5)  # every row meets all members: they are read as a whole
    thin = Csr(np.arange(members + 1, dtype=np.int64), rows.cols[rows.indptr[:-1]], rows.values[rows.indptr[:-1]])
    own, ones = np.full(members, -1, np.int32), np.ones(members, np.float32)
    for few in (rows, thin, rows):
        full = oracle.dense(few, 40) @ oracle.dense(few, 40).T
        items, scores = oracle.best(full, np.ones(full.shape), 130)
        best = neighbors(few, own, ones, turned(few, 40), ones, 130, threads=2)
        np.testing.assert_array_equal(best.items, items)
        np.testing.assert_array_equal(best.scores, scores)


def test_many_picks_among_equals_come_in_order_of_their_rows():
    matrix = Csr(
        np.array([0, 3000], np.int64),
        np.random.default_rng(0).permutation(3000).astype(np.int32),
        np.ones(3000, np.float32),
    )
    entry = Csr(np.array([0, 1], np.int64), np.zeros(1, np.int32), np.ones(1, np.float32))
    for n in (1, 129, 1000, 3000, 3500):
        best = sum_top(entry, matrix, 3000, np.ones((1, 3000), np.uint8), n)
        assert best.items[0, : min(n, 3000)].tolist() == list(range(min(n, 3000)))
        assert np.isnan(best.scores[0, 3000:]).all()


def test_a_row_without_a_usable_entry_has_norm_zero_and_no_neighbors():
    rows = Csr(np.array([0, 2, 2], np.int64), np.array([0, 9], np.int32), np.array([-1, 2], np.float32))
    values, norms = unit_rows(rows, np.ones(3, np.float32), weighting="tfidf", average=1.0)
    assert values.tolist() == [0, 0]
    assert norms.tolist() == [0, 0]
    postings = Csr(np.array([0, 1, 1, 1], np.int64), np.zeros(1, np.int32), np.ones(1, np.float32))
    best = neighbors(
        Csr(rows.indptr, rows.cols, values), np.full(2, -1, np.int32), norms, postings, np.ones(1, np.float32), 2
    )
    assert best.items.tolist() == [[-1, -1], [-1, -1]]


def test_strided_arrays_are_read():
    cols, values = np.arange(20, dtype=np.int32)[::2], np.ones(20, np.float32)[::2]
    matrix = Csr(np.array([0, 10], np.int64), cols, values)
    entry = Csr(np.array([0, 1], np.int64), np.zeros(1, np.int32), np.ones(1, np.float32))
    mask = np.ones((1, 40), np.uint8)[:, ::2]
    assert sum_top(entry, matrix, 20, mask, 3).items.tolist() == [[0, 2, 4]]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("mask", lambda c: sum_top(c, c, 4, np.ones((1, 3), np.uint8), 1)),
        ("mask", lambda c: sum_top(c, c, 4, np.ones((1, 4), np.int8), 1)),
        ("n:", lambda c: sum_top(c, c, 4, np.ones((1, 4), np.uint8), 0)),
        (
            "entries.values",
            lambda c: sum_top(c._replace(values=np.ones(2, np.float64)), c, 4, np.ones((1, 4), np.uint8), 1),
        ),
        (
            "entries.indptr",
            lambda c: sum_top(c._replace(indptr=np.array([0, 5], np.int64)), c, 4, np.ones((1, 4), np.uint8), 1),
        ),
        (
            "indptr",
            lambda c: sum_top(c._replace(indptr=np.array([0, 3, 2], np.int64)), c, 4, np.ones((2, 4), np.uint8), 1),
        ),
        ("cols", lambda c: sum_at(c, c, np.ones(4, np.uint8), np.array([0, 1], np.int64), np.zeros(1, np.int64))),
        ("indptr", lambda c: sum_at(c, c, np.ones(4, np.uint8), np.array([0, 2], np.int64), np.zeros(1, np.int32))),
        ("own", lambda c: neighbors(c, np.zeros(2, np.int32), np.ones(1, np.float32), c, np.ones(4, np.float32), 1)),
        (
            "threads",
            lambda c: neighbors(
                c, np.zeros(1, np.int32), np.ones(1, np.float32), c, np.ones(4, np.float32), 1, threads=0
            ),
        ),
    ],
)
def test_a_wrong_array_is_named(name, call):
    with pytest.raises(ShapeError, match=name):
        call(Csr(np.array([0, 2], np.int64), np.array([0, 3], np.int32), np.ones(2, np.float32)))
