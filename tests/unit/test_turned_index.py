"""An index outlives a turn of all vectors: queries are turned back, and only rows that moved are patched."""

from functools import reduce

import msgspec
import numpy as np
import pytest

from recengine import index
from recengine.algorithms.als import Als
from recengine.algorithms.base import Turned
from recengine.algorithms.calibration import Curve
from recengine.algorithms.popularity import Popularity
from recengine.config import Als as AlsConfig
from recengine.config import Config
from recengine.config import Index as IndexConfig
from recengine.config import Popularity as PopularityConfig
from recengine.errors import BadArtifact
from recengine.index import Patched
from recengine.kernels.dot import dot_topk, pack
from recengine.offline.indexing import carried, indexed
from recengine.retrieval.deployment import Member, assemble
from tests.strategies import communities, interactions
from tests.unit.test_index import made, recall

DATA = communities(400, 500, groups=5)


def turned(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


@pytest.mark.parametrize("kind", ["exact", "int8", "hnsw", "pq"])
def test_turned_back_queries_find_what_a_scan_of_the_turned_rows_finds(kind, tmp_path):
    old, queries = made(3000)
    turn = turned(old.shape[1], 1)
    new = (old @ turn).astype(np.float32)
    rows = np.array([3, 70, 3000, 3001], np.int32)
    new = np.concatenate([new, queries[:2]])
    new[[3, 70]] = queries[2:4] * 2
    asked = np.ascontiguousarray(queries)
    patched = Patched(index.build(old, IndexConfig(kind=kind), threads=1), rows, new[rows], turn)
    found, wanted = patched.search(asked, 40), dot_topk(asked, pack(new), 40)
    assert recall(found, wanted) >= (1.0 if kind == "exact" else 0.95)
    exact = {(q, i): s for q in range(9) for i, s in zip(wanted.items[q], wanted.scores[q], strict=True)}
    for q in range(9):
        for i, s in zip(found.items[q], found.scores[q], strict=True):
            assert (q, i) not in exact or abs(s - exact[q, i]) <= 1e-5 * max(abs(s), 1)
    one = patched.search(asked[4:5], 40)
    np.testing.assert_array_equal(one.items[0], found.items[4])
    np.testing.assert_array_equal(one.scores[0], found.scores[4])
    patched.save(tmp_path)
    again = index.load(IndexConfig(), tmp_path).search(asked, 40)
    np.testing.assert_array_equal(again.items, found.items)
    np.testing.assert_array_equal(again.scores, found.scores)


def test_a_damaged_turn_is_refused(tmp_path):
    old, queries = made(300)
    Patched(index.build(old, IndexConfig(kind="int8")), np.zeros(0, np.int32), old[:0], turned(16, 1)).save(tmp_path)
    assert index.load(IndexConfig(), tmp_path).search(queries, 5).items.min() >= 0
    np.save(tmp_path / "turn.npy", np.eye(4))
    with pytest.raises(BadArtifact, match="turn"):
        index.load(IndexConfig(), tmp_path)


def deployed(model, data):
    popularity = Popularity(PopularityConfig()).fit(data)
    return assemble("v", (Member(model, Curve(), 1.0),), popularity, None, n_users=data.users.n, n_items=data.items.n, last_seq=0)


def with_more(data, seed):
    """Three users take up items that they did not know; returns the data, and who and what changed."""
    rng = np.random.default_rng(seed)
    old, rows, touched = data.interactions, [], []
    who = np.sort(rng.choice(old.n_users, 3, replace=False))
    for user in range(old.n_users):
        own = slice(old.indptr[user], old.indptr[user + 1])
        rows.append(list(zip(old.items[own].tolist(), old.weights[own].tolist(), old.times[own].tolist(), strict=True)))
        if user in who:
            fresh = rng.choice(np.setdiff1d(np.arange(old.n_items), old.items[own]), 2, replace=False)
            rows[-1] += [(int(item), 1.0, int(data.as_of)) for item in fresh]
            touched += fresh.tolist()
    more = msgspec.structs.replace(data, interactions=interactions(rows, old.n_items))
    return more, who.astype(np.int32), np.unique(touched).astype(np.int32)


def test_increments_patch_only_the_rows_that_als_learned_anew():
    settings = Config(index=IndexConfig(kind="int8"))
    model, data = Als(AlsConfig(factors=16, epochs=5)).fit(DATA, seed=1, threads=1), DATA
    assert isinstance(model, Turned)
    assert model.turn() is None
    live, turns, changed = indexed(deployed(model, data), data, settings), [], set()
    base = live.index
    for step in range(4):
        data, users, items = with_more(data, step)
        model = model.update(data, users, items, threads=1)
        turns.append(model.turn())
        changed |= set(items.tolist())
        live = carried(deployed(model, data), live, data, settings)
        assert isinstance(live.index, Patched)
        assert live.index.base is base  # nothing was built
        assert set(live.index.rows.tolist()) <= changed
        assert len(live.index.rows) >= len(items)
        np.testing.assert_allclose(live.index.turn, reduce(np.matmul, turns), atol=1e-5)
        np.testing.assert_allclose(live.index.turn @ live.index.turn.T, np.eye(16), atol=1e-5)
        vectors = np.nan_to_num(model._fitted().users[:50])
        wanted = dot_topk(vectors, pack(np.ascontiguousarray(model.item_factors())), 20)
        assert recall(live.index.search(vectors, 20), wanted) >= 0.999
    assert model.fit(data, seed=1, threads=1).turn() is None
