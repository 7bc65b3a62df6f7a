"""FunkSVD as an algorithm: what it predicts, whom it folds in, what it does with odd ratings, and what it refuses."""

import msgspec
import numpy as np
import pytest

from recengine.algorithms.base import Factors, Incremental
from recengine.algorithms.funk_svd import FunkSvd
from recengine.config import FunkSvd as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.types import Query
from tests.unit.test_als import interactions, training


def tastes(n_users=90, n_items=60, seed=0):
    """Ratings 1..5 with biases and two tastes, a third of all pairs; 0 = none."""
    rng = np.random.default_rng(seed)
    taste = rng.standard_normal((n_users, 2)) @ rng.standard_normal((2, n_items))
    rated = 3 + rng.standard_normal(n_users)[:, None] * 0.5 + rng.standard_normal(n_items) * 0.5 + 0.8 * taste
    rated = np.clip(np.rint(rated * 2) / 2, 1, 5)
    return np.where(rng.random(rated.shape) < 0.35, rated, 0.0), rated


def rated(matrix):
    data = training(np.minimum(matrix, 1.0))
    values = matrix[matrix != 0].astype(np.float32)
    return msgspec.structs.replace(data, interactions=msgspec.structs.replace(data.interactions, values=values))


def query(matrix, users, changed):
    rows = interactions(matrix[users])
    rows = msgspec.structs.replace(rows, values=rows.weights)
    return Query(np.asarray(users, np.int32), rows, np.full(len(users), changed, np.uint8), 0)


def predictions(model, asked, n_items):
    indptr = np.arange(0, len(asked.users) * n_items + 1, n_items, dtype=np.int64)
    return model.predict(asked, indptr, np.tile(np.arange(n_items, dtype=np.int32), len(asked.users))).reshape(-1, n_items)


def test_ratings_that_were_held_out_are_predicted_better_than_by_biases():
    matrix, truth = tastes()
    model = FunkSvd(Config(factors=4, epochs=120)).fit(rated(matrix), threads=2)
    alone = FunkSvd(Config(factors=4, epochs=120)).fit(rated(matrix), threads=1)
    np.testing.assert_array_equal(model.item_factors(), alone.item_factors())
    found = predictions(model, query(matrix, np.arange(90), 0), 60)
    hidden = matrix == 0
    error = np.sqrt(np.square(found - truth)[hidden].mean())
    known = np.where(hidden, np.nan, matrix)
    mean = np.nanmean(known)
    biases = mean + (np.nanmean(known, 1) - mean)[:, None] + np.nanmean(known, 0) - mean
    assert error < 0.75 * np.sqrt(np.square(biases - truth)[hidden].mean())
    assert found.min() >= 1.0
    assert found.max() <= 5.0


def test_a_new_user_is_folded_in_and_rated_like_a_known_one():
    matrix, truth = tastes()
    model = FunkSvd(Config(factors=4, epochs=120)).fit(rated(matrix[:80]))
    asked = query(matrix, np.arange(80, 90), 0)
    asked = msgspec.structs.replace(asked, users=np.full(10, -1, np.int32))
    found = predictions(model, asked, 60)
    assert np.sqrt(np.square(found - truth[80:]).mean()) < 0.9 * truth[80:].std()
    assert isinstance(model, Factors)
    assert isinstance(model, Incremental)


def test_who_and_what_has_no_rating_is_predicted_by_the_other_side():
    matrix, _ = tastes()
    matrix[:, 7] = 0
    model = FunkSvd(Config(factors=4)).fit(rated(matrix))
    stranger = query(np.zeros_like(matrix), [-1], 0)
    indptr, items = np.array([0, 3]), np.array([3, 7, 99], np.int32)
    assert np.isnan(model.score(stranger, indptr, items)).all()
    got = model.predict(stranger, indptr, items)
    mean = matrix[matrix != 0].mean()
    np.testing.assert_allclose(got[1:], mean, atol=1e-4)
    assert got[0] == pytest.approx(mean + model.item_factors()[3, 5], abs=1e-4)
    known = model.predict(query(matrix, [2], 0), np.array([0, 1]), np.array([7], np.int32))
    assert known[0] == pytest.approx(np.clip(model.query_vectors(query(matrix, [2], 0))[0, 4], 1, 5), abs=1e-5)


