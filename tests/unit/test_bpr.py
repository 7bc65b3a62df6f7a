"""BPR as an algorithm: what it learns, what it folds in, how it goes on learning, and what it refuses."""

import msgspec
import numpy as np
import pytest

from recengine.algorithms.base import Factors, Incremental
from recengine.algorithms.bpr import Bpr
from recengine.config import Bpr as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.kernels import bpr as kernel
from tests.unit.test_als import query, taste, training


@pytest.fixture
def _many_parts_for_little_data(monkeypatch):
    monkeypatch.setattr(kernel, "WORK_OF_A_THREAD", 1)
    monkeypatch.setattr(kernel, "ROWS", 8)
    monkeypatch.setattr(kernel, "PART_BYTES", 1 << 10)


def scores(model, matrix, users, changed=0):
    n = matrix.shape[1]
    indptr = np.arange(0, (len(users) + 1) * n, n, dtype=np.int64)
    return model.score(query(matrix, users, changed), indptr, np.tile(np.arange(n, dtype=np.int32), len(users))).reshape(-1, n)


def auc(table, matrix):
    """How often an engaged item stands above one that is not, over all users."""
    above = [np.mean(row[own > 0][:, None] > row[own <= 0]) for row, own in zip(table, matrix, strict=True) if (own > 0).any()]
    return float(np.mean(above))


@pytest.mark.parametrize("how", [{}, {"hardest_of": 1}, {"hardest_of": 1, "negatives": 4, "popularity_exponent": 0.75}])
def test_what_was_engaged_with_ranks_above_what_was_not(how):
    matrix = taste()
    assert auc(scores(Bpr(Config(**how)).fit(training(matrix)), matrix, np.arange(60)), matrix) > 0.85


def test_an_item_that_all_like_has_the_larger_bias():
    matrix = taste()
    matrix[:, 4] = 1.0
    model = Bpr(Config(factors=4, hardest_of=1)).fit(training(matrix))
    assert model.item_factors()[:, -1].argmax() == 4


def test_heavier_entries_pull_harder():
    matrix = np.where(taste() > 0, 1.0, 0.0)
    user = 0
    first, second = np.flatnonzero(matrix[user])[:2]
    light, heavy = matrix.copy(), matrix.copy()
    light[user, first], heavy[user, second] = 20.0, 20.0
    gaps = [np.subtract(*scores(Bpr(Config(epochs=10)).fit(training(m)), m, [user])[0][[first, second]]) for m in (light, heavy)]
    assert gaps[0] > 0 > gaps[1]


def test_a_fold_in_ranks_as_the_trained_vectors_do():
    matrix = taste(150, 90)
    model = Bpr(Config()).fit(training(matrix))
    stored, folded = (scores(model, matrix, np.arange(150), changed) for changed in (0, 1))
    assert not np.array_equal(stored, folded)
    assert auc(folded, matrix) > auc(stored, matrix) - 0.03
    close = [np.corrcoef(a, b)[0, 1] for a, b in zip(stored, folded, strict=True)]
    assert np.median(close) > 0.85


def test_a_changed_history_moves_the_picks_and_a_stranger_gets_the_same():
    matrix = taste()
    model = Bpr(Config()).fit(training(matrix))
    allowed = np.ones((1, 40), np.uint8)
    other = matrix[[1]]
    asked = query(other, [0], 1)
    assert (model.recommend(query(matrix, [0], 0), 5, allowed).items[0] % 3 == 0).mean() >= 0.8
    picks = model.recommend(asked, 5, allowed).items
    assert (picks[0] % 3 == 1).mean() >= 0.8
    stranger = msgspec.structs.replace(asked, users=np.array([-1], np.int32), changed=np.zeros(1, np.uint8), prepared={})
    np.testing.assert_array_equal(model.recommend(stranger, 5, allowed).items, picks)


def test_who_and_what_was_never_seen_is_not_scored():
    matrix = taste()
    matrix[7], matrix[:, 4] = 0, 0
    matrix[8] = np.where(np.arange(40) == 1, -1.0, 0.0)  # dislikes alone
    table = scores(Bpr(Config(epochs=3)).fit(training(matrix)), matrix, [0, 7, 8])
    assert np.isnan(table[1:]).all()
    assert np.flatnonzero(np.isnan(table[0])).tolist() == [4]


