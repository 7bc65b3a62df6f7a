"""The BPR kernels against their oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels import bpr
from tests.oracles import bpr as oracle

SIZES = st.sampled_from([1, 2, 3, 5, 8, 13, 30])
MANY = 2000


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpr, "WORK_OF_A_THREAD", 1)
        yield


class Problem:
    """Some users with some items, vectors, and an order of both."""

    def __init__(self, seed, n_users, n_items, width, share, exponent, parts):
        rng = np.random.default_rng(seed)
        engaged = rng.random((n_users, n_items)) < share
        self.indptr = np.concatenate(([0], np.cumsum(engaged.sum(1)))).astype(np.int64)
        self.items = np.nonzero(engaged)[1].astype(np.int32)
        self.weights = rng.choice([0.5, 1.0, 2.0], len(self.items)).astype(np.float32)
        self.users = rng.permutation(np.flatnonzero(engaged.any(1))).astype(np.int32)
        sold = rng.permutation(np.flatnonzero(engaged.any(0))).astype(np.int32)
        mass = None if exponent == 0 else (np.maximum(engaged.sum(0), 1) ** exponent).astype(np.float32)
        self.urn = bpr.urn(sold, mass, parts)
        self.x = rng.normal(size=(n_users, width)).astype(np.float32)
        self.y = rng.normal(size=(n_items, width)).astype(np.float32)
        self.bias = rng.normal(size=n_items).astype(np.float32)

    def rows(self):
        pairs = list(zip(self.items.tolist(), self.weights.tolist(), strict=True))
        return [pairs[a:b] for a, b in zip(self.indptr[:-1], self.indptr[1:], strict=True)]

    def step(self, threads=1, draws=1, hardest=1, rate=0.1, key=7):
        vectors = self.x.copy(), self.y.copy(), self.bias.copy()
        how = {"rate": rate, "regularization": 0.03, "key": key, "negatives_each": draws, "hardest_of": hardest, "threads": threads}
        bpr.epoch(self.indptr, self.items, self.weights, self.users, self.urn, *vectors, **how)
        return vectors


def problems(**fixed):
    return st.builds(
        Problem,
        seed=st.integers(0, 99),
        n_users=SIZES,
        n_items=SIZES,
        width=st.sampled_from([16, 32, 48, 64, 128]),
        share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        exponent=st.sampled_from([0.0, 0.75, 1.0]),
        parts=st.sampled_from([1, 2, 3, 7]),
        **fixed,
    )


@given(problems(), st.sampled_from([1, 3]), st.sampled_from([1, 2, 5, 64]), st.integers(0, (1 << 64) - 1))
@settings(deadline=None)
def test_an_epoch_makes_the_steps_of_the_formula(problem, draws, hardest, key):
    found = problem.step(draws=draws, hardest=hardest, key=key)
    wanted = [part.astype(np.float64) for part in (problem.x, problem.y, problem.bias)]
    urn = problem.urn
    oracle.epoch(problem.rows(), problem.users, urn.items, (urn.keep, urn.other), urn.parts, wanted, 0.1, 0.03, key, draws, hardest)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@given(problems(), st.sampled_from([2, 3, 5]), st.sampled_from([1, 7]))
def test_threads_do_not_change_a_bit(problem, threads, hardest):
    for a, b in zip(problem.step(hardest=hardest), problem.step(threads, hardest=hardest), strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_threads_do_not_change_a_bit_where_many_meet():
    problem = Problem(0, 600, 700, 64, 0.05, 0.5, 16)
    one = problem.step(draws=4)
    for _ in range(3):
        for a, b in zip(one, problem.step(4, draws=4), strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_what_runs_at_one_time_shares_no_row():
    """A negative from another part would be written by two threads; here it would reach an item of the wrong part."""
    problem = Problem(3, 40, 50, 16, 0.3, 0.0, 4)
    urn, rows = problem.urn, problem.rows()
    parts = [urn.items[len(urn.items) * b // 4 : len(urn.items) * (b + 1) // 4] for b in range(4)]
    still = {part: set(parts[part].tolist()) for part in range(4)}
    lone = problem.users[next(u for u in range(len(problem.users)) if rows[problem.users[u]])]
    first = rows[lone][0][0]
    problem.indptr = np.where(np.arange(41) > lone, 1, 0).astype(np.int64)
    problem.items, problem.weights = np.array([first], np.int32), np.ones(1, np.float32)
    moved = np.flatnonzero((problem.step()[1] != problem.y).any(1))
    home = next(part for part in still if first in still[part])
    assert len(moved) == 2
    assert set(moved.tolist()) <= still[home]


@pytest.mark.parametrize("change", [{"hardest": 0}, {"hardest": 65}, {"draws": 0}])
def test_a_number_of_draws_out_of_range_is_refused(change):
    with pytest.raises(ShapeError, match="hardest_of"):
        Problem(1, 6, 7, 16, 0.5, 0.0, 1).step(**change)


@given(st.lists(st.sampled_from([0.001, 0.5, 1.0, 3.0, 1000.0]), min_size=1, max_size=40), st.sampled_from([1, 2, 5]))
def test_alias_tables_hold_the_masses(masses, parts):
    mass = np.array(masses, np.float32)
    items = np.random.default_rng(0).permutation(len(mass)).astype(np.int32)
    urn = bpr.urn(items, mass, parts, threads=2)
    for b in range(parts):
        part = slice(len(items) * b // parts, len(items) * (b + 1) // parts)
        if part.stop > part.start:
            own = mass[items[part]].astype(np.float64)
            np.testing.assert_allclose(oracle.probabilities(urn.keep[part].astype(np.float64), urn.other[part]), own / own.sum(), atol=1e-8)


def test_over_many_parts_every_item_is_as_likely_a_negative():
    """The parts are drawn anew every epoch: no item is a rarer negative for standing far from the positive."""
    n, counts = 12, np.zeros(12)
    rng = np.random.default_rng(0)
    one = np.array([0, 1], np.int64), np.zeros(1, np.int32), np.ones(1, np.float32)
    for key in range(MANY):
        x, y, bias = np.ones((1, 16), np.float32), np.ones((n, 16), np.float32), np.zeros(n, np.float32)
        urn = bpr.urn(rng.permutation(n).astype(np.int32), None, 3)
        bpr.epoch(*one, np.zeros(1, np.int32), urn, x, y, bias, rate=0.1, regularization=0.0, key=oracle.mix(key + 1))
        counts[bias < 0] += 1
    assert counts[0] == 0
    assert counts.sum() == MANY
    expected = MANY / (n - 1)
    assert (((counts[1:] - expected) ** 2) / expected).sum() < 30  # chi-squared, 10 degrees of freedom: p = .001


def test_a_user_of_all_items_makes_no_step():
    problem = Problem(0, 3, 5, 16, 1.0, 0.0, 1)
    for before, after in zip((problem.x, problem.y, problem.bias), problem.step(), strict=True):
        np.testing.assert_array_equal(before, after)


@given(problems(), st.booleans(), st.sampled_from([1, 4]))
@settings(deadline=None)
def test_a_fold_makes_the_steps_of_the_formula(problem, lost, hardest):
    y = np.concatenate((problem.y, problem.bias[:, None]), axis=1)
    if lost:
        y[::3] = np.nan
    known = np.flatnonzero(~np.isnan(y[:, 0])).astype(np.int32)
    urn = bpr.urn(known, np.linspace(1, 2, len(y), dtype=np.float32))
    rows = [[*row[::-1], (len(y) + 1, 1.0), (0, -1.0)] for row in problem.rows()] + [[]]
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    items = np.array([e[0] for row in rows for e in row], np.int32)
    weights = np.array([e[1] for row in rows for e in row], np.float32)
    for flat in (y, items, weights, indptr):
        flat.setflags(write=False)
    found = bpr.fold(y, indptr, items, weights, urn, passes=3, rate=0.2, regularization=0.02, hardest_of=hardest)
    again = bpr.fold(np.asfortranarray(y), indptr, items, weights, urn, passes=3, rate=0.2, regularization=0.02, hardest_of=hardest, threads=2)
    np.testing.assert_array_equal(found.view(np.uint32), again.view(np.uint32))
    for row, vector in zip(rows, found, strict=True):
        wanted = oracle.fold(y[:, :-1].astype(np.float64), y[:, -1].astype(np.float64), row, known, (urn.keep, urn.other), 3, 0.2, 0.02, hardest)
        np.testing.assert_allclose(vector, wanted, rtol=2e-4, atol=2e-4)


def test_a_row_folds_the_same_wherever_it_stands():
    problem = Problem(0, 9, 30, 16, 0.4, 0.0, 1)
    y = np.concatenate((problem.y, problem.bias[:, None]), axis=1)
    how = {"passes": 5, "rate": 0.1, "regularization": 0.01}
    whole = bpr.fold(y, problem.indptr, problem.items, problem.weights, problem.urn, **how, threads=3)
    for r, row in enumerate(problem.rows()):
        items, weights = np.array([e[0] for e in row], np.int32), np.array([e[1] for e in row], np.float32)
        alone = bpr.fold(y, np.array([0, len(row)], np.int64), items, weights, problem.urn, **how)
        np.testing.assert_array_equal(alone[0], whole[r])


def test_the_number_of_parts_hangs_on_the_data():
    assert bpr.blocks(30_000, 41_000, 800_000, 64) == 8
    assert bpr.blocks(60, 45, 300, 64) == 1
    assert bpr.blocks(10**7, 10**6, 10**9, 128) == bpr.MOST_BLOCKS
    assert bpr.blocks(0, 0, 0, 16) == 1


WRONG = {
    "indptr": lambda p: setattr(p, "indptr", p.indptr[:-1]),
    "weights": lambda p: setattr(p, "weights", p.weights[1:]),
    "items": lambda p: setattr(p, "items", np.where(p.items == p.items[0], 99, p.items).astype(np.int32)),
    "users": lambda p: setattr(p, "users", p.users + np.int32(50)),
    "negatives": lambda p: setattr(p, "urn", bpr.urn(np.array([99], np.int32), None)),
    "bias": lambda p: setattr(p, "bias", p.bias[1:]),
    "vectors": lambda p: setattr(p, "x", p.x[:, :8].copy()),
    "item_vectors": lambda p: setattr(p, "y", p.y.astype(np.float64)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_array_is_named(name):
    problem = Problem(1, 6, 7, 16, 0.5, 0.0, 1)
    WRONG[name](problem)
    with pytest.raises(ShapeError, match=name):
        problem.step()


@pytest.mark.parametrize("mass", [[0.0, 1.0], [np.nan, 1.0], [-1.0, 1.0], [np.inf, 1.0]])
def test_a_mass_that_is_none_is_refused(mass):
    with pytest.raises(ShapeError, match="mass"):
        bpr.urn(np.arange(2, dtype=np.int32), np.array(mass, np.float32))


@pytest.mark.parametrize("change", [{"parts": 0}, {"parts": 257}, {"items": np.array([-1], np.int32)}])
def test_an_urn_of_nonsense_is_refused(change):
    with pytest.raises(ShapeError):
        bpr.urn(**({"items": np.zeros(1, np.int32), "mass": None} | change))
