import subprocess
import sys

import lightgbm
import numpy as np
import pytest

from recengine.errors import EmptyData, ShapeError, TrainingFailed
from recengine.kernels.forest import Trees
from recengine.trees import Forest, permutation_importance, train


def told(seed=0, n=3000):
    """Outcomes that hang on the first two of five columns; a third is missing often, and the last says nothing at all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    x[rng.random(n) < 0.3, 2] = np.nan
    y = (x[:, 0] + x[:, 1] ** 2 + np.where(np.isnan(x[:, 2]), 1, 0) + rng.normal(size=n) > 1).astype(np.float32)
    return x, y


@pytest.mark.parametrize("params", [{}, {"num_leaves": 2}, {"min_data_in_leaf": 2000}, {"boosting": "dart"}, {"objective": "regression"}])
def test_a_forest_answers_as_lightgbm_does(params, monkeypatch):
    kept = []
    ask = lightgbm.Booster.model_to_string
    monkeypatch.setattr(lightgbm.Booster, "model_to_string", lambda self, *a, **k: (kept.append(self), ask(self, *a, **k))[1])
    x, y = told()
    forest = train(x, y, params=params, rounds=20)
    fresh = told(seed=1)[0]
    fresh[:50] = np.nan  # missing where training never saw it missing
    fresh[50:60, :2] = [np.inf, -np.inf]
    np.testing.assert_allclose(forest.predict(fresh), kept[0].predict(fresh, raw_score=True), rtol=1e-12, atol=1e-12)


def test_training_repeats_by_seed_whatever_the_threads():
    x, y = told()
    params = {"bagging_fraction": 0.5, "bagging_freq": 1}
    first, *others = (train(x, y, params=params, rounds=10, seed=7, threads=t).trees._asdict() for t in (1, 2, 1))
    for name, array in first.items():
        assert all(array.tobytes() == other[name].tobytes() for other in others), name


def test_groups_are_ranked_within():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 2)).astype(np.float32)
    y = np.zeros(2000, np.float32)
    y[np.arange(0, 2000, 10) + x[:, 0].reshape(200, 10).argmax(axis=1)] = 1
    scores = train(x, y, np.full(200, 10), rounds=20).predict(x).reshape(200, 10)
    assert (scores.argmax(axis=1) == x[:, 0].reshape(200, 10).argmax(axis=1)).mean() > 0.8


def test_a_forest_from_its_arrays_answers_bit_equal():
    x, y = told()
    forest = train(x, y, rounds=5)
    again = Forest(forest.n_features, Trees(*(array.copy() for array in forest.trees)))
    assert again.predict(x).tobytes() == forest.predict(x).tobytes()


@pytest.mark.parametrize(("name", "value"), [("left", 0), ("right", 10**6), ("feature", 5), ("threshold", np.nan), ("value", np.inf), ("roots", 10**6)])
def test_damaged_arrays_make_no_forest(name, value):
    forest = train(*told(), rounds=5)
    damaged = getattr(forest.trees, name).copy()
    damaged[1] = value
    with pytest.raises(ShapeError):
        Forest(forest.n_features, forest.trees._replace(**{name: damaged}))


def test_another_number_of_columns_is_refused():
    with pytest.raises(ShapeError, match="x: expected 5 columns, got 4"):
        train(*told(), rounds=2).predict(np.zeros((1, 4), np.float32))


@pytest.mark.parametrize(
    ("x", "y", "params", "error"),
    [
        (np.zeros((0, 3)), np.zeros(0), {}, EmptyData),
        (np.zeros((9, 3)), np.zeros(8), {}, TrainingFailed),
        (np.zeros((9, 3)), np.full(9, np.nan), {}, TrainingFailed),
        (np.zeros((9, 3)), np.zeros(9), {"objective": "cross_country"}, TrainingFailed),
        (np.random.default_rng(0).normal(size=(99, 3)), np.arange(99) % 2, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, TrainingFailed),
        (np.random.default_rng(0).normal(size=(99, 3)), np.arange(99) % 2, {"linear_tree": True}, TrainingFailed),
        (np.random.default_rng(0).normal(size=(99, 3)), np.arange(99) % 2, {"zero_as_missing": True}, TrainingFailed),
    ],
)
def test_what_cannot_be_learned_from_is_said(x, y, params, error):
    with pytest.raises(error, match="trees"):
        train(x.astype(np.float32), y.astype(np.float32), params=params, rounds=3)


def test_shuffling_a_column_costs_what_it_tells():
    x, y = told()
    forest = train(x, y, rounds=30)
    fresh, outcome = told(seed=5)
    before = fresh.copy()
    fall = permutation_importance(forest, fresh, outcome, lambda y, p: float(((p > 0) == (y > 0)).mean()))
    assert fall[:2].min() > 0.05 > abs(fall[3:]).max()
    np.testing.assert_array_equal(fresh, before)
    again = permutation_importance(forest, fresh, outcome, lambda y, p: float(((p > 0) == (y > 0)).mean()), threads=2)
    np.testing.assert_array_equal(again, fall)


def test_importing_the_engine_does_not_load_lightgbm():
    done = subprocess.run([sys.executable, "-c", "import recengine, recengine.trees, sys; sys.exit('lightgbm' in sys.modules)"], check=False)
    assert done.returncode == 0