@pytest.mark.parametrize("factors", [4, 40])  # fewer and more than a history has entries
def test_an_explanation_names_the_history_the_bias_and_the_rest(factors):
    matrix = taste()
    model = Bpr(Config(factors=factors)).fit(training(matrix))
    found = model.explain(query(matrix, [0], 0), 0, 9, top=100)
    assert sum(e.weight for e in found) == pytest.approx(scores(model, matrix, [0])[0, 9], abs=1e-4)
    assert {e.kind for e in found} == {"because_of", "popular", "model"}
    assert {e.item for e in found if e.kind == "because_of"} == set(np.flatnonzero(matrix[0] > 0).tolist())
    parts = {e.kind: e.weight for e in found if e.kind != "because_of"}
    assert parts["popular"] == pytest.approx(model.item_factors()[9, -1])
    if factors == 4:  # more items than factors: they span the user's vector
        assert abs(parts["model"]) < 0.05
    assert model.explain(query(matrix, [0], 0), 0, 40) == ()


@pytest.mark.usefixtures("_many_parts_for_little_data")
def test_the_same_seed_gives_the_same_bits_for_any_threads_and_another_seed_does_not():
    matrix = taste(300, 200)
    fits = [Bpr(Config(epochs=4)).fit(training(matrix), seed=seed, threads=threads) for seed, threads in ((0, 1), (0, 2), (0, 5), (1, 1))]
    one, two, five, other = ([m._learned.users.tobytes(), m._learned.items.tobytes()] for m in fits)
    assert kernel.blocks(300, 200, int((matrix > 0).sum()), 64) > 4
    assert one == two == five
    assert one != other


def test_an_update_serves_new_users_and_items_and_leaves_the_old_model_alone():
    matrix = taste(150, 90)
    model = Bpr(Config()).fit(training(matrix[:140, :85]))
    before = model._learned.items.copy()
    whole = training(matrix)
    users, items = np.arange(140, 150, dtype=np.int32), np.arange(85, 90, dtype=np.int32)
    updated = model.update(whole, users, items, threads=1)
    again = model.update(whole, users, items, threads=2)
    assert updated._learned.items.tobytes() == again._learned.items.tobytes()
    np.testing.assert_array_equal(model._learned.items, before)
    full = scores(Bpr(Config()).fit(whole), matrix, np.arange(150))
    table = scores(updated, matrix, np.arange(150))
    assert np.isfinite(table).all()
    assert auc(table, matrix) > auc(full, matrix) - 0.02
    assert auc(table[140:], matrix[140:]) > 0.85
    assert auc(table[:, 85:].T, matrix[:, 85:].T) > 0.7
    assert isinstance(model, Incremental)
    assert isinstance(model, Factors)


def test_an_update_of_nothing_ranks_as_before():
    matrix = taste(150, 90)
    model = Bpr(Config()).fit(training(matrix))
    updated = model.update(training(matrix), np.empty(0, np.int32), np.empty(0, np.int32))
    close = [np.corrcoef(a, b)[0, 1] for a, b in zip(scores(model, matrix, range(150)), scores(updated, matrix, range(150)), strict=True)]
    assert min(close) > 0.95


ODD = {
    "one user": np.array([[1.0, 0.0, 2.0]]),
    "one item": np.ones((4, 1)),
    "one of each": np.ones((1, 1)),
    "a user with every item": np.vstack((np.ones((1, 6)), np.eye(6))),
    "fewer items than factors": np.eye(3) + np.eye(3)[::-1],
    "zero and negative weights": np.array([[1.0, -2.0, 0.0], [0.0, 1.0, -1.0]]),
    "one weight": np.full((5, 4), 3.0),
    "large and tiny weights": np.array([[1e6, 1e-30, 1.0], [1.0, 1.0, 0.0]]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_gives_finite_scores_where_there_are_vectors(name):
    matrix = ODD[name]
    table = scores(Bpr(Config(epochs=30)).fit(training(matrix)), matrix, np.arange(len(matrix)))
    engaged = matrix > 0
    np.testing.assert_array_equal(np.isnan(table), ~(engaged.any(1)[:, None] & engaged.any(0)[None, :]))


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_an_error_that_says_so(weight):
    matrix = taste()
    matrix[0, np.flatnonzero(matrix[0])[0]] = weight
    with pytest.raises(TrainingFailed, match="weigh"):
        Bpr(Config(epochs=1)).fit(training(matrix))


def test_data_without_a_positive_entry_is_refused():
    with pytest.raises(EmptyData):
        Bpr(Config()).fit(training(-np.eye(4)))


def test_a_divergence_is_an_error():
    with pytest.raises(TrainingFailed, match="finite"):
        Bpr(Config(learning_rate=10.0, regularization=1.0)).fit(training(taste()))


def test_a_folder_of_another_width_is_refused(tmp_path):
    Bpr(Config(factors=8, epochs=1)).fit(training(taste())).save(tmp_path)
    with pytest.raises(BadArtifact, match=r"users\.npy"):
        Bpr.load(Config(factors=64), tmp_path)
    (tmp_path / "engaged.npy").unlink()
    with pytest.raises(BadArtifact, match=r"engaged\.npy"):
        Bpr.load(Config(factors=8), tmp_path)
