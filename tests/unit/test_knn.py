"""Item-KNN and user-KNN as models: what they score, what they leave unscored, and that every way to ask agrees."""

import numpy as np
import pytest

from recengine.algorithms import similarity
from recengine.algorithms.base import Scorer, SimilarItems, SimilarUsers, Trainable
from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.user_knn import UserKnn
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.config import UserKnn as UserKnnConfig
from recengine.errors import BadArtifact, EmptyData, NotFitted
from recengine.types import Catalogue, Interactions, Query, TrainingData
from tests.oracles import knn as oracle

SCHEMES = ("plain", "tfidf", "bm25")


def history(rows, n_items):
    """Make interactions of lists of (item, weight)."""
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    flat = [entry for row in rows for entry in row]
    items, weights = np.array([i for i, _ in flat], np.int32), np.array([w for _, w in flat], np.float32)
    return Interactions(len(rows), n_items, indptr, items, weights, np.arange(len(flat), dtype=np.int64))


def training(found):
    def everything(n):
        return Catalogue(n, {}, np.ones(n, np.uint8), np.zeros(n, np.int64))

    return TrainingData(found, everything(found.n_items), everything(found.n_users), 0)


def drawn(seed=0, n_users=60, n_items=40):
    rng = np.random.default_rng(seed)
    rows = [
        [
            (int(i), float(rng.choice([-1, 0.5, 1, 2, 10])))
            for i in rng.choice(n_items - 2, rng.integers(0, 15), replace=False)
        ]
        for _ in range(n_users)
    ]
    return history(rows, n_items)


def asking(found, users=None, changed=0):
    users = np.arange(found.n_users) if users is None else users
    return Query(np.asarray(users, np.int32), found, np.full(found.n_users, changed, np.uint8), 0)


def everything(found):
    indptr = np.arange(found.n_users + 1, dtype=np.int64) * found.n_items
    return indptr, np.tile(np.arange(found.n_items, dtype=np.int32), found.n_users)


def models(**settings):
    return [ItemKnn(ItemKnnConfig(**settings)), UserKnn(UserKnnConfig(**settings))]


@pytest.mark.parametrize("model", models(), ids=lambda m: m.kind)
def test_it_keeps_the_contract(model):
    assert isinstance(model, Scorer)
    assert isinstance(model, Trainable)
    assert isinstance(model, SimilarItems if model.kind == "item_knn" else SimilarUsers)
    with pytest.raises(NotFitted):
        model.score(asking(drawn()), *everything(drawn()))
    with pytest.raises(EmptyData):
        model.fit(training(history([[(0, -1.0)], []], 3)))


