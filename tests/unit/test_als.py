"""ALS as an algorithm: what it minimises, what it folds in, what it says, and what it refuses."""

import numpy as np
import pytest

from recengine.algorithms.als import Als
from recengine.config import Als as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.kernels import als as kernel
from recengine.types import NO_TIME, Catalogue, Interactions, Query, TrainingData
from tests.oracles import als as oracle


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "WORK_OF_A_THREAD", 1)
        yield


def interactions(matrix):
    users, items = np.nonzero(matrix)
    indptr = np.concatenate(([0], np.cumsum((matrix != 0).sum(1)))).astype(np.int64)
    weights = matrix[users, items].astype(np.float32)
    return Interactions(*matrix.shape, indptr, items.astype(np.int32), weights, np.zeros(len(items), np.int64))


def training(matrix):
    rows = interactions(matrix)
    users, items = (Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME)) for n in matrix.shape)
    return TrainingData(rows, items, users, 0)


def query(matrix, users, changed):
    matrix = matrix[users]
    return Query(np.asarray(users, np.int32), interactions(matrix), np.full(len(users), changed, np.uint8), 0)


def taste(n_users=60, n_items=40, seed=0):
    """Three communities with their own items, weights of several sizes, and a few dislikes across."""
    rng = np.random.default_rng(seed)
    same = np.arange(n_users)[:, None] % 3 == np.arange(n_items)[None, :] % 3
    matrix = np.where(rng.random((n_users, n_items)) < np.where(same, 0.5, 0.02), rng.choice([0.5, 1.0, 2.0], (n_users, n_items)), 0.0)
    return np.where(~same & (rng.random((n_users, n_items)) < 0.03), -1.0, matrix)


def plain(model):
    return (np.nan_to_num(model._learned.users).astype(np.float64), np.nan_to_num(model._learned.items).astype(np.float64))


@pytest.mark.parametrize("solver", ["auto", "cg", "exact"])
def test_training_reaches_a_stationary_point_of_the_loss(solver):
    matrix = taste()
    config = Config(factors=5, epochs=150, solver=solver, regularization=0.05, unobserved_weight=0.2, confidence=2.0, regularization_exponent=0.7)
    users, items = plain(Als(config).fit(training(matrix), threads=2))
    args = (matrix, 0.2, 2.0, 0.05, 0.7)
    best = oracle.objective(users, items, *args)
    rng = np.random.default_rng(1)
    for _ in range(20):
        du, di = rng.normal(size=users.shape), rng.normal(size=items.shape)
        there = oracle.objective(users + 1e-4 * du, items + 1e-4 * di, *args)
        back = oracle.objective(users - 1e-4 * du, items - 1e-4 * di, *args)
        assert abs(there - back) / 2e-4 < 0.02 * np.sqrt(best)


def test_every_epoch_lowers_the_loss():
    matrix = taste()
    losses = []
    for epochs in (1, 2, 4, 8):
        config = Config(factors=8, epochs=epochs, regularization=0.02, unobserved_weight=0.1)
        losses.append(oracle.objective(*plain(Als(config).fit(training(matrix))), matrix, 0.1, 1.0, 0.02, 1.0))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_folding_in_an_unchanged_history_gives_the_stored_vector():
    matrix = taste()
    model = Als(Config(factors=12, epochs=3)).fit(training(matrix))
    users = np.arange(len(matrix))
    stored, folded = model.query_vectors(query(matrix, users, 0)), model.query_vectors(query(matrix, users, 1))
    np.testing.assert_allclose(folded, stored, atol=2e-5)
    assert np.abs(stored).max() > 0.05


def test_a_changed_history_moves_the_scores_and_an_unknown_user_is_folded_in():
    matrix = taste()
    model = Als(Config(factors=12)).fit(training(matrix))
    allowed = np.ones((1, matrix.shape[1]), np.uint8)
    other = matrix[[1]]  # another community's history
    before = model.recommend(query(matrix, [0], 0), 5, allowed).items[0]
    asked = query(other, [0], 1)
    assert (before % 3 == 0).mean() >= 0.8
    assert (model.recommend(asked, 5, allowed).items[0] % 3 == 1).mean() >= 0.8
    stranger = Query(np.array([-1], np.int32), asked.history, np.array([0], np.uint8), 0)
    np.testing.assert_array_equal(model.recommend(stranger, 5, allowed).items, model.recommend(asked, 5, allowed).items)


def test_who_and_what_was_never_seen_is_not_scored():
    matrix = taste()
    matrix[7], matrix[:, 4] = 0, 0
    matrix[8] = np.where(np.arange(40) == 1, -1.0, 0.0)  # dislikes alone
    model = Als(Config(factors=8, epochs=4)).fit(training(matrix))
    indptr, items = np.arange(0, 10, 3)[:4].astype(np.int64), np.array([4, 5, 40] * 3, np.int32)
    scores = model.score(query(matrix, [0, 7, 8], 0), indptr, items)
    assert np.isfinite(scores[1])
    assert np.isnan(np.delete(scores, 1)).all()
    top = model.recommend(query(matrix, [0, 7], 0), 40, np.ones((2, 40), np.uint8))
    assert 4 not in top.items[0]
    assert (top.items[1] == -1).all()
    assert not model.item_vectors()[4].any()
    assert model.explain(query(matrix, [0], 0), 0, 4) == ()


