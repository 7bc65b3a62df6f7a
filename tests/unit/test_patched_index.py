"""An index with changed rows beside it answers as one that was built anew, and increments carry it along."""

import msgspec
import numpy as np
import pytest

from recengine import config, index
from recengine.algorithms.base import Factors
from recengine.errors import BadArtifact, ShapeError
from recengine.index import Patched
from recengine.kernels.dot import dot_topk, pack
from recengine.offline import indexing
from recengine.retrieval.sources import declared
from tests.unit.test_incremental import MODELS, Place
from tests.unit.test_index import made, recall


def changed(kind, n=3000, more=40, replaced=60):
    """Return (patched, all vectors as they are now, queries)."""
    vectors, queries = made(n + more)
    old = vectors[:n].copy()
    rows = np.concatenate((np.sort(np.random.default_rng(2).choice(n, replaced, replace=False)), np.arange(n, n + more)))
    old[rows[:replaced]] = queries[0] * 9  # were the best of all, and are not any more
    base = index.build(old, config.Index(kind=kind), queries=queries, threads=1)
    return Patched(base, rows.astype(np.int32), vectors[rows]), vectors, queries


@pytest.mark.parametrize("kind", ["exact", "int8", "hnsw", "pq"])
@pytest.mark.parametrize("share", [None, 0.5, 0.01])
def test_it_finds_what_a_full_scan_of_the_rows_as_they_are_finds(kind, share):
    patched, vectors, queries = changed(kind)
    mask = None if share is None else (np.random.default_rng(1).random((9, len(vectors))) < share).astype(np.uint8)
    found, wanted = patched.search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)
    assert recall(found, wanted) >= (1.0 if kind == "exact" else 0.95)
    assert (found.items >= 3000).any()
    exact = {(q, i): s for q in range(9) for i, s in zip(wanted.items[q], wanted.scores[q], strict=True)}
    got = {(q, i): s for q in range(9) for i, s in zip(found.items[q], found.scores[q], strict=True)}
    assert all(got[key] == exact[key] for key in got.keys() & exact.keys() if key[1] >= 0)
    assert (patched.kind, patched.n, patched.d) == (kind, len(vectors), vectors.shape[1])
    assert isinstance(patched, index.Index)
    assert mask is None or all(mask[q, i] for q in range(9) for i in found.items[q] if i >= 0)


def test_equal_scores_come_by_lower_row_and_what_is_not_there_is_padding():
    base = index.build(np.ones((4, 3), np.float32), config.Index(kind="exact"))
    rows = np.array([1, 6], np.int32)
    patched = Patched(base, rows, np.array([[1, 1, 1], [1, 1, 1]], np.float32))
    found = patched.search(np.ones((2, 3), np.float32), 8)
    np.testing.assert_array_equal(found.items, [[0, 1, 2, 3, 6, -1, -1, -1]] * 2)
    assert np.isnan(found.scores[:, 5:]).all()
    with pytest.raises(ShapeError, match="mask"):
        patched.search(np.ones((1, 3), np.float32), 2, np.ones((1, 6), np.uint8))


def test_a_changed_row_without_a_vector_is_never_found():
    base = index.build(np.ones((4, 3), np.float32), config.Index(kind="exact"))
    patched = Patched(base, np.array([2], np.int32), np.full((1, 3), np.nan, np.float32))
    assert patched.search(np.ones((1, 3), np.float32), 4).items.tolist() == [[0, 1, 3, -1]]


@pytest.mark.parametrize("kind", ["int8", "hnsw"])
def test_what_was_saved_answers_bit_equal_and_damage_is_refused(kind, tmp_path):
    patched, _, queries = changed(kind)
    patched.save(tmp_path)
    again = index.load(config.Index(), tmp_path)
    one, other = patched.search(queries, 30), again.search(queries, 30)
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
    with pytest.raises(BadArtifact, match="kind"):
        index.load(config.Index(kind="pq"), tmp_path)
    file = tmp_path / "base" / "vectors.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(BadArtifact, match="vectors"):
        index.load(config.Index(), tmp_path)


def settings(**index_settings):
    tree = {"model": MODELS, "features": {"enabled": False}, "training": {"at": 5, "threads": 1}}
    tree |= {"index": index_settings}
    return msgspec.convert(tree, config.Config)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.unit.test_incremental.config", lambda **_: settings(kind="int8"))
    shop = Place(tmp_path)
    with shop.engine:
        shop.add(0, 20)
        yield shop


def served(engine):
    return engine.spine().deployment


def pool(deployment, engine, n=10):
    """What the model itself finds for every user, and what its source does."""
    model = deployment.factors.scorer
    assert isinstance(model, Factors)
    vectors = np.nan_to_num(model._fitted().users[:20])
    scan = dot_topk(vectors, pack(np.ascontiguousarray(model.item_factors())), n)
    return scan, deployment.index.search(vectors, n)


def test_a_deployment_serves_its_index_and_an_increment_puts_what_changed_beside_it(place, monkeypatch):
    monkeypatch.setattr(indexing, "REBUILT", 1.0)
    place.engine.train(force=True)
    before = served(place.engine)
    assert before.index.kind == "int8"
    assert before.index.n == before.n_items
    place.engine.ingest(events={"user": ["u1"] * 2, "item": ["i0", "new"], "order": [place.start + 20 * 86_400_000_000] * 2}, order_unit="us")
    place.engine.train(incremental=True)
    after = served(place.engine)
    assert isinstance(after.index, Patched)
    assert after.index.n == after.n_items == before.n_items + 1
    assert after.n_items - 1 in after.index.rows
    for deployment in (before, after):
        scan, found = pool(deployment, place.engine)
        np.testing.assert_array_equal(found.items, scan.items)
        np.testing.assert_allclose(found.scores, scan.scores, rtol=3e-6, atol=1e-7)
    place.engine.ingest(events={"user": ["u2"], "item": ["i7"], "order": [place.start + 20 * 86_400_000_000]}, order_unit="us")
    place.engine.train(incremental=True)
    again = served(place.engine)
    assert set(again.index.rows) >= set(after.index.rows)
    assert not isinstance(again.index.base, Patched)
    monkeypatch.setattr(indexing, "REBUILT", 0.0)
    place.engine.ingest(events={"user": ["u3"], "item": ["i8"], "order": [place.start + 20 * 86_400_000_000]}, order_unit="us")
    place.engine.train(incremental=True)
    assert not isinstance(served(place.engine).index, Patched)


def test_no_index_is_made_where_the_scan_of_the_model_is_as_good(place, tmp_path):
    place.engine.train(force=True)
    deployment = served(place.engine)
    for chosen in (settings(kind="auto"), settings(kind="exact")):
        bare = msgspec.structs.replace(deployment, index=None)
        assert indexing.indexed(bare, None, chosen).index is None
    sources = {source.name: source.find for source in declared(deployment, (config.BestOfModels(name="models"),))}
    assert sources["als"].__qualname__.startswith("nearest_to")
    assert sources["item_knn"].__qualname__.startswith("best_of")