@pytest.mark.parametrize("weighting", SCHEMES)
def test_item_scores_follow_the_formula(weighting):
    found, k, shrinkage = drawn(), 7, 0.5
    model = ItemKnn(ItemKnnConfig(neighbors=k, shrinkage=shrinkage, weighting=weighting)).fit(training(found))
    weights = dense(found)
    unit, norms = weighed(weights.T, weighting)
    near = nearest(unit, norms, shrinkage * (norms**2).sum() / (weights > 0).sum(), k)
    strengths = {"plain": weights, "tfidf": np.sqrt(weights), "bm25": 2.2 * weights / (weights + 1.2)}[weighting]
    wanted = strengths @ near
    wanted[weights.sum(axis=1) == 0] = np.nan
    wanted[:, weights.sum(axis=0) == 0] = np.nan
    got = model.score(asking(found), *everything(found)).reshape(wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    assert np.isnan(got).any()


@pytest.mark.parametrize("weighting", SCHEMES)
def test_user_scores_follow_the_formula(weighting):
    found, k, shrinkage = drawn(), 7, 0.5
    model = UserKnn(UserKnnConfig(neighbors=k, shrinkage=shrinkage, weighting=weighting)).fit(training(found))
    weights = dense(found)
    unit, norms = weighed(weights, weighting)
    near = nearest(unit, norms, shrinkage * (norms**2).sum() / (weights > 0).sum(), k)
    strengths = {"plain": weights, "tfidf": np.sqrt(weights), "bm25": 2.2 * weights / (weights + 1.2)}[weighting]
    wanted = near @ strengths
    wanted[weights.sum(axis=1) == 0] = np.nan
    wanted[:, weights.sum(axis=0) == 0] = np.nan
    got = model.score(asking(found), *everything(found)).reshape(wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    assert np.isnan(got).any()


def dense(found):
    rows = np.repeat(np.arange(found.n_users), np.diff(found.indptr))
    out = np.zeros((found.n_users, found.n_items))
    out[rows, found.items] = np.maximum(found.weights, 0)
    return out


def weighed(weights, weighting):
    count = np.count_nonzero(weights.sum(axis=1))
    having = (weights > 0).sum(axis=0)
    rarity = {
        "plain": np.ones(len(having)),
        "tfidf": np.log1p(count / np.maximum(having, 1)),
        "bm25": np.log1p((count - having + 0.5) / (having + 0.5)),
    }
    return oracle.unit_rows(weights, rarity[weighting], weighting, weights.sum() / count)


def nearest(unit, norms, shrinkage, k):
    full = oracle.similarities(unit, np.arange(len(unit)), norms, unit, norms, shrinkage)
    items, scores = oracle.best(full, np.ones(full.shape), k)
    out = np.zeros(full.shape)
    for r, (row, values) in enumerate(zip(items, scores, strict=True)):
        out[r, row[row >= 0]] = values[row >= 0]
    return out


@pytest.mark.parametrize("model", models(neighbors=5), ids=lambda m: m.kind)
def test_every_way_to_ask_gives_the_same_bits(model, tmp_path):
    found = drawn(1)
    model.fit(training(found), threads=1)
    scores = model.score(asking(found), *everything(found))
    mask = (np.random.default_rng(0).random((found.n_users, found.n_items + 3)) < 0.8).astype(np.uint8)
    best = model.recommend(asking(found), 6, mask, threads=2)

    again = type(model)(model.config).fit(training(found), threads=2, seed=9)
    np.testing.assert_array_equal(again.score(asking(found), *everything(found), threads=2), scores)
    model.save(tmp_path)
    loaded = type(model).load(model.config, tmp_path)
    np.testing.assert_array_equal(loaded.score(asking(found), *everything(found)), scores)
    np.testing.assert_array_equal(loaded.recommend(asking(found), 6, mask).items, best.items)

    table = scores.reshape(found.n_users, found.n_items)
    for b in range(found.n_users):
        allowed = np.where(mask[b, : found.n_items] == 1, np.nan_to_num(table[b]), 0)
        order = [i for i in np.argsort(-allowed, kind="stable") if allowed[i] > 0][:6]
        assert best.items[b].tolist() == order + [-1] * (6 - len(order))
        np.testing.assert_array_equal(best.scores[b, : len(order)], table[b, order])
        one = Interactions(1, found.n_items, found.indptr[b : b + 2], found.items, found.weights, found.times)
        single = Query(np.array([b], np.int32), one, np.zeros(1, np.uint8), 0)
        np.testing.assert_array_equal(model.recommend(single, 6, mask[b : b + 1]).items[0], best.items[b])


def test_a_user_asked_on_the_fly_gets_what_the_stored_neighbors_give():
    found = drawn(2)
    model = UserKnn(UserKnnConfig(neighbors=6)).fit(training(found))
    stored = model.score(asking(found), *everything(found))
    np.testing.assert_array_equal(model.score(asking(found, changed=1), *everything(found)), stored)
    mixed = Query(np.arange(60, dtype=np.int32), found, (np.arange(60) % 3 == 0).astype(np.uint8), 0)
    np.testing.assert_array_equal(model.score(mixed, *everything(found)), stored)
    np.testing.assert_array_equal(model.similar_users(mixed, 9).items, model.similar_users(asking(found), 9).items)


@pytest.mark.parametrize("model", models(), ids=lambda m: m.kind)
def test_a_new_user_with_a_history_is_scored_and_one_without_is_not(model):
    found = drawn(3)
    model.fit(training(found))
    later = history([[(1, 1.0), (2, 2.0), (99, 1.0)], [], [(3, -1.0)], [(99, 1.0)], [(38, 1.0)]], 100)
    scores = model.score(asking(later, users=[-1, -1, 500, -1, -1]), *everything(later)).reshape(5, 100)
    assert np.nanmax(scores[0]) > 0
    assert np.isnan(scores[0, 38:]).all()  # never seen in training
    assert np.isnan(scores[1:]).all()
    best = model.recommend(asking(later, users=[-1] * 5), 3, np.ones((5, 100), np.uint8))
    assert (best.items[0] >= 0).all()
    assert (best.items[1:] == -1).all()
    assert np.isnan(best.scores[1:]).all()


def test_no_overlap_scores_zero_and_is_not_recommended():
    found = history([[(0, 1.0), (1, 1.0)], [(2, 1.0), (3, 1.0)]], 4)
    for model in models(shrinkage=0.0):
        model.fit(training(found))
        asked = asking(history([[(0, 1.0)]], 4), users=[-1])
        scores = model.score(asked, *everything(asked.history))
        assert scores[1] > 0
        assert scores[2:].tolist() == [0, 0]
        best = model.recommend(asked, 4, np.ones((1, 4), np.uint8))
        assert {2, 3}.isdisjoint(best.items[0].tolist())


@pytest.mark.parametrize("model", models(history_limit=2), ids=lambda m: m.kind)
def test_only_the_latest_entries_count(model):
    whole = history([[(5, 1.0), (0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0)], [(1, 1.0), (2, 1.0)]], 6)
    cut = history([[(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0)], [(1, 1.0), (2, 1.0)]], 6)
    long = model.fit(training(whole)).score(asking(whole, changed=1), *everything(whole))
    np.testing.assert_array_equal(long, model.fit(training(cut)).score(asking(cut, changed=1), *everything(cut)))


def test_item_evidence_sums_to_the_score():
    found = drawn(4)
    model = ItemKnn(ItemKnnConfig(neighbors=8)).fit(training(found))
    scores = model.score(asking(found), *everything(found)).reshape(found.n_users, -1)
    user, item = np.unravel_index(np.nanargmax(scores), scores.shape)
    said = model.explain(asking(found), int(user), int(item), top=500)
    assert sum(e.weight for e in said) == pytest.approx(scores[user, item], rel=1e-5)
    assert [e.weight for e in said] == sorted((e.weight for e in said), reverse=True)
    assert {e.kind for e in said} == {"because_of"}
    assert {e.item for e in said} <= set(found.items[found.indptr[user] : found.indptr[user + 1]].tolist())
    assert model.explain(asking(found), int(user), int(item), top=1) == said[:1]


def test_user_evidence_is_one_sum_and_names_nobody():
    found = drawn(5)
    model = UserKnn(UserKnnConfig(neighbors=8)).fit(training(found))
    scores = model.score(asking(found), *everything(found)).reshape(found.n_users, -1)
    user, item = np.unravel_index(np.nanargmax(scores), scores.shape)
    (said,) = model.explain(asking(found), int(user), int(item))
    assert (said.kind, said.item, said.weight) == ("similar_users", -1, float(scores[user, item]))
    assert model.explain(asking(found), int(user), found.n_items - 1) == ()


def test_similar_items_are_the_stored_neighbors_without_the_item_itself():
    found = history([[(0, 1.0), (1, 1.0), (2, 1.0)], [(0, 1.0), (1, 1.0)], [(2, 1.0)]], 5)
    model = ItemKnn(ItemKnnConfig(shrinkage=0.0, weighting="plain")).fit(training(found))
    best = model.similar_items(np.array([0, 4, 77, -1], np.int32), 3)
    assert best.items.tolist() == [[1, 2, -1], [-1] * 3, [-1] * 3, [-1] * 3]
    np.testing.assert_allclose(best.scores[0, :2], [1.0, 0.5], rtol=1e-6)


@pytest.mark.parametrize("model", models(), ids=lambda m: m.kind)
def test_a_damaged_folder_is_refused(model, tmp_path):
    model.fit(training(drawn())).save(tmp_path)
    for name, array in (
        ("indptr", np.array([0, 5], np.int64)),
        ("similarities", np.zeros((2, 2))),
        ("neighbors", np.zeros(3, np.int64)),
    ):
        kept = (tmp_path / f"{name}.npy").read_bytes()
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(BadArtifact):
            type(model).load(model.config, tmp_path)
        (tmp_path / f"{name}.npy").write_bytes(kept)
    (tmp_path / "neighbors.npy").unlink()
    with pytest.raises(BadArtifact):
        type(model).load(model.config, tmp_path)


def test_progress_ends_at_the_last_row(monkeypatch):
    monkeypatch.setattr(similarity, "CHUNK", 16)
    found, heard = drawn(), []
    chunked = ItemKnn(ItemKnnConfig()).fit(training(found), progress=lambda done, total: heard.append((done, total)))
    assert heard == [(16, 40), (32, 40), (40, 40)]
    monkeypatch.undo()
    whole = ItemKnn(ItemKnnConfig()).fit(training(found))
    np.testing.assert_array_equal(
        chunked.score(asking(found), *everything(found)), whole.score(asking(found), *everything(found))
    )
