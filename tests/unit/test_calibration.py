import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.algorithms.calibration import Curve, calibrate, fit_beta, fit_platt, sample
from recengine.errors import ShapeError
from recengine.types import Interactions, Query
from tests.oracles.calibration import calibration_error, probabilities


def logistic(slope, intercept, n, *, seed=0, mean=0.0, spread=1.0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(mean, spread, n).astype(np.float32)
    return scores, rng.random(n) < 1 / (1 + np.exp(-(slope * scores.astype(float) + intercept)))


@pytest.mark.parametrize(("slope", "intercept", "mean", "spread"), [(1.5, -0.5, 0, 1), (0.002, -1.0, 300, 400), (4e5, -2.0, 1e-5, 4e-6)])
def test_data_from_a_sigmoid_gives_the_sigmoid_back_at_any_scale(slope, intercept, mean, spread):
    got = fit_platt(*logistic(slope, intercept, 200_000, mean=mean, spread=spread))
    assert got.slope == pytest.approx(slope, rel=0.03)
    assert got.intercept == pytest.approx(intercept, abs=0.05)


def test_the_fit_is_the_minimum_of_the_smoothed_cross_entropy():
    scores, engaged = logistic(0.8, 0.3, 300, seed=4)
    positive, negative = engaged.sum(), (~engaged).sum()
    target = np.where(engaged, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(slope, intercept):
        z = slope * scores.astype(float) + intercept
        return (np.logaddexp(0, z) - target * z).sum()

    got = fit_platt(scores, engaged)
    here = loss(got.slope, got.intercept)
    assert all(loss(got.slope + a, got.intercept + b) > here for a, b in [(1e-4, 0), (-1e-4, 0), (0, 1e-4), (0, -1e-4)])


def test_calibrated_probabilities_are_closer_to_frequencies_than_raw_scores():
    scores, engaged = logistic(6.0, -4.0, 20_000, seed=1, mean=0.5, spread=0.2)
    held_scores, held = logistic(6.0, -4.0, 20_000, seed=2, mean=0.5, spread=0.2)
    raw = calibration_error(np.clip(held_scores, 0, 1), held)
    calibrated = calibration_error(probabilities(fit_platt(scores, engaged), held_scores), held)
    assert calibrated < 0.02
    assert raw > 0.1


def test_separable_classes_stay_finite_and_ordered():
    scores = np.array([-2, -1, 1, 2], np.float32)
    got = fit_platt(scores, scores > 0)
    p = probabilities(got, scores)
    assert math.isfinite(got.slope)
    assert got.slope > 0
    assert (np.diff(p) > 0).all()
    assert p[0] > 0.01  # smoothing: four points do not make certainty


def test_scores_that_mean_the_opposite_do_not_reverse_the_order():
    scores, engaged = logistic(-2.0, 0.0, 5000)
    got = fit_platt(scores, engaged)
    assert got.slope == 0
    assert got.intercept == pytest.approx(math.log((engaged.sum() + 1) / ((~engaged).sum() + 1)))


@pytest.mark.parametrize(
    ("scores", "engaged", "log_odds"),
    [([1, 1, 1], [1, 0, 0], math.log(2 / 3)), ([1, 2], [1, 1], math.log(3)), ([1, 2], [0, 0], -math.log(3)), ([], [], 0.0), ([math.nan, 1], [1, 0], -math.log(2))],
)
def test_nothing_to_learn_from_gives_the_base_rate(scores, engaged, log_odds):
    got = fit_platt(np.array(scores, np.float32), np.array(engaged, bool))
    assert got.slope == 0
    assert got.intercept == pytest.approx(log_odds)


def test_missing_and_infinite_scores_do_not_count():
    scores, engaged = logistic(1.0, 0.0, 500)
    extra = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert fit_platt(np.append(scores, extra), np.append(engaged, [True, False, True])) == fit_platt(scores, engaged)


@given(st.lists(st.tuples(st.floats(width=32), st.booleans()), max_size=30))
def test_any_scores_give_a_finite_line_that_keeps_the_order(pairs):
    scores = np.array([s for s, _ in pairs], np.float32)
    got = fit_platt(scores, np.array([e for _, e in pairs], bool))
    assert math.isfinite(got.slope)
    assert got.slope >= 0
    assert math.isfinite(got.intercept)
    p = probabilities(got, np.sort(scores))
    there = p[~np.isnan(p)]
    assert ((there >= 0) & (there <= 1)).all()
    assert (np.diff(there) >= 0).all()


def test_lengths_must_agree():
    with pytest.raises(ShapeError):
        fit_platt(np.zeros(2, np.float32), np.zeros(3, bool))


def query(histories, users, n_items):
    indptr = np.cumsum([0, *map(len, histories)]).astype(np.int64)
    items = np.array([i for h in histories for i in h], np.int32)
    history = Interactions(len(histories), n_items, indptr, items, np.ones(len(items), np.float32), np.zeros(len(items), np.int64))
    return Query(np.array(users, np.int32), history, np.zeros(len(users), np.uint8), 0)


def draw(histories, positives, mask, users=None, seed=0):
    asked = query(histories, users or list(range(len(histories))), mask.shape[1])
    indptr = np.cumsum([0, *map(len, positives)]).astype(np.int64)
    return sample(asked, (indptr, np.array([i for p in positives for i in p], np.int32)), mask, seed=seed)


def test_the_sample_holds_every_positive_and_as_many_eligible_unseen_negatives():
    mask = np.ones((3, 50), np.uint8)
    mask[:, 40:] = 0
    histories, positives = [[0, 1], [], [5]], [[2, 45], [7], []]
    indptr, items, engaged = draw(histories, positives, mask)
    assert indptr.tolist() == [0, 4, 6, 6]
    assert items[engaged].tolist() == [2, 45, 7]
    for row in range(3):
        mine, yes = items[indptr[row] : indptr[row + 1]], engaged[indptr[row] : indptr[row + 1]]
        negatives = mine[~yes]
        assert len(set(negatives.tolist())) == len(negatives) == yes.sum()
        assert not set(negatives.tolist()) & {*histories[row], *positives[row]}
        assert (negatives < 40).all()


def test_a_row_with_too_few_negatives_gets_all_of_them():
    _, items, engaged = draw([[0]], [[1, 2]], np.ones((1, 4), np.uint8))
    assert items.tolist() == [1, 2, 3]
    assert engaged.tolist() == [True, True, False]
    assert draw([[0]], [[1]], np.zeros((1, 4), np.uint8))[1].tolist() == [1]


def test_negatives_are_drawn_without_replacement():
    _, items, engaged = draw([[]], [list(range(30))], np.ones((1, 60), np.uint8))
    assert items[~engaged].tolist() == list(range(30, 60))


def test_a_row_draws_the_same_in_any_batch_and_another_seed_draws_others():
    mask = np.ones((2, 1000), np.uint8)
    positives = [list(range(20)), list(range(20, 40))]
    indptr, items, _ = draw([[], []], positives, mask, users=[3, 9])
    alone = draw([[]], positives[1:], mask[:1], users=[9])[1]
    assert items[indptr[1] :].tolist() == alone.tolist()
    assert draw([[]], positives[1:], mask[:1], users=[9], seed=1)[1].tolist() != alone.tolist()
    assert draw([[]], positives[1:], mask[:1], users=[-1])[1].shape == (40,)


def test_negatives_are_uniform_over_the_eligible_items():
    users = 4000
    mask = np.ones((users, 11), np.uint8)
    _, items, engaged = draw([[10]] * users, [[0]] * users, mask)
    seen = np.bincount(items[~engaged], minlength=11)
    assert seen[0] == seen[10] == 0
    expected = users / 9
    assert ((seen[1:10] - expected) ** 2 / expected).sum() < 30  # chi-square, 8 degrees of freedom, p ~ 0.0002


def test_the_inputs_of_the_sample_stay_as_they_were_and_rows_must_agree():
    mask = np.ones((1, 5), np.uint8)
    draw([[0]], [[1]], mask)
    assert mask.all()
    with pytest.raises(ShapeError):
        draw([[0]], [[1], [2]], mask)


def test_no_rows_give_an_empty_sample():
    indptr, items, engaged = draw([], [], np.ones((0, 5), np.uint8))
    assert (indptr.tolist(), len(items), len(engaged)) == ([0], 0, 0)


def bent(n, *, seed=0):
    """Scores whose log-odds have a knee: steep below even odds, flat above, as those of most models."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.0, 3.0, n).astype(np.float32)
    truth = 2.5 * -np.logaddexp(0, -scores.astype(float)) + 0.2 * np.logaddexp(0, scores.astype(float)) + 1.0
    return scores, rng.random(n) < 1 / (1 + np.exp(-truth)), np.arange(n)


def test_beta_is_kept_where_scores_have_a_knee_and_platt_where_they_have_none():
    scores, engaged, users = bent(40_000)
    assert calibrate(scores, engaged, users).family == "beta"
    line = [calibrate(*logistic(1.3, -0.4, 3000, seed=seed), np.arange(3000)).family for seed in range(20)]
    assert line.count("platt") >= 10, "of data from a line beta explains other users better by chance only"


def test_the_curve_of_scores_with_a_knee_is_close_to_the_truth_and_platts_is_not():
    scores, engaged, users = bent(200_000)
    got = calibrate(scores, engaged, users)
    grid = np.linspace(-8, 8, 50)
    truth = 2.5 * np.log(1 / (1 + np.exp(-grid))) - 0.2 * np.log(1 / (1 + np.exp(grid))) + 1.0
    np.testing.assert_allclose(got.confidence(grid), 1 / (1 + np.exp(-truth)), atol=0.05)
    held_scores, held, _ = bent(50_000, seed=9)
    platt = fit_platt(scores, engaged)
    assert calibration_error(got.confidence(held_scores), held) < 0.015
    assert calibration_error(platt.confidence(held_scores), held) > 0.02


def test_a_curve_is_the_formula_on_platts_sigmoid():
    curve = Curve(0.7, -0.2, low=2.0, high=0.5, shift=0.3)
    scores = np.array([-40, -3, 0, 2, 30, np.nan], np.float32)
    s = 1 / (1 + np.exp(-(0.7 * scores.astype(float) - 0.2)))
    want = 2.0 * np.log(s) - 0.5 * np.log1p(-s) + 0.3
    np.testing.assert_allclose(curve.log_odds(scores), want, rtol=1e-6)
    np.testing.assert_allclose(curve.confidence(scores), 1 / (1 + np.exp(-want)), atol=1e-9)
    assert curve.family == "beta"
    assert Curve(0.7, -0.2).family == "platt"


@given(st.lists(st.tuples(st.floats(width=32), st.booleans()), min_size=1, max_size=40))
def test_any_scores_give_a_curve_that_is_finite_and_keeps_the_order(pairs):
    scores = np.array([s for s, _ in pairs], np.float32)
    got = calibrate(scores, np.array([e for _, e in pairs], bool), np.arange(len(pairs)) // 2)
    assert all(map(math.isfinite, (got.slope, got.intercept, got.low, got.high, got.shift, got.least, got.most)))
    assert min(got.slope, got.low, got.high) >= 0
    sure = got.confidence(np.sort(scores))
    there = sure[~np.isnan(sure)]
    assert ((there >= 0) & (there <= 1)).all()
    assert (np.diff(there) >= -1e-12).all()


def test_a_slope_that_would_reverse_the_order_is_left_out():
    scores = np.linspace(-4, 4, 4001).astype(np.float32)
    chance = np.where(scores < 0, 0.1, 0.9 - 0.1 * scores)  # falls again at the top
    engaged = np.random.default_rng(0).random(len(scores)) < chance
    got = fit_beta(scores, engaged, fit_platt(scores, engaged))
    assert got.high == 0
    assert got.low > 0


def test_the_line_at_a_confidence_is_where_the_curve_reaches_it():
    curve = calibrate(*bent(20_000))
    z = curve.line_at(0.7)
    score = (z - curve.intercept) / curve.slope
    assert curve.confidence(np.array([score]))[0] == pytest.approx(0.7, abs=1e-6)
    assert Curve().line_at(0.5) == pytest.approx(0, abs=1e-9)


def test_a_confidence_that_is_never_or_always_reached_gives_an_end_of_what_was_seen():
    curve = Curve(2.0, 0.0, low=0.5, high=0.0, shift=-1.0, least=-3.0, most=4.0)
    assert curve.line_at(0.9) == 4.0
    assert curve.line_at(1e-9) == pytest.approx(-3.0)
    assert curve.line_at(0.0) == pytest.approx(-3.0)


def test_whose_the_pairs_are_must_be_said_of_each():
    with pytest.raises(ShapeError, match=r"^users: expected"):
        calibrate(np.zeros(2, np.float32), np.zeros(2, bool), np.zeros(3, np.int64))
