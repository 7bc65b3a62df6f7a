"""Rows found anew lie over those that stay: the same answers as one layer, the same files where nothing changed."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.algorithms import item_weights
from recengine.algorithms.graph_filter import GraphFilter
from recengine.algorithms.item_weights import ItemWeights
from recengine.algorithms.knn import ItemKnn
from recengine.config import GraphFilter as GraphFilterConfig
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.errors import BadArtifact
from recengine.kernels.knn import Csr, Renewed, sum_at, sum_top
from recengine.types import TopN
from tests.strategies import EPOCH, training_data
from tests.unit.test_knn_kernel import SEEDS, sparse

N = 60


def padded(csr, k):
    best = TopN(np.full((csr.n, k), -1, np.int32), np.full((csr.n, k), np.nan, np.float32))
    for r in range(csr.n):
        cols, values = csr.row(r)
        best.items[r, : len(cols)], best.scores[r, : len(cols)] = cols, values
    return best


def same(got, wanted):
    np.testing.assert_array_equal(got.items, wanted.items)
    np.testing.assert_array_equal(got.scores, wanted.scores)


def layered(rng, steps, old=N - 10):
    """Weights of `old` items, of which rows are found anew in every step, and the rows as they should be."""
    base = sparse(rng, old, old, 0.3)
    weights, wanted = ItemWeights(base, np.ones(old, np.uint8)), {r: base.row(r) for r in range(old)}
    for _ in range(steps):
        which = np.sort(rng.permutation(N)[: rng.integers(0, 12)]).astype(np.int32)
        found = sparse(rng, len(which), N, 0.3)
        weights = weights.replaced(which, padded(found, N), np.ones(N, np.uint8))
        wanted |= {int(item): found.row(r) for r, item in enumerate(which)}
    return weights, wanted


def one(wanted):
    rows = [wanted.get(r, (np.empty(0, np.int32), np.empty(0, np.float32))) for r in range(N)]
    ends = np.concatenate(([0], np.cumsum([len(cols) for cols, _ in rows]))).astype(np.int64)
    return Csr(ends, *(np.concatenate(part) for part in zip(*rows, strict=True)))


@given(SEEDS, st.integers(1, 6), st.sampled_from([0.0, 0.3, 9.0]))
def test_two_layers_answer_as_one_to_the_bit(seed, steps, most):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_weights, "MOST_OVER", most)
        weights, wanted = layered(rng, steps)
    flat = one(wanted)
    np.testing.assert_equal(tuple(weights.flat()), tuple(flat))
    entries = sparse(rng, 5, N + 5, 0.3)
    mask, asked = np.ones((5, N), np.uint8), np.arange(6, dtype=np.int64) * N
    items, known = np.tile(np.arange(N, dtype=np.int32), 5), np.ones(N, np.uint8)
    for threads in (1, 2):
        same(*(sum_top(entries, m, N, mask, 9, threads=threads) for m in (weights.near, flat)))
        np.testing.assert_array_equal(*(sum_at(entries, m, known, asked, items, threads=threads) for m in (weights.near, flat)))
    same(*(w.similar_items(np.arange(N, dtype=np.int32), 7) for w in (weights, ItemWeights(flat, known))))
    history, item = Csr(np.array([0, 2]), np.array([3, N - 1], np.int32), np.ones(2, np.float32)), int(flat.cols[0])
    assert weights.explain(history, 0, item, 3) == ItemWeights(flat, known).explain(history, 0, item, 3)


def test_what_is_over_stays_a_share_of_what_is_below():
    rng = np.random.default_rng(3)
    assert isinstance(layered(rng, 1)[0].near, Renewed)
    for _ in range(20):
        near = layered(rng, 9)[0].near
        assert isinstance(near, Csr) or len(near.over.cols) <= item_weights.MOST_OVER * len(near.base.cols)


def rows_of(met):
    return [[(int(item), 1.0, EPOCH) for item in np.flatnonzero(row)] for row in met]


@pytest.mark.parametrize(("kind", "config"), [(ItemKnn, ItemKnnConfig(neighbors=9, shrinkage=0.0)), (GraphFilter, GraphFilterConfig(neighbors=9))])
def test_rows_that_changed_are_those_of_a_fit_from_scratch_and_the_others_those_of_before(kind, config, tmp_path):
    rng = np.random.default_rng(5)
    met = rng.random((80, 40)) < 0.15
    more = met.copy()
    more[:6, :9] |= rng.random((6, 9)) < 0.5
    changed = np.flatnonzero((more != met).any(axis=0)).astype(np.int32)
    still = np.setdiff1d(np.arange(40), changed).astype(np.int32)
    users = np.flatnonzero((more != met).any(axis=1)).astype(np.int32)
    before, after = (kind(config).fit(training_data(rows_of(which), 40)) for which in (met, more))
    stepped = before.update(training_data(rows_of(more), 40), users, changed)
    for folder in ("first", "second"):  # through the disk, twice
        (tmp_path / folder).mkdir()
        stepped.save(tmp_path / folder)
        stepped = kind.load(config, tmp_path / folder)
        for rows, other in ((changed, after), (still, before)):
            same(stepped.similar_items(rows, 9), other.similar_items(rows, 9))
    again = stepped.update(training_data(rows_of(more), 40), users, changed)
    np.testing.assert_equal(tuple(again._learned.flat()), tuple(stepped._learned.flat()))


@pytest.mark.parametrize("neighbors", [3, 9, 60])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (ItemKnn, ItemKnnConfig(shrinkage=2.0)),
        (ItemKnn, ItemKnnConfig(weighting="bm25", shrinkage=0.0)),
        (GraphFilter, GraphFilterConfig()),
        (GraphFilter, GraphFilterConfig(exponent=-1.0, history_exponent=0.7)),
    ],
)
def test_new_items_enter_the_rows_of_the_items_in_their_own_and_are_cut_as_a_fit_cuts(kind, config, neighbors):
    """Against the oracle: old rows, and the weights of the new items as a fit of everything has them, strongest first."""
    rng = np.random.default_rng(8)
    met = rng.random((80, 44)) < 0.2
    met[:, 40:] = False
    config, wide = (msgspec.structs.replace(config, neighbors=k) for k in (neighbors, 1000))
    model = kind(config).fit(training_data(rows_of(met), 44))
    for new in ([40], [41, 42], [41]):  # the last one has been new before
        users = np.sort(rng.permutation(80)[:9]).astype(np.int32)
        met[np.ix_(users, new)] = True
        data, before, which = training_data(rows_of(met), 44), model._learned.flat(), np.array(new, np.int32)
        model = model.update(data, users, which)
        whole = kind(wide).fit(data)._learned.near
        for row in range(44):
            wanted = dict(zip(*(part.tolist() for part in before.row(row)), strict=True))
            if row in new:
                wanted = dict(zip(*(part.tolist() for part in whole.row(row)), strict=True))
            weakest = min(wanted.values()) if len(wanted) >= neighbors else 0.0
            for item, weight in zip(*whole.row(row), strict=True):
                if row not in new and item in new and row in model._learned.near.row(item)[0] and weight > weakest:
                    wanted[int(item)] = float(weight)
            best = sorted(wanted.items(), key=lambda pair: (-pair[1], pair[0]))[:neighbors]
            cols, values = model._learned.near.row(row)
            assert cols.tolist() == [item for item, _ in best]
            np.testing.assert_allclose(values, [weight for _, weight in best], rtol=1e-5)


def saved(weights, folder):
    folder.mkdir()
    weights.save(folder)
    return {file.stem: file.stat() for file in folder.iterdir()}


def test_files_of_rows_that_stay_get_a_second_name_and_outlive_the_first(tmp_path):
    rng = np.random.default_rng(2)
    first, _ = layered(rng, 0)
    saved(first, tmp_path / "a")
    held = ItemWeights.load(tmp_path / "a")
    which = np.array([3, N - 1], np.int32)
    step = held.replaced(which, padded(sparse(rng, 2, N, 0.3), N), np.ones(N, np.uint8))
    files = saved(step, tmp_path / "b")
    assert {name for name, told in files.items() if told.st_nlink == 2} == {"indptr", "neighbors", "similarities"}
    for file in (tmp_path / "a").iterdir():
        file.unlink()
    np.testing.assert_equal(tuple(ItemWeights.load(tmp_path / "b").flat()), tuple(step.flat()))
    saved(held, tmp_path / "c")  # what it was read from is gone: it is written
    np.testing.assert_equal(tuple(ItemWeights.load(tmp_path / "c").flat()), tuple(first.flat()))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("renewed", lambda rows: rows[:-1]),
        ("renewed", lambda rows: np.full_like(rows, rows[0])),
        ("renewed", lambda rows: rows + np.int32(N)),
        ("renewed", lambda rows: rows - np.int32(N)),
        ("renewed", lambda rows: rows.astype(np.int64)),
        ("renewed_neighbors", lambda cols: cols + np.int32(N)),
        ("renewed_indptr", lambda ends: ends[::-1].copy()),
        ("indptr", lambda ends: np.concatenate((ends, np.full(N, ends[-1])))),
        ("known", lambda known: known[:5]),
    ],
)
def test_layers_that_do_not_fit_are_refused(name, damage, tmp_path):
    rng = np.random.default_rng(7)
    first, _ = layered(rng, 0)
    which = np.array([1, 5], np.int32)
    saved(first.replaced(which, padded(sparse(rng, 2, N, 0.4), N), np.ones(N, np.uint8)), tmp_path / "a")
    file = tmp_path / "a" / f"{name}.npy"
    array = damage(np.load(file))
    file.unlink()
    np.save(file, array)
    with pytest.raises(BadArtifact):
        ItemWeights.load(tmp_path / "a")
