"""Sparse rows times dense matrices, and non-negative least squares, against their oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels import sparse as kernel
from tests.oracles import sparse as oracle


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "WORK_OF_A_THREAD", 1)
        yield


@st.composite
def problems(draw):
    """Ragged entries over few or many rows, some outside, some NaN; widths that take each size of register block."""
    n, m = draw(st.sampled_from([0, 1, 7, 150])), draw(st.sampled_from([0, 1, 5, 40]))
    width = draw(st.sampled_from([16, 32, 64, 80, 144, 240]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    dense = rng.standard_normal((m, width)).astype(np.float32)
    dense[rng.random(m) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    lengths = rng.integers(0, 12, n)
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    items = rng.integers(-1 if draw(st.booleans()) else 0, m + 2, indptr[-1]).astype(np.int32)
    weights = rng.choice([1.0, 0.5, 3.0, -1.0, 0.0], indptr[-1]).astype(np.float32)
    return dense, indptr, items, weights


@settings(max_examples=120, deadline=None)
@given(problems(), st.booleans())
def test_a_product_is_the_sum_of_its_entries_for_any_threads(problem, cold_nan):
    alone = kernel.product(*problem, cold_nan=cold_nan)
    np.testing.assert_allclose(alone, oracle.product(*problem, cold_nan=cold_nan), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(kernel.product(*problem, cold_nan=cold_nan, threads=2), alone)


@settings(max_examples=30, deadline=None)
@given(problems())
def test_a_row_alone_has_the_bits_it_has_in_a_batch(problem):
    dense, indptr, items, weights = problem
    whole = kernel.product(*problem)
    for row in range(0, len(indptr) - 1, 5):
        mine = slice(indptr[row], indptr[row + 1])
        one = kernel.product(dense, np.array([0, indptr[row + 1] - indptr[row]]), items[mine], weights[mine])
        np.testing.assert_array_equal(one[0], whole[row])


@st.composite
def least_squares(draw):
    """Gram matrices of every rank, with coordinates that nothing speaks about."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    real, rows = draw(st.integers(1, 6)), draw(st.sampled_from([0, 1, 3, 70]))
    factors = rng.standard_normal((draw(st.sampled_from([1, 3, 20])), real)) + draw(st.sampled_from([0.0, 1.0]))
    factors = factors if draw(st.booleans()) else np.abs(factors)
    gram, targets = np.zeros((16, 16), np.float32), np.zeros((rows, 16), np.float32)
    gram[:real, :real] = factors.T @ factors
    targets[:, :real] = rng.standard_normal((rows, len(factors))) @ factors
    start = np.abs(rng.standard_normal((rows, 16))).astype(np.float32) if draw(st.booleans()) else np.zeros((rows, 16), np.float32)
    return gram, targets, start, draw(st.sampled_from([0.0, 0.1])), draw(st.sampled_from([0.0, 0.5])), real


@settings(max_examples=80, deadline=None)
@given(least_squares())
def test_descent_reaches_the_least_of_all_feasible_minima(problem):
    gram, targets, start, l1, l2, real = problem
    out, again = start.copy(), start.copy()
    kernel.nonnegative(gram, targets, out, l1=l1, l2=l2, sweeps=3000, tolerance=1e-7)
    kernel.nonnegative(gram, targets, again, l1=l1, l2=l2, sweeps=3000, tolerance=1e-7, threads=2)
    np.testing.assert_array_equal(out, again)
    assert (out >= 0).all()
    for target, x in list(zip(targets, out, strict=True))[:3]:
        best = oracle.nonnegative(gram[:real, :real], target[:real], l1, l2)
        least = oracle.loss(gram[:real, :real], target[:real], best, l1, l2)
        got = oracle.loss(gram[:real, :real], target[:real], x[:real], l1, l2)
        assert got <= least + 2e-3 * (1 + abs(least))


@settings(max_examples=40, deadline=None)
@given(least_squares())
def test_a_sweep_never_raises_the_loss(problem):
    gram, targets, x, l1, l2, _ = problem
    for _ in range(4):
        before = [oracle.loss(gram, c, r, l1, l2) for c, r in zip(targets, x, strict=True)]
        kernel.nonnegative(gram, targets, x, l1=l1, l2=l2, sweeps=1)
        after = [oracle.loss(gram, c, r, l1, l2) for c, r in zip(targets, x, strict=True)]
        assert all(b <= a + 1e-4 * (1 + abs(a)) for a, b in zip(before, after, strict=True))


def test_a_target_that_is_nan_gives_nan_and_leaves_its_neighbours_alone():
    gram, targets = np.eye(16, dtype=np.float32), np.ones((2, 16), np.float32)
    targets[0] = np.nan
    out = np.zeros((2, 16), np.float32)
    kernel.nonnegative(gram, targets, out)
    assert np.isnan(out[0]).all()
    np.testing.assert_array_equal(out[1], 1)


def test_read_only_and_strided_inputs_are_taken_and_left_alone():
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((10, 32)).astype(np.float32)
    strided = wide[::2, ::2]
    entries = np.array([0, 2], np.int64), np.array([4, 1], np.int32), np.array([2, 1], np.float32)
    frozen = strided.copy()
    for array in (frozen, *entries):
        array.setflags(write=False)
    np.testing.assert_array_equal(kernel.product(strided, *entries), kernel.product(frozen, *entries))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dense": np.zeros((3, 15), np.float32)}, "dense"),
        ({"dense": np.zeros((3, 16))}, "dense"),
        ({"items": np.zeros(2, np.int64)}, "items"),
        ({"weights": np.zeros(3, np.float32)}, "weights"),
        ({"indptr": np.array([0, 3])}, "indptr"),
        ({"indptr": np.array([1, 2])}, "indptr"),
        ({"indptr": np.empty(0, np.int64)}, "indptr"),
    ],
)
def test_a_product_of_what_does_not_fit_is_refused_by_name(change, named):
    fits = {"dense": np.zeros((3, 16), np.float32), "indptr": np.array([0, 2]), "items": np.zeros(2, np.int32), "weights": np.zeros(2, np.float32)}
    kernel.product(**fits)
    with pytest.raises(ShapeError, match=named):
        kernel.product(**fits | change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gram": np.zeros((16, 32), np.float32)}, "gram"),
        ({"targets": np.zeros((2, 32), np.float32)}, "targets"),
        ({"out": np.zeros((3, 16), np.float32)}, "out"),
        ({"out": np.zeros((2, 32), np.float32)[:, ::2]}, "out"),
    ],
)
def test_least_squares_of_what_does_not_fit_are_refused_by_name(change, named):
    fits = {"gram": np.eye(16, dtype=np.float32), "targets": np.zeros((2, 16), np.float32), "out": np.zeros((2, 16), np.float32)}
    kernel.nonnegative(**fits)
    with pytest.raises(ShapeError, match=named):
        kernel.nonnegative(**fits | change)