def test_an_update_rates_new_users_and_items():
    matrix, truth = tastes(120, 60)
    old = matrix.copy()
    old[110:], old[:, 55:] = 0, 0
    before = FunkSvd(Config(factors=4, epochs=120)).fit(rated(old[:110, :55]))
    kept = before.item_factors().copy()
    changed = np.unique(np.append(np.flatnonzero((matrix != old).any(1)), np.arange(110, 120))).astype(np.int32)
    after = before.update(rated(matrix), changed, np.arange(55, 60, dtype=np.int32))
    np.testing.assert_array_equal(before.item_factors(), kept)
    np.testing.assert_array_equal(after.item_factors()[:55], kept)
    found = predictions(after, query(matrix, np.arange(120), 0), 60)
    for part in ((slice(110, 120), slice(0, 55)), (slice(0, 110), slice(55, 60))):
        assert np.sqrt(np.square(found - truth)[part].mean()) < 0.9 * truth[part].std()


def test_an_update_solves_each_new_item_from_its_own_ratings_alone():
    """Nothing a new item gets depends on which others are new: one by one is all at once; one without ratings has none."""
    matrix, _ = tastes(90, 40)
    matrix[:, 33] = 0
    model = FunkSvd(Config(factors=4, epochs=30)).fit(rated(matrix[:, :30]))
    fresh = np.arange(30, 40, dtype=np.int32)
    at_once = model.update(rated(matrix), np.arange(0, dtype=np.int32), fresh).item_factors()
    for item in fresh:
        alone = np.where(np.isin(np.arange(40), [*range(30), item]), matrix, 0)
        one = model.update(rated(alone), np.arange(0, dtype=np.int32), np.array([item])).item_factors()
        np.testing.assert_array_equal(one[item], at_once[item])
        assert np.isnan(at_once[item, 0]) == (item == 33)
    nobody = np.arange(0, dtype=np.int32)
    np.testing.assert_array_equal(model.update(rated(matrix[:, :30]), nobody, nobody).item_factors(), model.item_factors())


def test_constant_ratings_and_a_single_one_are_predicted_as_they_are():
    for matrix in (np.full((4, 5), 3.0), np.array([[2.0]]), np.array([[4.0], [4.0]])):
        model = FunkSvd(Config()).fit(rated(matrix))
        found = predictions(model, query(matrix, np.arange(len(matrix)), 0), matrix.shape[1])
        np.testing.assert_array_equal(found, matrix)


def test_no_ratings_and_ratings_that_are_not_finite_are_said():
    matrix, _ = tastes(5, 6)
    with pytest.raises(EmptyData, match="rating"):
        FunkSvd(Config()).fit(training(matrix))
    data = rated(matrix)
    data.interactions.values[:] = np.nan
    with pytest.raises(EmptyData, match="rating"):
        FunkSvd(Config()).fit(data)
    data = rated(matrix)
    data.interactions.values[0] = np.inf
    with pytest.raises(TrainingFailed, match="is inf"):
        FunkSvd(Config()).fit(data)
    with pytest.raises(TrainingFailed, match="learning_rate"), np.errstate(all="ignore"):
        FunkSvd(Config(learning_rate=10.0)).fit(rated(tastes()[0]))


def test_a_folder_of_another_width_is_refused(tmp_path):
    FunkSvd(Config(factors=8)).fit(rated(tastes()[0])).save(tmp_path)
    with pytest.raises(BadArtifact, match="users"):
        FunkSvd.load(Config(factors=40), tmp_path)
