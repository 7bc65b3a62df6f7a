"""The ridge kernels against their oracle: whole numbers agree to the bit where sums are exact, else by tolerance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.knn import Csr
from recengine.kernels.ridge import gram, regress, sums, sums_at, weights
from tests.oracles import knn as dense
from tests.oracles import ridge as oracle
from tests.unit.test_knn_kernel import sparse, turned

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([0, 1, 2, 7, 33, 90])


@given(SEEDS, SIZES, SIZES, st.floats(0, 1))
def test_a_gram_matrix_of_whole_numbers_equals_the_oracle_to_the_bit(seed, n_users, n_items, density):
    users = sparse(np.random.default_rng(seed), n_users, n_items, density)
    items = turned(users, n_items)
    wanted = oracle.gram(dense.dense(users, n_items))
    for threads in (1, 2):
        np.testing.assert_array_equal(gram(users, items, threads=threads), wanted)


@given(SEEDS, st.sampled_from([0, 1, 2, 63, 64, 65, 130]))
def test_weights_of_an_inverse_equal_the_oracle(seed, n):
    matrix = np.random.default_rng(seed).random((n + 3, n))
    inverse = np.linalg.inv(matrix.T @ matrix + 2 * np.eye(n)) if n else np.empty((0, 0))
    upper = np.triu(inverse) + np.tril(np.full((n, n), np.nan), -1)  # the lower triangle is not read
    upper.setflags(write=False)
    one, two = (weights(upper, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, oracle.ease(matrix, 2.0), rtol=1e-5, atol=1e-9)
    assert (np.diag(one) == 0).all()


@given(SEEDS, SIZES, st.sampled_from([1, 2, 7, 33]), st.sampled_from([1, 3, 17, 40]), st.sampled_from([0.01, 1.0, 50.0]))
def test_regressions_are_near_the_oracle(seed, n_users, n_items, k, ridge):
    rng = np.random.default_rng(seed)
    users = sparse(rng, n_users, n_items, 0.3)
    items, matrix = turned(users, n_items), dense.dense(users, n_items)
    targets = rng.permutation(n_items).astype(np.int32)
    near = np.full((n_items, k), -1, np.int32)
    for row, target in enumerate(targets):
        others = rng.permutation(np.delete(np.arange(n_items), target))[: rng.integers(0, k + 1)]
        near[row, : len(others)] = others
    near.setflags(write=False)
    got, failed = regress(users, items, targets, near, ridge)
    assert failed == 0
    np.testing.assert_array_equal(np.isnan(got), near < 0)
    for row, target in enumerate(targets):
        real = near[row][near[row] >= 0]
        np.testing.assert_allclose(got[row, : len(real)], oracle.regress(matrix, target, real, ridge), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(regress(users, items, targets, near, ridge, threads=2)[0], got)
    part = regress(users, items, targets[1::2], near[1::2], ridge, threads=2)[0]
    np.testing.assert_array_equal(part, got[1::2])


@given(SEEDS, st.sampled_from([1, 2, 9, 40]), st.sampled_from([0.5, 30.0]))
def test_regressing_on_all_others_is_the_closed_form(seed, n_items, ridge):
    users = sparse(np.random.default_rng(seed), 30, n_items, 0.4)
    everyone = np.tile(np.arange(n_items, dtype=np.int32), (n_items, 1))
    near = everyone[~np.eye(n_items, dtype=bool)].reshape(n_items, n_items - 1)
    wanted = oracle.ease(dense.dense(users, n_items), ridge)
    if n_items > 1:
        got, _ = regress(users, turned(users, n_items), np.arange(n_items, dtype=np.int32), near, ridge)
        np.testing.assert_allclose(got, wanted.T[~np.eye(n_items, dtype=bool)].reshape(near.shape), rtol=1e-4, atol=1e-6)


def test_what_cannot_be_solved_is_counted_and_the_rest_is_solved():
    twins = Csr(np.array([0, 3, 5], np.int64), np.array([0, 1, 2, 0, 2], np.int32), np.ones(5, np.float32))
    near = np.array([[0, 2], [1, -1]], np.int32)  # items 0 and 2 have the same users
    got, failed = regress(twins, turned(twins, 3), np.array([1, 0], np.int32), near, 1e-300)
    assert failed == 1
    assert np.isnan(got[0]).all()
    assert got[1, 0] == pytest.approx(1.0)


@given(SEEDS, SIZES, SIZES, st.sampled_from([0, 1, 5]), st.booleans())
def test_sums_of_dense_rows_equal_the_oracle(seed, rows, width, batch, whole):
    rng = np.random.default_rng(seed)
    matrix = (rng.integers(-3, 4, (rows, width)) if whole else rng.normal(size=(rows, width))).astype(np.float32)
    matrix.setflags(write=False)
    indptr = np.concatenate(([0], np.cumsum(rng.integers(0, 12, batch)))).astype(np.int64)
    values = rng.integers(-2, 4, indptr[-1]).astype(np.float32)
    values[rng.random(len(values)) < 0.2] = np.nan
    entries = Csr(indptr, rng.integers(-2, rows + 3, indptr[-1]).astype(np.int32), values)
    wanted = oracle.sums(entries, matrix)
    asked = np.tile(np.arange(-1, width + 2, dtype=np.int32), batch)
    ends = np.arange(batch + 1, dtype=np.int64) * (width + 3)
    got = sums(entries, matrix)
    np.testing.assert_allclose(got, wanted, rtol=0 if whole else 1e-5, atol=0 if whole else 1e-5)
    padded = np.pad(got, ((0, 0), (1, 2)), constant_values=np.nan).ravel()
    for threads in (1, 2):
        np.testing.assert_array_equal(sums(entries, matrix, threads=threads), got)
        np.testing.assert_array_equal(sums_at(entries, matrix, ends, asked, threads=threads), padded)
    for b in range(batch):
        alone = Csr(indptr[b : b + 2], entries.cols, entries.values)
        np.testing.assert_array_equal(sums(alone, matrix)[0], got[b])


def test_strided_arrays_are_read():
    matrix = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    entries = Csr(np.array([0, 2], np.int64), np.array([1, 9, 3], np.int32)[::2], np.ones(4, np.float32)[::2])
    assert sums(entries, matrix).tolist() == [(matrix[1] + matrix[3]).tolist()]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("items:", lambda c: gram(c, c._replace(indptr=np.array([0, 1, 1], np.int64), cols=c.cols[:1], values=c.values[:1]))),
        ("users.cols", lambda c: gram(c._replace(cols=np.array([0, 7], np.int32)), c)),
        ("users.indptr", lambda c: gram(c._replace(indptr=np.array([0, 1, 1], np.int64)), c)),
        ("indptr", lambda c: gram(c._replace(indptr=np.array([0, 3, 2], np.int64)), c)),
        ("users.values", lambda c: gram(c._replace(values=np.ones(2)), c)),
        ("inverse", lambda _: weights(np.ones((2, 3)))),
        ("near", lambda c: regress(c, c, np.zeros(1, np.int32), np.full((1, 1), 2, np.int32), 1.0)),
        ("near", lambda c: regress(c, c, np.zeros(2, np.int32), np.zeros((1, 1), np.int32), 1.0)),
        ("targets", lambda c: regress(c, c, np.full(1, -1, np.int32), np.ones((1, 1), np.int32), 1.0)),
        ("threads", lambda c: sums(c, np.ones((2, 2), np.float32), threads=0)),
        ("entries.indptr", lambda c: sums(c._replace(indptr=np.array([0, 5], np.int64)), np.ones((2, 2), np.float32))),
        ("matrix", lambda c: sums(c, np.ones((2, 2)))),
        ("indptr", lambda c: sums_at(c, np.ones((2, 2), np.float32), np.array([0, 1, 2], np.int64), np.zeros(1, np.int32))),
    ],
)
def test_a_wrong_array_is_named(name, call):
    with pytest.raises(ShapeError, match=name):
        call(Csr(np.array([0, 1, 2], np.int64), np.array([0, 1], np.int32), np.ones(2, np.float32)))
