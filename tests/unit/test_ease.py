"""EASE as a model: both forms against the closed form, what an update changes, bad input, and memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.algorithms import ease
from recengine.algorithms.base import Incremental, Scorer, SimilarItems, Trainable
from recengine.algorithms.ease import Ease
from recengine.config import Ease as Config
from recengine.errors import BadArtifact, EmptyData, TrainingFailed
from recengine.types import Query
from tests.oracles import ridge as oracle
from tests.unit.test_graph_filter import scored, signed
from tests.unit.test_knn import asking, drawn, everything, history, training


def wanted(found, regularization):
    """What the closed form says, cut at 0, NaN where the model cannot say."""
    strengths = np.sqrt(np.maximum(signed(found), 0))
    scale = np.sqrt(np.mean(np.square(strengths[strengths > 0])))
    out = np.maximum(strengths @ oracle.ease(strengths / scale, regularization), 0)
    out[strengths.sum(axis=1) == 0] = np.nan
    out[:, strengths.sum(axis=0) == 0] = np.nan
    return out


def test_it_keeps_the_contract():
    for protocol in (Scorer, Trainable, SimilarItems, Incremental):
        assert isinstance(Ease(Config()), protocol)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 10.0]))
def test_both_forms_follow_the_closed_form(seed, regularization):
    found = drawn(seed, n_users=25, n_items=18)
    for inverse in ("exact", "sparse"):
        model = Ease(Config(inverse=inverse, regularization=regularization)).fit(training(found))
        expected = wanted(found, regularization)
        got = scored(model, found)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        if inverse == "exact":
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def test_the_sparse_form_with_the_full_pattern_is_the_exact_one():
    rng = np.random.default_rng(0)
    rows = [[(0, 1.0), *((int(i), 1.0) for i in 1 + rng.permutation(19)[: rng.integers(1, 12)])] for _ in range(200)]
    found = history(rows, 20)  # item 0 meets every item, and enough users make every pair meet
    exact, sparse = (Ease(Config(inverse=form, regularization=5.0)).fit(training(found)) for form in ("exact", "sparse"))
    np.testing.assert_allclose(scored(sparse, found), scored(exact, found), rtol=1e-4, atol=1e-6)
    few = Ease(Config(inverse="sparse", regularization=5.0, neighbors=3)).fit(training(found))
    assert not np.allclose(scored(few, found), scored(exact, found), rtol=1e-2)


def test_auto_goes_by_the_number_of_items():
    found = drawn()
    for limit, file in ((40, "weights"), (39, "indptr")):
        model = Ease(Config(exact_up_to=limit)).fit(training(found))
        assert scored(model, found).tobytes() == scored(Ease(Config(inverse="exact" if file == "weights" else "sparse")).fit(training(found)), found).tobytes()


def test_the_unit_of_weights_does_not_matter_and_dislikes_are_no_vote():
    found = drawn(2)
    rows = [list(zip(found.items[a:b].tolist(), found.weights[a:b].tolist(), strict=True)) for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)]
    other = history([[(i, 4 * w) for i, w in row if w > 0] for row in rows], found.n_items)
    for inverse in ("exact", "sparse"):
        one, four = (Ease(Config(inverse=inverse, regularization=2.0)).fit(training(f)) for f in (found, other))
        np.testing.assert_allclose(scored(four, other), 2 * scored(one, found), rtol=1e-3, atol=1e-5)


def test_an_update_of_the_sparse_form_knows_new_items_and_keeps_the_old_model():
    before = history([[(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0), (2, 1.0)], [(2, 1.0)]], 3)
    after = history([[(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0), (2, 1.0)], [(2, 1.0), (3, 1.0)], [(0, 1.0), (3, 1.0)]], 4)
    config = Config(inverse="sparse", regularization=1.0)
    old = Ease(config).fit(training(before))
    kept = scored(old, before)
    new = old.update(training(after), np.array([2, 3], np.int32), np.array([0, 2, 3], np.int32))
    np.testing.assert_array_equal(scored(old, before), kept)
    whole = Ease(config).fit(training(after))
    np.testing.assert_allclose(scored(new, after)[:, [0, 2, 3]], scored(whole, after)[:, [0, 2, 3]], rtol=1e-6)
    asked = asking(history([[(3, 1.0)]], 4), users=[-1])
    assert new.recommend(asked, 1, np.ones((1, 4), np.uint8)).items[0, 0] in {0, 2}
    exact = Ease(Config(regularization=1.0)).fit(training(before)).update(training(after), np.empty(0, np.int32), np.arange(4, dtype=np.int32))
    np.testing.assert_array_equal(scored(exact, after), scored(Ease(Config(regularization=1.0)).fit(training(after)), after))


def test_an_update_leaves_weights_that_rest_on_nearly_the_same_entries_and_counts_from_the_last_fit(tmp_path):
    base = [[(0, 1.0), (1, 1.0)], [(0, 1.0), (2, 1.0)], [(0, 1.0), (1, 1.0), (2, 1.0)], [(0, 1.0), (1, 1.0)], [(1, 1.0), (2, 1.0)], [(0, 1.0), (2, 1.0)]]
    more = [(0, 1.0), (1, 1.0)]
    config = Config(inverse="sparse", regularization=1.0)
    changed = np.array([0, 1], np.int32)
    old = Ease(config).fit(training(history(base, 3)))
    asked = history(base, 3)
    once = old.update(training(history([*base, more], 3)), np.array([6], np.int32), changed)
    np.testing.assert_array_equal(scored(once, asked), scored(old, asked))  # a fifth and a quarter more
    (tmp_path / "once").mkdir()
    once.save(tmp_path / "once")
    read = Ease.load(config, tmp_path / "once")
    twice = training(history([*base, more, more], 3))
    for model in (once, read):
        new = model.update(twice, np.array([7], np.int32), changed)
        np.testing.assert_allclose(scored(new, asked)[:, :2], scored(Ease(config).fit(twice), asked)[:, :2], rtol=1e-6)
    (tmp_path / "once" / "fitted_to.npy").unlink()
    with pytest.raises(BadArtifact, match="fitted_to"):
        Ease.load(config, tmp_path / "once")


@pytest.mark.parametrize("inverse", ["exact", "sparse"])
def test_one_user_one_item_and_a_user_with_everything_are_answered(inverse):
    config = Config(inverse=inverse, regularization=1.0)
    one = history([[(0, 1.0)]], 1)
    model = Ease(config).fit(training(one))
    assert scored(model, one).tolist() == [[0.0]]
    assert model.recommend(asking(one), 2, np.ones((1, 1), np.uint8)).items.tolist() == [[-1, -1]]
    greedy = history([[(i, 1.0) for i in range(30)], [(0, 1.0), (1, 1.0)], [(2, 1.0)]], 30)
    np.testing.assert_allclose(scored(Ease(config).fit(training(greedy)), greedy), wanted(greedy, 1.0), rtol=1e-3)
    with pytest.raises(EmptyData):
        Ease(config).fit(training(history([[(0, 0.0)], [(1, -2.0)], [(2, 0.0)]], 3)))


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(ease, "available_bytes", lambda: 12 * 40 * 40 - 1)
    with pytest.raises(TrainingFailed, match="40 items takes"):
        Ease(Config(inverse="exact")).fit(training(drawn()))
    Ease(Config(inverse="sparse")).fit(training(drawn()))
    monkeypatch.setattr(ease, "available_bytes", lambda: 12 * 40 * 40)
    Ease(Config(inverse="exact")).fit(training(drawn()))


@pytest.mark.parametrize("inverse", ["exact", "sparse"])
def test_twins_without_regularization_are_refused_by_name(inverse):
    twins = history([[(0, 1.0), (1, 1.0), (2, 1.0)]] * 9, 3)
    with pytest.raises(TrainingFailed, match="regularization 1e-300"):
        Ease(Config(inverse=inverse, regularization=1e-300)).fit(training(twins))


def test_evidence_holds_what_speaks_against_too():
    found = drawn(4)
    model = Ease(Config(regularization=1.0)).fit(training(found))
    scores = scored(model, found)
    user, item = np.unravel_index(np.nanargmax(scores), scores.shape)
    said = model.explain(asking(found), int(user), int(item), top=500)
    assert sum(e.weight for e in said) == pytest.approx(scores[user, item], rel=1e-4)
    assert min(e.weight for e in said) < 0
    assert model.explain(asking(found), int(user), 10_000) == ()


def test_a_batch_larger_than_is_held_at_once_is_its_single_rows():
    found = drawn(6, n_users=600)
    model = Ease(Config(regularization=3.0)).fit(training(found))
    best = model.recommend(asking(found), 5, np.ones((600, 40), np.uint8), threads=2)
    rows = Query(np.array([577], np.int32), history([[]], 40), np.zeros(1, np.uint8), 0)
    assert (model.recommend(rows, 5, np.ones((1, 40), np.uint8)).items == -1).all()
    last = model.score(asking(found), *everything(found)).reshape(600, 40)[599]
    order = [i for i in np.lexsort((np.arange(40), -last)) if last[i] > 0][:5]
    assert best.items[599, : len(order)].tolist() == order


def test_a_damaged_folder_is_refused(tmp_path):
    for inverse, name in (("exact", "weights"), ("sparse", "similarities")):
        folder = tmp_path / inverse
        folder.mkdir()
        Ease(Config(inverse=inverse)).fit(training(drawn())).save(folder)
        values = np.load(folder / f"{name}.npy")
        np.save(folder / f"{name}.npy", np.full_like(values, np.nan))
        with pytest.raises(BadArtifact):
            Ease.load(Config(), folder)
    with pytest.raises(BadArtifact, match="expected weights"):
        Ease.load(Config(), tmp_path)
