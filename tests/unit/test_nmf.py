"""NMF as an algorithm: what it minimises, what it folds in, what an update changes, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recengine.algorithms.base import Factors, Incremental
from recengine.algorithms.nmf import Nmf, factorised
from recengine.algorithms.weighting import weighted
from recengine.config import Nmf as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.kernels import sparse as kernel
from tests.oracles import sparse as oracle
from tests.unit.test_als import query, taste, training


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "WORK_OF_A_THREAD", 1)
        yield


def loss(matrix, parts, config):
    w, h = parts.users.astype(np.float64), parts.items.astype(np.float64)
    ridge = config.l2 * (np.square(w).sum() + np.square(h).sum()) / 2 + config.l1 * (w.sum() + h.sum())
    return np.square(matrix - w @ h.T).sum() / 2 + ridge


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(1, 1), (1, 9), (30, 20)]), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.2]))
def test_every_epoch_lowers_the_loss_and_threads_change_nothing(seed, shape, l1, l2):
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random(shape) < 0.5, rng.random(shape), 0).astype(np.float32)
    matrix[0, 0] = 1.0
    losses = []
    for epochs in (1, 2, 5, 20):
        config = Config(factors=4, epochs=epochs, tolerance=0.0, l1=l1, l2=l2)
        parts = factorised(sparse.csr_matrix(matrix), config, seed=1, threads=1)
        assert (parts.users >= 0).all()
        assert (parts.items >= 0).all()
        losses.append(loss(matrix, parts, config))
        targets = matrix.T @ parts.users
        assert parts.loss(float(np.square(matrix.astype(np.float64)).sum()), targets) == pytest.approx(losses[-1], rel=1e-3, abs=1e-3)
    again = factorised(sparse.csr_matrix(matrix), config, seed=1, threads=2)
    np.testing.assert_array_equal(parts.users, again.users)
    np.testing.assert_array_equal(parts.items, again.items)
    assert all(b <= a * (1 + 1e-5) + 1e-6 for a, b in zip(losses, losses[1:], strict=False))


def test_parts_that_were_put_in_are_found():
    rng = np.random.default_rng(3)
    w, h = (np.maximum(rng.standard_normal((n, 4)) - 0.3, 0) for n in (80, 50))
    parts = factorised(sparse.csr_matrix((w @ h.T).astype(np.float32)), Config(factors=4, epochs=800, tolerance=1e-9), seed=0, threads=1)
    assert np.square(w @ h.T - parts.users @ parts.items.T).sum() < 1e-3 * np.square(w @ h.T).sum()


def test_a_folded_in_history_is_the_best_non_negative_vector():
    matrix = np.abs(taste())
    model = Nmf(Config(factors=5, weighting="plain", l1=0.01, l2=0.1)).fit(training(matrix))
    items = model.item_factors()[:, :5]
    folded = model.query_vectors(query(matrix, np.arange(60), 1))
    for user in range(0, 60, 7):
        want = oracle.nonnegative((items.T @ items).astype(np.float64), (matrix[user] @ items).astype(np.float64), 0.01, 0.1)
        np.testing.assert_allclose(folded[user, :5], want, atol=2e-3)


@pytest.mark.parametrize("how", ["plain", "tfidf", "bm25", "normalized"])
def test_folding_in_an_unchanged_history_gives_the_stored_bits(how):
    matrix = taste()
    model = Nmf(Config(factors=8, weighting=how)).fit(training(matrix), threads=2)
    stored, folded = (model.query_vectors(query(matrix, np.arange(60), changed)) for changed in (0, 1))
    np.testing.assert_array_equal(stored, folded)
    assert (stored >= 0).all()
    assert isinstance(model, Factors)
    assert isinstance(model, Incremental)


def test_an_update_gives_new_users_and_items_vectors_and_leaves_the_rest_alone():
    matrix = taste(120, 60)
    old = matrix.copy()
    old[110:], old[:, 55:] = 0, 0
    before = Nmf(Config(factors=3, epochs=200)).fit(training(old[:110, :55]))
    kept = before.item_factors().copy()
    changed = np.unique(np.append(np.flatnonzero((matrix != old).any(1)), np.arange(110, 120))).astype(np.int32)
    fresh = np.arange(55, 60, dtype=np.int32)
    after = before.update(training(matrix), changed, fresh)
    np.testing.assert_array_equal(before.item_factors(), kept)
    np.testing.assert_array_equal(after.item_factors()[:55], kept)
    vectors = after.item_vectors()
    likest = np.argsort(-(vectors[fresh] @ vectors[:55].T), axis=1)[:, :5]
    assert (likest % 3 == fresh[:, None] % 3).mean() > 0.9
    top = after.recommend(query(matrix, np.arange(110, 120), 0), 5, np.ones((10, 60), np.uint8))
    assert (top.items % 3 == np.arange(110, 120)[:, None] % 3).mean() > 0.9


@pytest.mark.parametrize("how", ["plain", "tfidf", "normalized"])
def test_items_that_have_grown_are_folded_against_as_they_were_learned(how):
    """A chain of increments in which known items double, and each brings a new one."""
    grown = np.abs(taste(120, 60))
    old = grown.copy()
    old[60:, :15], old[:, 58:] = 0, 0
    model = Nmf(Config(factors=3, epochs=200, weighting=how)).fit(training(old))
    parts = np.nan_to_num(model.item_factors() / weighted(training(old).interactions, how, "nmf").scale[:, None])
    for first, last, new in ((60, 90, 58), (90, 120, 59)):
        old[first:last, :15], old[:, new] = grown[first:last, :15], grown[:, new]
        changed = np.append(np.arange(15), new).astype(np.int32)
        model = model.update(training(old), np.arange(120, dtype=np.int32), changed)
        parts[new] = model.item_factors()[new] / weighted(training(old).interactions, how, "nmf").scale[new]
        gram = parts.T.astype(np.float64) @ parts
        np.testing.assert_allclose(model._learned.fold.gram, gram, rtol=1e-4, atol=1e-5 * gram.max())


def test_more_factors_than_rank_and_a_single_row_are_answered():
    for matrix in (taste(3, 40), np.ones((1, 1)), np.ones((5, 1)), np.ones((1, 5)), np.ones((4, 4))):
        model = Nmf(Config(factors=64, epochs=10)).fit(training(matrix))
        top = model.recommend(query(matrix, np.arange(len(matrix)), 0), 3, np.ones(matrix.shape, np.uint8))
        assert (top.items[:, 0] >= 0).all()


def test_weights_that_are_not_numbers_and_nothing_to_learn_are_said():
    data = training(taste())
    data.interactions.weights[5] = np.inf
    with pytest.raises(TrainingFailed, match="is inf"):
        Nmf(Config()).fit(data)
    with pytest.raises(EmptyData):
        Nmf(Config()).fit(training(-np.abs(taste())))


def test_a_folder_of_another_width_is_refused(tmp_path):
    Nmf(Config(factors=8)).fit(training(taste())).save(tmp_path)
    with pytest.raises(BadArtifact, match="users"):
        Nmf.load(Config(factors=40), tmp_path)
