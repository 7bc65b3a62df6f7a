import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.arrays import array, bad_indptr, positive
from tests.oracles import arrays as oracle

DTYPES = st.sampled_from([np.dtype(x) for x in ("f4", "f8", "i4", "i8", "u1", "?", ">f4", "O")])
LENGTHS = st.integers(0, 2)


@settings(max_examples=400, deadline=None)
@given(st.lists(LENGTHS, max_size=3), DTYPES, DTYPES, st.lists(st.one_of(st.none(), LENGTHS), max_size=3), st.booleans())
def test_an_array_passes_when_dtype_and_shape_fit_and_is_named_otherwise(have, dtype, wanted_dtype, shape, strided):
    value = np.zeros([2 * x for x in have], dtype)[tuple(slice(None, None, 2) for _ in have)] if strided else np.zeros(have, dtype)
    if oracle.fits(value, wanted_dtype, shape):
        got = array("x", value, wanted_dtype, *shape)
        assert got.flags.c_contiguous
        assert (got is value) == value.flags.c_contiguous
        np.testing.assert_array_equal(got, value)
    else:
        with pytest.raises(ShapeError, match=r"^x: expected"):
            array("x", value, wanted_dtype, *shape)


@pytest.mark.parametrize("value", [None, 1.0, [1.0], "text", np.float32(1)])
def test_what_is_no_array_is_refused_by_its_type(value):
    with pytest.raises(ShapeError, match=rf"got {type(value).__name__}"):
        array("x", value, np.dtype("f4"), None)


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(9)])
def test_positive_integers_come_back_as_int(value):
    assert positive("n", value) == value
    assert type(positive("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "2", np.float32(2)])
def test_anything_else_is_not_positive(value):
    with pytest.raises(ShapeError, match=r"^n: expected an integer >= 1"):
        positive("n", value)


def test_a_bad_indptr_names_the_row():
    assert "row 7" in str(bad_indptr(7))
