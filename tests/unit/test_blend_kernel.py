import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.blend import blend, stack
from tests.oracles import blend as oracle


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0, 1, 15, 16, 33, 200]), st.sampled_from([0, 1, 3, 4, 7]), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.5, 30.0]), st.integers(0, 2**31))
def test_blend_equals_the_formula(n, models, missing, spread, seed):
    rng = np.random.default_rng(seed)
    scores = (rng.standard_normal((n, models)) * spread).astype(np.float32)
    scores[rng.random(scores.shape) < missing] = np.nan
    slope, intercept = rng.uniform(0.1, 3, models).astype(np.float32), rng.standard_normal(models).astype(np.float32)
    weight = rng.uniform(0, 1, models).astype(np.float32)
    weight[rng.random(models) < 0.2] = 0
    logit, contributions = blend(scores, slope, intercept, weight)
    want = oracle.blend(scores, slope, intercept, weight)
    np.testing.assert_allclose(logit, want[0], rtol=2e-5, atol=2e-5 * spread)
    np.testing.assert_allclose(contributions, want[1], rtol=2e-5, atol=2e-5 * spread)
    np.testing.assert_array_equal(np.isnan(logit), np.isnan(want[0]))
    np.testing.assert_allclose(np.nan_to_num(logit), contributions.sum(axis=1), rtol=1e-4, atol=1e-5 * spread)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([0, 1, 16, 33]), st.lists(st.sampled_from(["column", "strided", "frozen", "none", "nan"]), max_size=5), st.integers(0, 2**31))
def test_columns_stand_side_by_side_and_an_absent_one_is_nan(n, kinds, seed):
    rng = np.random.default_rng(seed)
    columns = []
    for kind in kinds:
        column = rng.standard_normal(2 * n).astype(np.float32)[::2]
        columns.append({"none": None, "strided": column, "nan": np.full(n, np.nan, np.float32)}.get(kind, column.copy()))
        if kind == "frozen":
            columns[-1].flags.writeable = False
    np.testing.assert_array_equal(stack(columns, n), oracle.stack(columns, n))


@pytest.mark.parametrize("column", [np.zeros(4, np.float32), np.zeros(3), [0.0] * 3])
def test_a_column_that_does_not_fit_is_named(column):
    with pytest.raises(ShapeError, match=r"^columns\[1\]: expected"):
        stack([None, column], 3)


def test_one_row_has_the_same_bits_alone_and_in_a_batch():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((37, 3)).astype(np.float32)
    parameters = [np.array(x, np.float32) for x in ([1, 2, 3], [0, 1, -1], [0.2, 0.3, 0.5])]
    together = blend(scores, *parameters)
    for row in range(37):
        for got, want in zip(blend(scores[row : row + 1], *parameters), together, strict=True):
            np.testing.assert_array_equal(got[0], want[row])


@pytest.mark.parametrize("value", [np.inf, 1e30, 200.0, 0.0, -200.0, -1e30, -np.inf])
def test_extreme_log_odds_stay_what_they_are(value):
    one = np.ones(1, np.float32)
    assert blend(np.array([[value]], np.float32), one, one * 0, one)[0][0] == np.float32(value)


def test_nothing_scored_is_nan_and_contributes_nothing():
    two = np.ones(2, np.float32)
    logit, contributions = blend(np.full((1, 2), np.nan, np.float32), two, two, two)
    assert np.isnan(logit).all()
    assert contributions.tolist() == [[0.0, 0.0]]


def test_a_model_without_weight_is_shown_but_has_no_say():
    logit, contributions = blend(
        np.array([[1.0, 5.0]], np.float32), np.ones(2, np.float32), np.zeros(2, np.float32), np.array([1, 0], np.float32)
    )
    assert logit.tolist() == [1.0]
    assert contributions.tolist() == [[1.0, 0.0]]


def test_who_is_below_the_threshold_neither_helps_nor_harms_an_item_that_another_wants():
    three = np.ones(3, np.float32)
    scores = np.array([[2, -1, -1], [2, -9, -0.5], [2, -np.inf, -1e30], [1, 1, -5]], np.float32)
    logit, contributions = blend(scores, three, three * 0, three)
    assert logit[:3].tolist() == [np.float32(2) / 3] * 3
    assert logit[3] == logit[0], "the model that is alone with its opinion is not listened to more than two that agree"
    assert contributions[1].tolist() == [np.float32(2) / 3, 0, 0]


def test_what_nobody_wants_stands_below_everything_that_somebody_wants_in_the_order_of_all_opinions():
    two = np.ones(2, np.float32)
    scores = np.array([[1e-6, -50], [-0.1, -0.2], [-3, -0.1], [0, -1], [-0.1, np.nan], [np.nan, 1e-6]], np.float32)
    logit, contributions = blend(scores, two, two * 0, two)
    assert (np.argsort(-logit) == [5, 0, 4, 1, 3, 2]).all()
    assert (logit[[1, 2, 3, 4]] < 0).all()
    assert contributions[2].tolist() == [-1.5, np.float32(-0.05)]


def test_strided_and_read_only_scores_are_taken():
    base = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    one = np.ones(4, np.float32)
    one.flags.writeable = False
    for got, want in zip(blend(base[::2, ::2], one, one, one), blend(base[::2, ::2].copy(), one, one, one), strict=True):
        np.testing.assert_array_equal(got, want)


TWO = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((np.ones((3, 2)), TWO, TWO, TWO), "scores"),
        ((TWO, TWO, TWO, TWO), "scores"),
        ((np.ones((3, 2), np.float32), np.ones(3, np.float32), TWO, TWO), "slope"),
        ((np.ones((3, 2), np.float32), TWO, TWO[None], TWO), "intercept"),
        ((np.ones((3, 2), np.float32), TWO, TWO, np.ones(2)), "weight"),
        ((np.ones((3, 2), np.float32), TWO, TWO, -TWO), "weight"),
        ((np.ones((3, 2), np.float32), TWO, TWO, TWO * np.nan), "weight"),
    ],
)
def test_a_wrong_argument_is_named(arguments, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        blend(*arguments)
