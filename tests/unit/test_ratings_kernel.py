"""Gradient steps over ratings against the oracle: any sizes, any threads, nothing outside touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels import ratings as kernel
from tests.oracles import ratings as oracle


def sides(rng, n, m, factors):
    x, y = (np.zeros((rows, kernel.width_of(factors)), np.float32) for rows in (n, m))
    for side, bias, one in ((x, factors, factors + 1), (y, factors + 1, factors)):
        side[:, :factors] = rng.standard_normal((len(side), factors)) * 0.3
        side[:, bias] = rng.standard_normal(len(side)) * 0.1
        side[:, one] = 1.0
    return x, y


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(1, 1), (3, 40), (50, 7)]), st.sampled_from([0, 1, 300]), st.sampled_from([1, 5, 14, 15, 40]))
def test_a_pass_is_that_of_the_oracle_for_any_threads(seed, shape, n, factors):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "WORK_OF_A_THREAD", 1)
        rng = np.random.default_rng(seed)
        users, items = (rng.integers(0, rows, n).astype(np.int32) for rows in shape)
        values = rng.choice([1.0, 3.0, 5.0], n).astype(np.float32)
        order, begins = kernel.cells(users, items, seed)
        assert sorted(order.tolist()) == list(range(n))
        users, items, values = users[order], items[order], values[order]
        x, y = sides(rng, *shape, factors)
        how = {"factors": factors, "mean": 3.0, "rate": 0.03, "ridge": 0.1}
        plain_x, plain_y = np.delete(x, factors + 1, 1)[:, : factors + 1], np.delete(y, factors, 1)[:, : factors + 1]
        wanted = oracle.descend(users, items, values, plain_x, plain_y, blocks=kernel.BLOCKS, **how)
        again = x.copy(), y.copy()
        for array in (users, items, values, begins):
            array.setflags(write=False)
        kernel.descend(users, items, values, begins, x, y, **how)
        kernel.descend(users, items, values, begins, *again, **how, threads=2)
        np.testing.assert_array_equal(x, again[0])
        np.testing.assert_array_equal(y, again[1])
        np.testing.assert_allclose(np.delete(x, factors + 1, 1)[:, : factors + 1], wanted[0], atol=2e-4)
        np.testing.assert_allclose(np.delete(y, factors, 1)[:, : factors + 1], wanted[1], atol=2e-4)
        assert (x[:, factors + 1] == 1).all()
        assert (y[:, factors] == 1).all()
        assert not x[:, factors + 2 :].any()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"users": np.array([0, 9], np.int32)}, "x"),
        ({"items": np.array([0, -1], np.int32)}, "y"),
        ({"values": np.zeros(3, np.float32)}, "values"),
        ({"begins": np.zeros(kernel.BLOCKS**2 + 1, np.int64)}, "indptr"),
        ({"x": np.zeros((2, 32), np.float32)}, "x"),
        ({"y": np.zeros((2, 16))}, "y"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, named):
    users, items = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
    order, begins = kernel.cells(users, items, 0)
    fits = {"users": users[order], "items": items[order], "values": np.ones(2, np.float32), "begins": begins}
    fits |= {"x": np.zeros((2, 16), np.float32), "y": np.zeros((2, 16), np.float32)}
    how = {"factors": 3, "mean": 1.0, "rate": 0.1, "ridge": 0.1}
    kernel.descend(**fits, **how)
    with pytest.raises(ShapeError, match=named):
        kernel.descend(**fits | change, **how)