def test_a_dislike_lowers_the_score_of_its_item():
    matrix = taste()
    user = int(np.flatnonzero((matrix[:, 3] == 0) & (np.arange(60) % 3 == 0))[0])  # of the item's community: scores above 0
    liked, disliked = matrix.copy(), matrix.copy()
    disliked[user, 3] = -3.0
    model = Als(Config(factors=12)).fit(training(matrix))
    indptr, items = np.array([0, 1]), np.array([3], np.int32)
    assert model.score(query(disliked, [user], 1), indptr, items)[0] < model.score(query(liked, [user], 1), indptr, items)[0]


@pytest.mark.parametrize("factors", [4, 40])  # fewer and more than a history has entries
def test_an_explanation_is_the_split_of_hu_koren_and_volinsky(factors):
    matrix = taste()
    model = Als(Config(factors=factors, confidence=2.0, epochs=5, unobserved_weight=0.1)).fit(training(matrix))
    y = np.nan_to_num(model._learned.items).astype(np.float64)
    for user in (0, 5):
        own = np.flatnonzero(matrix[user])
        c, p = oracle.confidences(matrix[user, own], 2.0)
        ridge = 0.1 * np.count_nonzero((matrix != 0).any(0)) + len(own)
        a = np.diag(model._learned.fold.spectrum) + model.config.regularization * ridge**model.config.regularization_exponent * np.eye(y.shape[1])
        a += y[own].T @ (y[own] * c[:, None])
        want = {int(j): w for j, w, kept in zip(own, (y[own] @ np.linalg.solve(a, y[9])) * c, p, strict=True) if kept}
        got = model.explain(query(matrix, [user], 0), 0, 9, top=100)
        assert {e.item for e in got} == set(want)
        np.testing.assert_allclose([e.weight for e in got], [want[e.item] for e in got], atol=1e-5)


def test_similar_items_and_users_come_from_the_same_community():
    matrix = taste()
    model = Als(Config(factors=8, epochs=10)).fit(training(matrix))
    top = model.similar_items(np.array([0, 1, 99, -1], np.int32), 5)
    assert (top.items[:2] % 3 == np.array([[0], [1]])).mean() >= 0.8
    assert 0 not in top.items[0]
    assert (top.items[2:] == -1).all()
    users = model.similar_users(query(matrix, [3, 4], 0), 5)
    assert (users.items % 3 == np.array([[0], [1]])).mean() >= 0.8
    assert 3 not in users.items[0]
    np.testing.assert_allclose(np.linalg.norm(model.item_vectors(), axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_for_any_threads_and_another_seed_does_not():
    matrix = taste(200, 90)
    one, two, other = (
        Als(Config(factors=20, epochs=4)).fit(training(matrix), seed=seed, threads=threads)._learned.users
        for seed, threads in ((0, 1), (0, 2), (1, 1))
    )
    assert np.array_equal(one, two, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_a_folder_of_another_width_is_refused(tmp_path):
    Als(Config(factors=8, epochs=1)).fit(training(taste())).save(tmp_path)
    with pytest.raises(BadArtifact, match=r"users\.npy"):
        Als.load(Config(factors=64), tmp_path)
    (tmp_path / "spectrum.npy").unlink()
    with pytest.raises(BadArtifact, match=r"spectrum\.npy"):
        Als.load(Config(factors=8), tmp_path)


def test_data_without_a_positive_entry_is_refused():
    with pytest.raises(EmptyData):
        Als(Config()).fit(training(-np.eye(4)))


def test_a_divergence_is_an_error():
    matrix = taste()
    matrix[0, np.flatnonzero(matrix[0])[0]] = np.inf
    with pytest.raises(TrainingFailed):
        Als(Config(factors=4, epochs=2)).fit(training(matrix))


ODD = {
    "one user": np.array([[1.0, 0.0, 2.0]]),
    "one item": np.ones((4, 1)),
    "one of each": np.ones((1, 1)),
    "a user with every item": np.vstack((np.ones((1, 6)), np.eye(6))),
    "more factors than rank": np.eye(3) + np.eye(3)[::-1],
    "zero and negative weights": np.array([[1.0, -2.0, 0.0], [0.0, 1.0, -1.0]]),
    "one weight": np.full((5, 4), 3.0),
    "large and tiny weights": np.array([[1e6, 1e-30, 1.0], [1.0, 1.0, 0.0]]),
}


@pytest.mark.parametrize("solver", ["auto", "cg", "exact"])
@pytest.mark.parametrize("name", ODD)
def test_odd_data_gives_finite_scores_where_there_are_vectors(name, solver):
    matrix = ODD[name]
    n_users, n_items = matrix.shape
    model = Als(Config(factors=32, epochs=4, solver=solver)).fit(training(matrix))
    indptr = np.arange(0, (n_users + 1) * n_items, n_items, dtype=np.int64)
    items = np.tile(np.arange(n_items, dtype=np.int32), n_users)
    table = model.score(query(matrix, np.arange(n_users), 0), indptr, items).reshape(matrix.shape)
    engaged = (matrix > 0).any(1)[:, None] & (matrix != 0).any(0)[None, :]
    np.testing.assert_array_equal(np.isnan(table), ~engaged)


def test_a_weight_of_nan_is_an_error_that_says_so():
    matrix = taste()
    matrix[0, np.flatnonzero(matrix[0])[0]] = np.nan
    with pytest.raises(TrainingFailed, match="als: 1 entries have no finite weight; that of user row 0 "):
        Als(Config(epochs=1)).fit(training(matrix))
