"""Laws of the optional protocols: who knows similar items or users, or has vectors, answers as well as who recommends."""

import numpy as np
import pytest

from recengine.algorithms.base import SimilarItems, SimilarUsers, Vectors
from tests.laws.asking import asked, fitted, pick, same, well_formed


def law_similar_items_are_well_formed(make, data):
    """Best first, unique, never the item itself, the same alone as in a batch, fewer are the first of more."""
    model, n_items = fitted(make, data), data.interactions.n_items
    if not isinstance(model, SimilarItems):
        pytest.skip("knows no similar items")
    items = np.array([*range(min(n_items, 8)), 0], np.int32)
    top = model.similar_items(items, 6)
    well_formed(top, len(items), 6)
    assert not (top.items == items[:, None]).any()
    assert top.items.max(initial=-1) < n_items
    np.testing.assert_array_equal(model.similar_items(items, 3).items, top.items[:, :3])
    for row in range(len(items)):
        alone = model.similar_items(items[row : row + 1], 6)
        np.testing.assert_array_equal(alone.items[0], top.items[row])
        np.testing.assert_array_equal(alone.scores[0], top.scores[row])
    well_formed(model.similar_items(items, n_items + 3), len(items), n_items + 3)


def law_an_item_newer_than_training_is_like_nothing(make, data):
    model, n_items = fitted(make, data), data.interactions.n_items
    if not isinstance(model, SimilarItems):
        pytest.skip("knows no similar items")
    top = model.similar_items(np.array([n_items + 2], np.int32), 4)
    assert (top.items == -1).all()
    assert np.isnan(top.scores).all()


def law_similar_users_are_well_formed(make, data):
    model, query = fitted(make, data), asked(data)
    if not isinstance(model, SimilarUsers):
        pytest.skip("knows no similar users")
    top = model.similar_users(query, 5)
    well_formed(top, len(query.users), 5)
    assert not (top.items == query.users[:, None])[query.users >= 0].any()
    assert top.items.max(initial=-1) < data.interactions.n_users
    np.testing.assert_array_equal(model.similar_users(query, 2).items, top.items[:, :2])
    for row in range(len(query.users)):
        alone = model.similar_users(pick(query, [row]), 5)
        np.testing.assert_array_equal(alone.items[0], top.items[row])
        np.testing.assert_array_equal(alone.scores[0], top.scores[row])


def law_vectors_have_unit_length(make, data):
    """One row an item, float32, of length 1 or all zero."""
    model = fitted(make, data)
    if not isinstance(model, Vectors):
        pytest.skip("has no vectors")
    vectors = model.item_vectors()
    assert vectors.ndim == 2
    assert len(vectors) == data.interactions.n_items
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1.0, rtol=1e-5)


def law_a_repeated_question_has_the_same_answer(make, data):
    """Asking changes nothing inside the model."""
    model, query = fitted(make, data), asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    first = model.recommend(query, 6, mask)
    model.recommend(pick(query, [0]), 2, mask[:1])
    if isinstance(model, SimilarItems):
        model.similar_items(np.zeros(1, np.int32), 3)
    same(first, model.recommend(query, 6, mask))


LAWS = {name.removeprefix("law_"): law for name, law in list(globals().items()) if name.startswith("law_")}
