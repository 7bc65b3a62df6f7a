"""The walk kernel against its oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.walk import walk
from tests.oracles import walk as oracle


@given(st.data())
def test_walk_equals_its_oracle(data):
    n_items = data.draw(st.integers(0, 30))
    n_orders = data.draw(st.integers(0, 4))
    length = data.draw(st.integers(0, 40))
    rows, columns, n = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)), data.draw(st.integers(0, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    orders = rng.integers(-1 if data.draw(st.booleans()) else 0, n_items + 3, (n_orders, length)).astype(np.int32)
    which = rng.integers(-1, n_orders + 1, (rows, columns)).astype(np.int32)
    mask = (rng.random((rows, n_items)) < data.draw(st.floats(0, 1))).astype(np.uint8)
    orders.setflags(write=False)
    np.testing.assert_array_equal(walk(orders, which, mask, n), oracle.walk(orders, which, mask, n))


def test_walk_reads_strided_orders():
    orders = np.arange(20, dtype=np.int32).reshape(2, 10)[:, ::2]
    mask = np.ones((1, 20), np.uint8)
    assert walk(orders, np.array([[1]], np.int32), mask, 3).tolist() == [[10, 12, 14]]


def test_walk_names_a_wrong_shape():
    with pytest.raises(ShapeError, match="walk"):
        walk(np.zeros(3, np.int32), np.zeros((1, 1), np.int32), np.ones((1, 3), np.uint8), 1)
