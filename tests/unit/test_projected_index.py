"""An index over principal directions: what it keeps, what it loses at most, and that it lasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine import config, index
from recengine.errors import BadArtifact
from recengine.index import Patched, Projected
from recengine.index.projected import directions, projected
from recengine.kernels.dot import dot_topk, pack
from tests.oracles import projection as oracle
from tests.unit.test_index import made, recall


def flat(n=2000, d=24, rank=6, seed=0):
    """Vectors that nearly lie in a few directions, and queries."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((d, d)))[0][:rank]
    vectors = rng.standard_normal((n, rank)) @ frame + 0.02 * rng.standard_normal((n, d))
    queries = rng.standard_normal((9, rank)) @ frame + 0.02 * rng.standard_normal((9, d))
    return vectors.astype(np.float32), queries.astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 1000), st.data())
def test_what_the_projection_gets_wrong_is_within_its_bound(n, d, seed, data):
    keep = data.draw(st.integers(1, d))
    rng = np.random.default_rng(seed)
    rows, queries = rng.standard_normal((n, d)).astype(np.float32), rng.standard_normal((5, d)).astype(np.float32)
    basis = directions(rows, keep)
    np.testing.assert_allclose(basis.T @ basis, np.eye(keep), atol=1e-10)
    outside = np.linalg.norm(queries - (queries @ basis) @ basis.T, axis=1)
    gap = np.abs(queries @ rows.T - projected(queries, basis) @ projected(rows, basis).T)
    assert (gap <= outside[:, None] * np.linalg.norm(rows - (rows @ basis) @ basis.T, axis=1) + 1e-4).all()
    best = rows - (rows @ oracle.directions(rows, keep)) @ oracle.directions(rows, keep).T
    mine = rows - (rows @ basis) @ basis.T
    assert (mine**2).sum() <= (best**2).sum() + 1e-4


@pytest.mark.parametrize("rerank", [1, 3, 10])
def test_it_finds_what_the_oracle_finds_and_scores_it_whole(rerank):
    vectors, queries = flat()
    basis = directions(vectors, 6)
    wide = Projected(vectors, basis, index.build(projected(vectors, basis), config.Index(kind="exact")), rerank)
    found = wide.search(queries, 20)
    wanted = oracle.search(vectors, queries, 6, 20, 20 * rerank)
    assert np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found.items, wanted, strict=True)]) >= 0.99  # rounding
    whole = dot_topk(queries, pack(vectors), len(vectors))
    for q in range(9):
        scores = dict(zip(whole.items[q], whole.scores[q], strict=True))
        assert [scores[i] for i in found.items[q]] == found.scores[q].tolist()
    one = wide.search(queries[3:4], 20)
    np.testing.assert_array_equal(one.items[0], found.items[3])


@pytest.mark.parametrize("kind", ["exact", "int8", "hnsw", "pq"])
@pytest.mark.parametrize("share", [None, 0.5, 0.01])
def test_every_kind_reaches_its_recall_in_fewer_directions_under_any_mask(kind, share):
    vectors, queries = flat()
    vectors[7] = np.nan
    wide = index.build(vectors, config.Index(kind=kind, projection=6), queries=queries, threads=1)
    assert isinstance(wide, Projected)
    assert isinstance(wide, index.Index)
    assert (wide.kind, wide.n, wide.d, wide.base.d) == (kind, 2000, 24, 6)
    mask = None if share is None else (np.random.default_rng(1).random((9, 2000)) < share).astype(np.uint8)
    found, wanted = wide.search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)
    assert recall(found, wanted) >= 0.95
    assert 7 not in found.items
    assert mask is None or all(mask[q, i] for q in range(9) for i in found.items[q] if i >= 0)


@pytest.mark.parametrize("kind", ["exact", "int8"])
@pytest.mark.parametrize("hide", [100, 500])
def test_recall_holds_where_the_best_are_hidden(kind, hide):
    rng = np.random.default_rng(0)
    spread = np.linspace(1, 0.25, 24)  # the directions that are left out tell too
    vectors = (rng.standard_normal((4000, 24)) * spread * rng.lognormal(0, 0.4, (4000, 1))).astype(np.float32)
    queries = (rng.standard_normal((40, 24)) * spread).astype(np.float32)
    wide = index.build(vectors, config.Index(kind=kind, projection=15), queries=queries, threads=1)
    mask = np.ones((40, 4000), np.uint8)
    np.put_along_axis(mask, np.argsort(-(queries @ vectors.T), axis=1)[:, :hide], 0, axis=1)
    assert recall(wide.search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)) >= 0.95


def test_as_many_directions_as_factors_or_none_asked_for_is_no_projection():
    vectors, _ = made(300)
    for settings in (config.Index(kind="int8", projection=16), config.Index(kind="int8")):
        assert not isinstance(index.build(vectors, settings), Projected)


def test_it_is_saved_whole_patched_and_damage_is_refused(tmp_path):
    vectors, queries = flat()
    wide = index.build(vectors, config.Index(kind="int8", projection=6), queries=queries, threads=1)
    patched = Patched(wide, np.array([2000], np.int32), queries[:1] * 3)
    assert patched.search(queries[:1], 5).items[0, 0] == 2000
    for name, held in (("wide", wide), ("patched", patched)):
        folder = tmp_path / name
        folder.mkdir()
        held.save(folder)
        again = index.load(config.Index(), folder)
        np.testing.assert_array_equal(again.search(queries, 30).items, held.search(queries, 30).items)
        np.testing.assert_array_equal(again.search(queries, 30).scores, held.search(queries, 30).scores)
    np.save(tmp_path / "wide" / "basis.npy", np.eye(24)[:, :5])
    with pytest.raises(BadArtifact, match="basis"):
        index.load(config.Index(), tmp_path / "wide")
