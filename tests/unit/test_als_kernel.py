"""The ALS kernels against their oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from recengine.errors import ShapeError
from recengine.kernels import als
from tests.oracles import als as oracle

SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 40, 70])


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(als, "WORK_OF_A_THREAD", 1)
        yield


def rotated(fixed, unobserved):
    """The fixed side padded and turned into the eigenbasis of its Gram matrix, with the spectrum and the basis."""
    width = als.padded(fixed.shape[1])
    turned = np.zeros((len(fixed), width), np.float32)
    turned[:, : fixed.shape[1]] = fixed
    lost = np.isnan(turned[:, 0])
    turned[lost] = 0
    values, basis = np.linalg.eigh(als.gram(turned))
    basis = basis.astype(np.float32)
    als.rotate(turned, basis)
    turned[lost] = np.nan
    return turned, (unobserved * np.maximum(values, 0)).astype(np.float32), basis


def problem(rng, m, factors, lengths, beyond=0):
    fixed = rng.normal(size=(m, factors)).astype(np.float32)
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    picked = [rng.choice(m + beyond, size=n, replace=False) for n in lengths]
    items = np.concatenate([np.empty(0), *picked]).astype(np.int32)
    weights = rng.choice([0.25, 1.0, 1.0, 3.0, -1.0, -0.5], size=len(items)).astype(np.float32)
    return fixed, indptr, items, weights


def close(got, want, tolerance=2e-4):
    assert np.array_equal(np.isnan(got).any(axis=1), np.isnan(want).any(axis=1))
    scale = np.nanmax(np.abs(want), initial=0.0) + 1e-12
    assert np.nanmax(np.abs(got - want), initial=0.0) <= tolerance * scale


@given(n=SIZES, factors=st.integers(1, 70), seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 30.0]))
def test_the_gram_matrix_equals_its_definition_whatever_the_threads(n, factors, seed, scale):
    values = np.zeros((n, als.padded(factors)), np.float32)
    values[:, :factors] = np.random.default_rng(seed).normal(scale=scale, size=(n, factors))
    values.setflags(write=False)
    got = als.gram(values)
    want = values.astype(np.float64).T @ values.astype(np.float64)
    np.testing.assert_allclose(got, want, atol=3e-6 * scale**2 * max(n, 1))
    assert np.array_equal(got, als.gram(values, threads=2))
    assert np.array_equal(got, got.T)


@given(n=SIZES, factors=st.integers(1, 70), seed=st.integers(0, 2**31), data=st.data())
def test_the_rotation_touches_the_listed_rows_only(n, factors, seed, data):
    rng = np.random.default_rng(seed)
    width = als.padded(factors)
    before = rng.normal(size=(n, width)).astype(np.float32)
    basis = rng.normal(size=(width, width)).astype(np.float32)
    rows = np.flatnonzero(rng.random(n) < data.draw(st.floats(0, 1))).astype(np.int32)
    want = before.astype(np.float64)
    want[rows] = want[rows] @ basis
    one, two = before.copy(), before.copy()
    als.rotate(one, basis, rows)
    als.rotate(two, basis, rows, threads=2)
    np.testing.assert_allclose(one, want, atol=1e-5 * width)
    assert np.array_equal(one, two)
    others = np.setdiff1d(np.arange(n), rows)
    assert np.array_equal(one[others], before[others])


@settings(deadline=None)
@given(
    m=st.integers(1, 90),
    factors=st.integers(1, 40),
    rows=st.integers(0, 6),
    seed=st.integers(0, 2**31),
    beyond=st.integers(0, 5),
    exponent=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_fold_in_equals_the_normal_equations(m, factors, rows, seed, beyond, exponent):
    rng = np.random.default_rng(seed)
    fixed, indptr, items, weights = problem(rng, m, factors, rng.integers(0, m + 1, rows), beyond)
    fixed[rng.random(m) < 0.1] = np.nan
    turned, spectrum, basis = rotated(fixed, 0.3)
    for array in (turned, items, weights, indptr, spectrum):
        array.setflags(write=False)
    objective = als.Objective(2.0, 0.1, 0.3 * m, exponent)
    got = als.fold_in(turned, indptr, items, weights, spectrum, objective)
    want = oracle.solve_rows(fixed, indptr, items, weights, 0.3, 2.0, 0.1, 0.3 * m, exponent)
    close(got @ basis.T[:, :factors], want)
    assert np.array_equal(got, als.fold_in(turned, indptr, items, weights, spectrum, objective, threads=2), equal_nan=True)
    for row in range(rows):  # a batch is nothing but its rows
        mine = slice(indptr[row], indptr[row + 1])
        alone = als.fold_in(turned, np.array([0, indptr[row + 1] - indptr[row]]), items[mine], weights[mine], spectrum, objective)
        assert np.array_equal(alone[0], got[row], equal_nan=True)


@settings(deadline=None)
@given(
    solver=st.sampled_from(["auto", "cg", "exact"]),
    m=st.sampled_from([1, 5, 40, 300]),
    factors=st.sampled_from([1, 3, 16, 20, 33, 64, 130]),
    seed=st.integers(0, 2**31),
)
def test_every_solver_reaches_the_normal_equations(solver, m, factors, seed):
    rng = np.random.default_rng(seed)
    fixed, indptr, items, weights = problem(rng, m, factors, rng.integers(0, m + 1, 5))
    turned, spectrum, basis = rotated(fixed, 0.2)
    objective = als.Objective(1.0, 0.5, 0.2 * m, 1.0)
    exact = als.exact_rows(np.diff(indptr), turned.shape[1], 3, solver)
    order = rng.permutation(5).astype(np.int32)
    answers = []
    for threads in (1, 2):
        out = np.zeros((5, turned.shape[1]), np.float32)
        als.solve(turned, indptr, items, weights, spectrum, objective, out, exact=exact, steps=100, order=order, threads=threads)
        answers.append(out)
    assert np.array_equal(answers[0], answers[1])
    want = oracle.solve_rows(fixed, indptr, items, weights, 0.2, 1.0, 0.5, 0.2 * m, 1.0, cold=0.0)
    close(answers[0] @ basis.T[:, :factors], want, 1e-3)


def test_a_step_of_conjugate_gradients_starts_from_what_is_there():
    rng = np.random.default_rng(3)
    fixed, indptr, items, weights = problem(rng, 200, 32, np.array([150, 150]))
    turned, spectrum, _ = rotated(fixed, 0.2)
    objective = als.Objective(1.0, 0.5, 40.0, 1.0)
    solution = als.fold_in(turned, indptr, items, np.abs(weights), spectrum, objective)
    warm, cold = solution.copy(), np.zeros_like(solution)
    for out in (warm, cold):
        als.solve(turned, indptr, items, np.abs(weights), spectrum, objective, out, exact=np.zeros(2, np.uint8), steps=1)
    np.testing.assert_allclose(warm, solution, atol=1e-5)
    assert np.abs(cold - solution).max() > 1e-3


def test_equal_entries_and_large_confidences_stay_finite():
    fixed = np.ones((5, 16), np.float32)
    indptr, items = np.array([0, 5]), np.arange(5, dtype=np.int32)
    turned, spectrum, basis = rotated(fixed, 0.1)
    for weight in (1.0, 1e6):
        weights = np.full(5, weight, np.float32)
        got = als.fold_in(turned, indptr, items, weights, spectrum, als.Objective(1.0, 0.01, 0.5, 1.0))
        close(got @ basis.T, oracle.solve_rows(fixed, indptr, items, weights, 0.1, 1.0, 0.01, 0.5, 1.0), 1e-3)


def test_strided_inputs_are_read_as_they_look():
    rng = np.random.default_rng(0)
    fixed, indptr, items, weights = problem(rng, 40, 16, np.array([10, 20]))
    turned, spectrum, _ = rotated(fixed, 0.2)
    objective = als.Objective(1.0, 0.1, 8.0, 1.0)
    want = als.fold_in(turned, indptr, items, weights, spectrum, objective)
    wide = np.repeat(turned, 2, axis=0)[::2]
    got = als.fold_in(wide, np.repeat(indptr, 2)[::2], np.repeat(items, 2)[::2], np.repeat(weights, 2)[::2], spectrum, objective)
    assert np.array_equal(got, want)
    assert np.array_equal(als.gram(wide), als.gram(turned))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("fixed", {"fixed": np.zeros((3, 15), np.float32)}),
        ("fixed", {"fixed": np.zeros((3, 16))}),
        ("diag", {"diag": np.zeros(3, np.float32)}),
        ("indptr", {"indptr": np.array([0, 3], np.int64)}),
        ("indptr", {"indptr": np.array([0, 3, 2], np.int64)}),
        ("indptr", {"indptr": np.array([0, -1, 2], np.int64)}),
        ("weights", {"weights": np.zeros(3, np.float32)}),
    ],
)
def test_a_wrong_shape_is_named(name, change):
    good = {
        "fixed": np.zeros((3, 16), np.float32),
        "indptr": np.array([0, 2], np.int64),
        "items": np.zeros(2, np.int32),
        "weights": np.ones(2, np.float32),
        "diag": np.zeros(16, np.float32),
    }
    with pytest.raises(ShapeError, match=name):
        als.fold_in(*{**good, **change}.values(), als.Objective(1.0, 0.1, 0.3, 1.0))


def test_out_must_be_writable_and_fit():
    fixed, diag = np.zeros((3, 16), np.float32), np.ones(16, np.float32)
    entries = np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32)
    for out in (np.zeros((2, 16), np.float32), np.zeros((1, 32), np.float32)[:, ::2]):
        with pytest.raises(ShapeError, match="out"):
            als.solve(fixed, *entries, diag, als.Objective(1.0, 0.1, 0.3, 1.0), out, exact=np.ones(1, np.uint8))
    with pytest.raises(ShapeError, match="rows"):
        als.rotate(fixed, np.eye(16, dtype=np.float32), np.array([3], np.int32))


@pytest.mark.parametrize("rows", [0, 3, 40_000])
def test_blank_factors_are_zeros_that_can_be_written(rows):
    values = als.blank(rows, 64)
    assert values.shape == (rows, 64)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert not values.any()
    values += 1
    assert values.sum() == rows * 64


def test_the_eigenbasis_rebuilds_the_matrix_and_leaves_the_threads_of_blas_alone():
    half = np.random.default_rng(0).normal(size=(40, 30))
    symmetric = half.T @ half
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    values, basis = als.eigenbasis(symmetric)
    np.testing.assert_allclose((basis * values) @ basis.T, symmetric, atol=1e-4)
    assert (np.diff(values) >= 0).all()
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before


def test_little_work_gets_one_thread_and_much_gets_what_was_asked():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(als, "WORK_OF_A_THREAD", 100)
        assert [als._team(4, work) for work in (0, 99, 100, 250, 10_000)] == [1, 1, 2, 3, 4]
        assert als._team(0, 10_000) == 1
