"""Every kind of index obeys one contract."""

import numpy as np
import pytest

from recengine import config, index
from recengine.errors import BadArtifact, ShapeError
from recengine.kernels.dot import dot_topk, pack

KINDS = ("exact", "int8", "hnsw", "pq")


def made(n, d=16, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, d))
    vectors = centres[rng.integers(0, 20, n)] + 0.5 * rng.standard_normal((n, d))
    vectors *= rng.lognormal(0, 0.5, n)[:, None]
    return vectors.astype(np.float32), (centres[rng.integers(0, 20, 9)] + 0.5 * rng.standard_normal((9, d))).astype(np.float32)


def built(kind, vectors, queries=None, **settings):
    return index.build(vectors, config.Index(kind=kind, **settings), queries=queries, threads=1)


def recall(found, wanted):
    return float(np.mean([len(set(a) & set(b) - {-1}) / max(len(set(b) - {-1}), 1) for a, b in zip(found.items, wanted.items, strict=True)]))


@pytest.fixture(scope="module")
def case():
    vectors, queries = made(6000)
    return vectors, queries, {kind: built(kind, vectors, made(6000, seed=0)[1] if kind == "pq" else None, recall=0.97) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_a_full_scan_finds(case, kind):
    vectors, queries, indexes = case
    found, wanted = indexes[kind].search(queries, 100), dot_topk(queries, pack(vectors), 100)
    assert recall(found, wanted) >= 0.95
    exact = {(q, i): s for q in range(9) for i, s in zip(wanted.items[q], wanted.scores[q], strict=True)}
    got = {(q, i): s for q in range(9) for i, s in zip(found.items[q], found.scores[q], strict=True)}
    assert all(got[key] == exact[key] for key in got.keys() & exact.keys())
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert indexes[kind].kind == kind
    assert (indexes[kind].n, indexes[kind].d) == vectors.shape
    assert indexes[kind].bytes > 0
    assert isinstance(indexes[kind], index.Index)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.9, 0.3, 0.02, 0.001])
