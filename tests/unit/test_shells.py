"""Graphs by length: recall under any mask, the end of a search, what is cut where, and damage."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine import config, index
from recengine.errors import BadArtifact
from recengine.hashes import digest
from recengine.index import shells
from recengine.index.hnsw import Hnsw
from recengine.kernels.dot import dot_topk, pack
from tests.unit.test_index import recall


def shelled(n=6000, d=16):
    """Vectors of ten lengths, so that short ones matter too, and queries."""
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    vectors *= (rng.lognormal(0, 0.5, n)).astype(np.float32)[:, None]
    return vectors, rng.standard_normal((20, d)).astype(np.float32)


@pytest.mark.parametrize("hidden", [None, "few", "half", "best", "nearly all"])
def test_shells_of_a_graph_hold_recall_under_any_mask(monkeypatch, hidden):
    monkeypatch.setattr(shells, "LEAST", 200)
    vectors, queries = shelled()
    built = Hnsw.build(vectors, links=16, effort=100).with_effort(200)
    assert len(built._graphs) >= 4
    order = np.argsort(-(queries @ vectors.T), axis=1)
    mask = np.ones((20, len(vectors)), np.uint8)
    rng = np.random.default_rng(1)
    if hidden == "best":
        np.put_along_axis(mask, order[:, :600], 0, axis=1)
    elif hidden is not None:
        mask = (rng.random(mask.shape) > {"few": 0.02, "half": 0.5, "nearly all": 0.99}[hidden]).astype(np.uint8)
    mask = None if hidden is None else mask
    found, wanted = built.search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)
    assert recall(found, wanted) >= 0.97


def test_a_search_ends_at_the_first_shell_that_can_add_nothing(monkeypatch):
    monkeypatch.setattr(shells, "LEAST", 200)
    vectors, queries = shelled()
    vectors[np.argsort(-np.linalg.norm(vectors, axis=1))[:200]] = queries[0] * 50  # no other can score as much
    built = Hnsw.build(vectors, effort=50)
    asked = []
    first, second, *_ = built._graphs
    monkeypatch.setattr(shells, "_asked", lambda graph, *rest, real=shells._asked: asked.append(graph) or real(graph, *rest))
    found = built.search(queries[:1], 20)
    assert asked == [first.graph]
    assert first.top > second.top
    assert set(found.items[0]) <= set(np.flatnonzero((vectors == queries[0] * 50).all(axis=1)))


def test_a_niche_of_short_rows_behind_a_shell_that_adds_nothing_is_found(monkeypatch):
    monkeypatch.setattr(shells, "LEAST", 200)
    rng = np.random.default_rng(0)

    def taste(n, axes, length):
        rows = np.zeros((n, 15))
        rows[:, axes] = rng.standard_normal((n, 5))
        return length * rows / np.linalg.norm(rows, axis=1, keepdims=True) * rng.uniform(0.97, 1, (n, 1))

    vectors = np.vstack([taste(600, slice(0, 5), 1.0), taste(1000, slice(5, 10), 0.8), taste(1500, slice(10, 15), 0.6)]).astype(np.float32)
    queries = (taste(20, slice(10, 15), 1.0) + 0.3 * taste(20, slice(0, 5), 1.0)).astype(np.float32)
    built = Hnsw.build(vectors, effort=100)
    assert len(built._graphs) == 3
    assert recall(built.search(queries, 50), dot_topk(queries, pack(vectors), 50)) >= 0.95


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=400), st.integers(1, 50))
def test_shells_cover_every_row_once_and_rows_of_one_length_stay_together(norms, least):
    falling = -np.sort(-np.array(norms))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shells, "LEAST", least)
        ends = shells.cuts(falling)
        assert shells.cuts(np.ones(len(norms))) == [len(norms)]
    assert ends == sorted(set(ends))
    assert ends[-1] == len(norms)
    for start, end in zip([0, *ends], ends, strict=False):
        assert end - start >= min(least, len(norms))
        assert end == len(norms) or falling[end] < shells.ALIKE * falling[start]


def test_a_saved_graph_without_one_of_its_shells_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(shells, "LEAST", 500)
    vectors, queries = shelled(3000)
    built = Hnsw.build(vectors, effort=50)
    built.save(tmp_path)
    again = index.load(config.Index(), tmp_path)
    np.testing.assert_array_equal(again.search(queries, 10).items, built.search(queries, 10).items)
    np.save(tmp_path / "tops.npy", np.ones(9))
    card = json.loads((tmp_path / "index.json").read_text())
    card["files"]["tops.npy"] = digest(tmp_path / "tops.npy")
    (tmp_path / "index.json").write_text(json.dumps(card))
    with pytest.raises(BadArtifact, match="not part of this index"):
        index.load(config.Index(), tmp_path)
