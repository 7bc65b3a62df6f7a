"""ALS in steps: a changed user is folded in to the bit, others stay, new rows come after the old ones."""

import numpy as np
import pytest

from recengine.algorithms.als import Als
from recengine.config import Als as AlsConfig
from recengine.types import Catalogue, Interactions, Query, TrainingData
from tests.strategies import communities


@pytest.fixture(scope="module")
def data():
    return communities(60, 40, seed=1)


@pytest.fixture(scope="module")
def model(data):
    return Als(AlsConfig(factors=8, epochs=12)).fit(data, seed=0, threads=1)


def more(data, added, n_users, n_items):
    """Add entries (user, item) of weight 1 to `data`."""
    old = data.interactions
    rows = [list(zip(*(column[old.indptr[u] : old.indptr[u + 1]] for column in (old.items, old.weights, old.times)), strict=True)) for u in range(old.n_users)]
    rows += [[] for _ in range(n_users - old.n_users)]
    for user, item in added:
        rows[user] = [entry for entry in rows[user] if entry[0] != item] + [(item, np.float32(1), data.as_of)]
    flat = [entry for row in rows for entry in row]
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    columns = (np.array(column, dtype) for column, dtype in zip(zip(*flat, strict=True), (np.int32, np.float32, np.int64), strict=True))
    found = Interactions(n_users, n_items, indptr, *columns)
    catalogues = (Catalogue(n, {}, np.ones(n, np.uint8), np.zeros(n, np.int64)) for n in (n_items, n_users))
    return TrainingData(found, *catalogues, data.as_of)


def changed(pairs):
    return (np.unique(np.array(column, np.int32)) for column in zip(*pairs, strict=True))


def lookup(model, data, users, *, fold):
    rows = data.interactions
    indptr = np.concatenate(([0], np.cumsum(np.diff(rows.indptr)[users]))).astype(np.int64)
    at = np.concatenate([np.arange(rows.indptr[u], rows.indptr[u + 1]) for u in users])
    history = Interactions(len(users), rows.n_items, indptr, rows.items[at], rows.weights[at], rows.times[at])
    query = Query(np.array(users, np.int32), history, np.full(len(users), fold, np.uint8), data.as_of)
    return model.query_vectors(query)


def test_a_changed_user_has_the_vector_that_fold_in_gives(model, data):
    pairs = [(3, 1), (3, 2), (10, 5)]
    now = more(data, pairs, 60, 40)
    updated = model.update(now, *changed(pairs), threads=1)
    np.testing.assert_allclose(lookup(updated, now, [3, 10], fold=0), lookup(updated, now, [3, 10], fold=1), rtol=1e-3, atol=1e-5)


def test_scores_of_those_who_did_nothing_stay_near(model, data):
    pairs = [(3, 1), (10, 5)]
    updated = model.update(more(data, pairs, 60, 40), *changed(pairs), threads=1)
    still = [u for u in range(60) if u not in {3, 10}]
    old, new = (lookup(m, data, still, fold=0) @ np.nan_to_num(m.item_factors()).T for m in (model, updated))
    heard = np.isfinite(old[:, 0])
    assert heard.sum() > 50
    assert np.corrcoef(old[heard].ravel(), new[heard].ravel())[0, 1] > 0.98


def test_the_old_model_goes_on_answering_as_before(model, data):
    before = model.item_factors().copy(), lookup(model, data, [0, 5], fold=0).copy()
    pairs = [(0, 7), (60, 40)]
    model.update(more(data, pairs, 61, 41), *changed(pairs), threads=1)
    np.testing.assert_array_equal(model.item_factors(), before[0])
    np.testing.assert_array_equal(lookup(model, data, [0, 5], fold=0), before[1])


def test_new_users_and_items_get_vectors_even_where_they_know_only_each_other(model, data):
    pairs = [(60, 40), (61, 0), (61, 3)]
    updated = model.update(more(data, pairs, 63, 42), *changed(pairs), threads=1)
    items = updated.item_factors()
    assert items.shape[0] == 42
    assert np.isfinite(items[40]).all()
    assert items[40].any()
    assert np.isnan(items[41]).all(), "nobody knows the last item"
    assert np.isnan(updated._learned.users[62]).all(), "and nothing is known of the last user"


def test_threads_change_no_bit(model, data):
    pairs = [(3, 1), (3, 2), (10, 5), (60, 40)]
    now = more(data, pairs, 61, 41)
    one, two = (model.update(now, *changed(pairs), threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.item_factors(), two.item_factors())
    np.testing.assert_array_equal(one._learned.users, two._learned.users)


def test_who_has_no_entry_any_more_has_no_vector(model, data):
    rows = data.interactions
    gone = slice(int(rows.indptr[4]), int(rows.indptr[5]))
    indptr = rows.indptr - np.where(np.arange(61) > 4, gone.stop - gone.start, 0)
    columns = (np.delete(column, gone) for column in (rows.items, rows.weights, rows.times))
    catalogues = data.items, data.users
    now = TrainingData(Interactions(60, 40, indptr, *columns), *catalogues, data.as_of)
    updated = model.update(now, np.empty(0, np.int32), np.empty(0, np.int32), threads=1)
    assert np.isnan(updated._learned.users[4]).all()
    assert np.isfinite(updated._learned.users[3]).all()