def test_a_filter_costs_no_recall(case, kind, share):
    vectors, queries, indexes = case
    mask = (np.random.default_rng(1).random((9, 6000)) < share).astype(np.uint8)
    found, wanted = indexes[kind].search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)
    assert recall(found, wanted) >= 0.95
    assert all(mask[q, i] for q in range(9) for i in found.items[q] if i >= 0)
    np.testing.assert_array_equal((found.items >= 0).sum(axis=1), (wanted.items >= 0).sum(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_hides_the_best_costs_no_recall(case, kind):
    vectors, queries, indexes = case
    mask = np.ones((9, 6000), np.uint8)
    best = dot_topk(queries, pack(vectors), 2000).items
    np.put_along_axis(mask, best, 0, axis=1)
    found, wanted = indexes[kind].search(queries, 50, mask), dot_topk(queries, pack(vectors), 50, mask)
    assert recall(found, wanted) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_depends_on_neither_batch_nor_threads(case, kind):
    _, queries, indexes = case
    mask = (np.random.default_rng(2).random((9, 6000)) < 0.5).astype(np.uint8)
    for hidden in (None, mask):
        whole = indexes[kind].search(queries, 20, hidden)
        two = indexes[kind].search(queries, 20, hidden, threads=2)
        np.testing.assert_array_equal(whole.items, two.items)
        np.testing.assert_array_equal(whole.scores, two.scores)
        for q in range(9):
            one = indexes[kind].search(queries[q : q + 1], 20, None if hidden is None else hidden[q : q + 1])
            np.testing.assert_array_equal(one.items[0], whole.items[q])
            np.testing.assert_array_equal(one.scores[0], whole.scores[q])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_answers_bit_equal(case, kind, tmp_path):
    _, queries, indexes = case
    indexes[kind].save(tmp_path)
    again = index.load(config.Index(kind=kind), tmp_path)
    np.testing.assert_array_equal(again.search(queries, 50).items, indexes[kind].search(queries, 50).items)
    np.testing.assert_array_equal(again.search(queries, 50).scores, indexes[kind].search(queries, 50).scores)
    assert (again.kind, again.n, again.d) == (kind, 6000, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_builds_the_same_index(case, kind):
    vectors, queries, indexes = case
    again = index.build(vectors, config.Index(kind=kind, recall=0.97), queries=queries if kind == "pq" else None, threads=2)
    np.testing.assert_array_equal(again.search(queries, 50).items, indexes[kind].search(queries, 50).items)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_before_it_is_parsed(case, kind, tmp_path):
    case[2][kind].save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
            path.write_bytes(damaged)
            with pytest.raises(BadArtifact):
                index.load(config.Index(), tmp_path)
        path.unlink()
        with pytest.raises(BadArtifact):
            index.load(config.Index(), tmp_path)
        path.write_bytes(whole)
    assert index.load(config.Index(), tmp_path).n == 6000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_few_rows_are_all_found_and_the_rest_is_padding(kind, n):
    vectors, queries = made(n)
    found = built(kind, vectors).search(queries, 20)
    wanted = dot_topk(queries, pack(vectors), 20)
    np.testing.assert_array_equal(found.items, wanted.items)
    np.testing.assert_array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_finite_are_never_found(kind):
    vectors, queries = made(300)
    vectors[::3, 2] = np.nan
    vectors[1::3, 0] = np.inf
    found = built(kind, vectors).search(queries, 300)
    assert set(found.items[0].tolist()) == {-1, *range(2, 300, 3)}
    assert built(kind, np.full((5, 3), np.nan, np.float32)).search(np.ones((1, 3), np.float32), 2).items.tolist() == [[-1, -1]]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_and_zeros_are_found_in_the_order_of_rows(kind):
    for value in (0.0, 1.5):
        found = built(kind, np.full((200, 8), value, np.float32)).search(np.ones((2, 8), np.float32), 200)
        assert found.items.tolist() == [list(range(200))] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_of_nan_zero_or_huge_values_has_a_defined_answer(kind):
    vectors, _ = made(100, 8)
    queries = np.array([[np.nan] * 8, [0.0] * 8, [1e30] * 8, [1e-38] * 8], np.float32)
    found, wanted = built(kind, vectors).search(queries, 100), dot_topk(queries, pack(vectors), 100)
    assert (found.items[0] == -1).all()
    np.testing.assert_array_equal(np.sort(found.items[1:]), np.sort(wanted.items[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_where_everything_is_masked(case, kind):
    _, queries, indexes = case
    found = indexes[kind].search(queries, 5, np.zeros((9, 6000), np.uint8))
    assert (found.items == -1).all()
    assert np.isnan(found.scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_newer_columns_of_a_mask_are_ignored(case, kind):
    _, queries, indexes = case
    wide = np.ones((9, 6050), np.uint8)
    np.testing.assert_array_equal(indexes[kind].search(queries, 9, wide).items, indexes[kind].search(queries, 9, wide[:, :6000]).items)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda i, q: i.search(q[:, :5].copy(), 3), "queries"),
        (lambda i, q: i.search(q.astype(np.float64), 3), "queries"),
        (lambda i, q: i.search(q, 0), "n"),
        (lambda i, q: i.search(q, 3, threads=0), "threads"),
        (lambda i, q: i.search(q, 3, np.ones((9, 10), np.uint8)), "mask"),
        (lambda i, q: i.search(q, 3, np.ones((2, 6000), np.uint8)), "mask"),
        (lambda i, q: i.search(q, 3, np.ones((9, 6000), bool)), "mask"),
        (lambda i, q: index.build(q[0], config.Index()), "vectors"),
        (lambda i, q: index.build(q.astype(np.float64), config.Index()), "vectors"),
    ],
)
def test_a_wrong_argument_is_named(case, kind, ask, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        ask(case[2][kind], case[1])


def test_a_kind_that_misses_its_recall_is_kept_and_the_log_says_so(caplog):
    vectors, queries = made(3000)
    kept = index.build(vectors, config.Index(kind="pq", rerank=1, recall=0.995), queries=queries, threads=1)
    assert kept.kind == "pq"
    assert "does not reach recall 0.995" in caplog.text
    caplog.clear()
    index.build(vectors, config.Index(kind="int8"), queries=queries, threads=1)
    assert caplog.text == ""
