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
    lengths = data.draw(st.lists(st.integers(0, 40), max_size=4))
    rows, columns, n = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)), data.draw(st.integers(0, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    items = rng.integers(-1, n_items + 3, int(indptr[-1])).astype(np.int32)
    which = rng.integers(-1, len(lengths) + 1, (rows, columns)).astype(np.int32)
    mask = (rng.random((rows, n_items)) < data.draw(st.floats(0, 1))).astype(np.uint8)
    items.setflags(write=False)
    np.testing.assert_array_equal(walk(indptr, items, which, mask, n), oracle.walk(indptr, items, which, mask, n))


def test_walk_reads_strided_orders():
    items = np.arange(40, dtype=np.int32)[::2]
    mask = np.ones((1, 40), np.uint8)
    assert walk(np.array([0, 10, 20]), items, np.array([[1]], np.int32), mask, 3).tolist() == [[20, 22, 24]]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"indptr": np.array([0, 9])}, "indptr"),
        ({"indptr": np.array([0, 3, 1, 4])}, "indptr"),
        ({"items": np.zeros(4, np.int64)}, "items"),
        ({"which": np.zeros(1, np.int32)}, "which"),
        ({"mask": np.ones((2, 3), np.uint8)}, "mask"),
        ({"n": -1}, "n"),
    ],
)
def test_walk_names_a_wrong_argument(change, name):
    right = {"indptr": np.array([0, 4]), "items": np.zeros(4, np.int32), "which": np.zeros((1, 1), np.int32), "mask": np.ones((1, 3), np.uint8), "n": 1}
    with pytest.raises(ShapeError, match=name):
        walk(**(right | change))
