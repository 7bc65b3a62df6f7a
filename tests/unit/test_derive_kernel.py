"""The kernel of derived features says what its definition says, for rows that vary and rows that do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.derive import OPERATIONS, derive
from tests.oracles import derive as oracle

ODD = [np.nan, 0.0, -0.0, 1.0, -3.5, np.inf, -np.inf, 3e38, -3e38, 1e-45, 2.0]
numbers = st.one_of(st.sampled_from(ODD), st.floats(width=32))
steps = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.integers(0, 1))


def bits(values):
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32).tolist()


@given(st.sampled_from([0, 1, 2, 7, 16, 33]).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=3, max_size=3)), st.lists(steps, max_size=4))
def test_it_fills_in_what_the_definition_says(rows, wanted):
    n = len(rows[0])
    values = np.zeros((3 + len(wanted), n), np.float32)
    values[:3] = np.array(rows, np.float32).reshape(3, n)
    plan = np.array([(*step, 3 + k) for k, step in enumerate(wanted)], np.int32).reshape(-1, 6)
    expected = oracle.derive(values, plan, OPERATIONS)
    derive(values, plan)
    assert bits(values) == bits(expected)


def test_what_is_derived_can_be_derived_from():
    values = np.array([[6.0, 8.0], [2.0, 0.0], [0, 0], [0, 0]], np.float32)
    derive(values, np.array([[0, 0, 1, 1, 1, 2], [1, 2, 1, 2, 1, 3]], np.int32))
    assert values[3].tolist()[0] == 9.0
    assert np.isnan(values[3, 1])


@pytest.mark.parametrize(
    ("values", "plan", "what"),
    [
        (np.zeros((2, 3), np.float64), [], "values"),
        (np.zeros((3, 2), np.float32).T, [[0, 0, 1, 0, 1, 1]], "values"),
        (np.zeros((2, 3), np.float32), [[0, 0, 1, 2, 1, 1]], "plan"),
        (np.zeros((2, 3), np.float32), [[4, 0, 1, 0, 1, 1]], "plan"),
        (np.zeros((2, 3), np.float32), [[0, 0, 1, -1, 1, 1]], "plan"),
        (np.zeros((2, 3), np.float32), [[0, 1, 1, 0, 1, 1]], "plan"),
    ],
)
def test_what_does_not_fit_is_refused(values, plan, what):
    with pytest.raises(ShapeError, match=what):
        derive(values, np.array(plan, np.int32).reshape(-1, 6))


def test_what_is_read_only_is_refused():
    values = np.zeros((2, 3), np.float32)
    values.flags.writeable = False
    with pytest.raises(ShapeError, match="values"):
        derive(values, np.zeros((0, 6), np.int32))
