"""The graph filter as a model: its formula, what weights and dislikes mean, and bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.algorithms.base import Scorer, SimilarItems, Trainable
from recengine.algorithms.graph_filter import GraphFilter
from recengine.config import GraphFilter as Config
from recengine.errors import BadArtifact, EmptyData, NotFitted
from tests.oracles import graph_filter as oracle
from tests.unit.test_knn import asking, drawn, everything, history, training


def signed(found):
    rows = np.repeat(np.arange(found.n_users), np.diff(found.indptr))
    out = np.zeros((found.n_users, found.n_items))
    out[rows, found.items] = found.weights
    return out


def scored(model, found, **how):
    asked = asking(found, **how)
    return model.score(asked, *everything(found)).reshape(found.n_users, found.n_items)


def wanted(found, k=1000, **settings):
    """What the formula says, NaN where the model cannot say."""
    weights = np.maximum(signed(found), 0)
    out = weights @ oracle.strongest(oracle.weights(weights, **settings), k)
    out[weights.sum(axis=1) == 0] = np.nan
    out[:, weights.sum(axis=0) == 0] = np.nan
    return out


def test_it_keeps_the_contract():
    model = GraphFilter(Config())
    assert isinstance(model, Scorer)
    assert isinstance(model, Trainable)
    assert isinstance(model, SimilarItems)
    with pytest.raises(NotFitted):
        model.similar_items(np.zeros(1, np.int32), 2)


def test_with_the_exponents_of_the_normalised_graph_it_is_the_published_filter():
    found = drawn(3)
    model = GraphFilter(Config(exponent=0.5, history_exponent=0.5, user_exponent=1.0)).fit(training(found))
    r = np.maximum(signed(found), 0)
    normal = r / np.sqrt(np.maximum(r.sum(axis=1, keepdims=True), 1e-9)) / np.sqrt(np.maximum(r.sum(axis=0), 1e-9))
    alike = normal.T @ normal
    np.fill_diagonal(alike, 0)
    degrees = np.maximum(r.sum(axis=0), 1e-9)
    np.testing.assert_allclose(np.nan_to_num(scored(model, found)), r / np.sqrt(degrees) @ alike * np.sqrt(degrees), rtol=1e-4)


@given(st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.sampled_from([1, 7, 1000]))
def test_scores_follow_the_formula(seed, exponent, k):
    found = drawn(seed, n_users=25, n_items=18)
    model = GraphFilter(Config(exponent=exponent, neighbors=k)).fit(training(found))
    if k == 1000:
        np.testing.assert_allclose(scored(model, found), wanted(found, exponent=exponent), rtol=1e-4)
        return
    kept = oracle.weights(signed(found), exponent)
    rows = np.nonzero(kept > 0)[0]
    held = np.zeros_like(kept)
    top = model.similar_items(np.arange(found.n_items, dtype=np.int32), k)
    for item, (near, weights) in enumerate(zip(top.items, top.scores, strict=True)):
        real = near >= 0
        assert real.sum() == min(k, (rows == item).sum())
        np.testing.assert_allclose(weights[real], kept[item, near[real]], rtol=1e-4)
        held[item, near[real]] = 1
    left_out = np.where(held > 0, 0, kept).max(axis=1)
    assert (left_out <= np.nan_to_num(top.scores[:, -1]) * (1 + 1e-4)).all()


def test_every_item_is_kept_from_itself_only():
    found = history([[(0, 1.0), (1, 1.0)], [(0, 1.0)]], 3)
    model = GraphFilter(Config()).fit(training(found))
    top = model.similar_items(np.arange(3, dtype=np.int32), 3)
    assert top.items.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1]]


def test_heavier_entries_speak_louder_and_their_unit_does_not_matter():
    rows = [[(0, 1.0), (2, 1.0)], [(0, 1.0), (3, 5.0)], [(1, 1.0), (2, 1.0), (3, 1.0)]]
    found = history(rows, 4)
    model = GraphFilter(Config()).fit(training(found))
    scores = scored(model, found)
    assert scores[0, 3] != scores[0, 1]
    thousandfold = history([[(i, 1000 * w) for i, w in row] for row in rows], 4)
    other = scored(GraphFilter(Config()).fit(training(thousandfold)), thousandfold)
    np.testing.assert_allclose(other / other[0, 3], scores / scores[0, 3], rtol=1e-5)


def test_a_dislike_is_no_vote():
    rows = [[(0, 1.0), (1, 1.0)], [(1, 1.0), (2, 1.0)], [(0, 1.0), (3, 1.0)]]
    plain, disliking = history(rows, 4), history([[*row, (3 if b else 2, -1.0)] for b, row in enumerate(rows)][:2] + rows[2:], 4)
    a, b = (GraphFilter(Config()).fit(training(found)) for found in (plain, disliking))
    np.testing.assert_array_equal(scored(a, plain), scored(b, disliking))


def test_one_user_one_item_and_a_user_with_everything_are_answered():
    one = history([[(0, 1.0)]], 1)
    model = GraphFilter(Config()).fit(training(one))
    assert scored(model, one).tolist() == [[0.0]]
    assert model.recommend(asking(one), 2, np.ones((1, 1), np.uint8)).items.tolist() == [[-1, -1]]
    greedy = history([[(i, 1.0) for i in range(30)], [(0, 1.0), (1, 1.0)], [(2, 1.0)]], 30)
    scores = scored(GraphFilter(Config()).fit(training(greedy)), greedy)
    np.testing.assert_allclose(scores, wanted(greedy, exponent=Config().exponent), rtol=1e-4)
    with pytest.raises(EmptyData):
        GraphFilter(Config()).fit(training(history([[(0, 0.0)], [(1, -2.0)], [(2, 0.0)]], 3)))


def test_weights_far_apart_stay_finite():
    found = history([[(0, 1e-12), (1, 1e9)], [(1, 1e-12), (2, 1e9)], [(0, 1e9), (2, 1e-12)]], 3)
    for exponent in (-1.0, 0.5, 1.0):
        scores = scored(GraphFilter(Config(exponent=exponent)).fit(training(found)), found)
        assert np.isfinite(scores).all()


def test_a_damaged_folder_is_refused(tmp_path):
    model = GraphFilter(Config()).fit(training(drawn()))
    model.save(tmp_path)
    values = np.load(tmp_path / "similarities.npy")
    for bad in (-values, np.full_like(values, np.nan)):
        np.save(tmp_path / "similarities.npy", bad)
        with pytest.raises(BadArtifact):
            GraphFilter.load(model.config, tmp_path)


def test_an_update_finds_changed_and_new_items_as_a_fit_does_and_keeps_the_rows_of_the_others():
    before, after = history([[(0, 1), (1, 1)], [(1, 1), (2, 1)], [(3, 1), (4, 1)]], 5), history(
        [[(0, 1), (1, 1), (5, 1)], [(1, 1), (2, 1)], [(3, 1), (4, 1)]], 6
    )
    old = GraphFilter(Config()).fit(training(before))
    items = np.array([0, 1, 5], np.int32)
    new, full = old.update(training(after), np.array([0], np.int32), items), GraphFilter(Config()).fit(training(after))
    for asked, other in ((items, full), (np.array([2, 3, 4], np.int32), old)):
        mine, theirs = new.similar_items(asked, 6), other.similar_items(asked, 6)
        np.testing.assert_array_equal(mine.items, theirs.items)
        np.testing.assert_array_equal(mine.scores, theirs.scores)
    assert 5 in new.similar_items(np.array([0], np.int32), 6).items
    assert 5 not in old.similar_items(np.array([0], np.int32), 6).items
