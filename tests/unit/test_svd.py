"""SVD as an algorithm: how much it captures, what it folds in, what an update changes, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recengine.algorithms.base import Factors, Incremental
from recengine.algorithms.svd import Svd, truncated
from recengine.algorithms.weighting import weighted
from recengine.config import Svd as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.kernels import sparse as kernel
from tests.unit.test_als import query, taste, training


@pytest.fixture(autouse=True, scope="module")
def _small_problems_get_their_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "WORK_OF_A_THREAD", 1)
        yield


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(1, 1), (1, 9), (9, 1), (40, 25), (60, 200)]), st.integers(1, 12))
def test_the_vectors_capture_what_the_leading_singular_vectors_do(seed, shape, rank):
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random(shape) < 0.3, rng.standard_normal(shape), 0.0).astype(np.float32)
    rank = min(rank, *shape)
    vectors, squares = truncated(sparse.csr_matrix(matrix), rank, 8, 6, seed=0, threads=1)
    again, _ = truncated(sparse.csr_matrix(matrix), rank, 8, 6, seed=0, threads=2)
    np.testing.assert_array_equal(vectors, again)
    wanted = np.linalg.svd(matrix, compute_uv=False)[:rank] ** 2
    kept = squares > 0
    np.testing.assert_allclose(vectors.T @ vectors, np.diag(kept), atol=1e-4)
    captured = np.square(matrix @ vectors).sum()
    assert captured >= 0.995 * wanted.sum() - 1e-6
    assert captured <= (1 + 1e-4) * wanted.sum() + 1e-6
    assert 0.98 * captured - 1e-6 <= squares.sum() <= (1 + 1e-4) * captured + 1e-6  # of what the power iteration saw


def test_more_power_iterations_capture_more():
    matrix = sparse.random(400, 300, density=0.05, format="csr", dtype=np.float32, rng=1)
    energies = [np.square(matrix @ truncated(matrix, 20, 0, n, seed=0, threads=1)[0]).sum() for n in (0, 1, 3, 8)]
    assert energies == sorted(energies)
    assert energies[0] < 0.97 * energies[-1]


def test_plain_scores_are_the_truncated_reconstruction():
    matrix = taste()
    model = Svd(Config(factors=6, weighting="plain", iterations=20)).fit(training(matrix))
    u, s, v = np.linalg.svd(matrix)
    users = np.arange(len(matrix))
    indptr, items = np.arange(0, matrix.size + 1, matrix.shape[1]), np.tile(np.arange(matrix.shape[1], dtype=np.int32), len(users))
    got = model.score(query(matrix, users, 0), indptr.astype(np.int64), items).reshape(matrix.shape)
    np.testing.assert_allclose(got, (u[:, :6] * s[:6]) @ v[:6], atol=5e-3)


def test_normalized_scores_are_the_low_pass_filter_of_gf_cf():
    matrix = np.abs(taste())
    model = Svd(Config(factors=5, iterations=30)).fit(training(matrix))
    users, items = matrix.sum(1), matrix.sum(0)
    v = np.linalg.svd(matrix / np.sqrt(np.outer(users, items)))[2][:5]
    wanted = (matrix / np.sqrt(items)) @ v.T @ v * np.sqrt(items)
    got = model.query_vectors(query(matrix, np.arange(60), 0)) @ model.item_factors().T
    np.testing.assert_allclose(got, wanted, atol=5e-3)


@pytest.mark.parametrize("how", ["plain", "tfidf", "bm25", "normalized"])
def test_folding_in_an_unchanged_history_gives_the_stored_bits(how):
    matrix = taste()
    model = Svd(Config(factors=8, weighting=how)).fit(training(matrix), threads=2)
    stored, folded = (model.query_vectors(query(matrix, np.arange(60), changed)) for changed in (0, 1))
    np.testing.assert_array_equal(stored, folded)
    assert np.isfinite(stored).all()
    assert isinstance(model, Factors)
    assert isinstance(model, Incremental)


def test_an_update_gives_new_users_and_items_vectors_and_leaves_the_rest_alone():
    matrix = taste(120, 60)
    old = matrix.copy()
    old[110:], old[:, 55:] = 0, 0
    config = Config(factors=3, iterations=20)
    before = Svd(config).fit(training(old[:110, :55]))
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
    again = after.update(training(matrix), changed, fresh)
    np.testing.assert_array_equal(again.item_factors(), after.item_factors())


@pytest.mark.parametrize("how", ["plain", "tfidf", "normalized"])
def test_a_new_item_is_projected_on_the_vectors_as_they_were_learned_though_items_have_grown(how):
    grown = np.abs(taste(120, 60))
    old = grown.copy()
    old[60:, :15], old[:, 59] = 0, 0  # fifteen items double
    model = Svd(Config(factors=3, iterations=20, weighting=how)).fit(training(old))
    space = weighted(training(old).interactions, how, "svd")
    v = np.nan_to_num(model.item_factors() / space.scale[:, None]).astype(np.float64)
    changed = np.append(np.arange(15), 59).astype(np.int32)
    after = model.update(training(grown), np.arange(120, dtype=np.int32), changed)
    now = weighted(training(grown).interactions, how, "svd")
    a = now.matrix.toarray().astype(np.float64)
    sigma = model._learned.fold.spectrum[:3].astype(np.float64)
    wanted = (v.T @ (a.T @ a[:, 59]))[:3] / sigma * now.scale[59]
    np.testing.assert_allclose(after.item_factors()[59, :3], wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_more_factors_than_rank_and_a_single_row_are_answered():
    for matrix in (taste(3, 40), np.ones((1, 1)), np.ones((5, 1)), np.ones((1, 5)), np.ones((4, 4))):
        model = Svd(Config(factors=64)).fit(training(matrix))
        asked = query(matrix, np.arange(len(matrix)), 0)
        top = model.recommend(asked, 3, np.ones(matrix.shape, np.uint8))
        assert (top.items[:, 0] >= 0).all()


def test_weights_that_are_not_numbers_and_nothing_to_learn_are_said():
    matrix = taste()
    data = training(matrix)
    data.interactions.weights[5] = np.nan
    with pytest.raises(TrainingFailed, match="user row 0 and item row"):
        Svd(Config()).fit(data)
    with pytest.raises(EmptyData):
        Svd(Config()).fit(training(-np.abs(matrix)))


def test_a_folder_of_another_width_is_refused(tmp_path):
    Svd(Config(factors=8)).fit(training(taste())).save(tmp_path)
    with pytest.raises(BadArtifact, match="users"):
        Svd.load(Config(factors=40), tmp_path)
