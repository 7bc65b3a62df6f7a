"""Few queries go through bounds of one byte a factor: what they let pass must hold the whole answer, bit for bit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.kernels.dot import dot_ragged, dot_topk, pack
from tests.oracles.dot import loss_and_norm
from tests.oracles.topk import topk


def same(left, right):
    assert left.items.tobytes() == right.items.tobytes()
    assert left.scores.tobytes() == right.scores.tobytes()


def plain(packed):
    """The same vectors without a sketch: every item is scored."""
    return msgspec.structs.replace(packed, sketch=None)


def close_calls(rng, items, factors, kind):
    """Vectors that lie as near one another as kinds of data do, or nearer."""
    spread = {"close": 1e-3, "closer": 1e-6, "random": 1.0, "skewed": 1.0, "same": 0.0, "tiny": 1e-33, "huge": 1e20}[kind]
    vectors = spread * rng.standard_normal((items, factors))
    if kind in ("close", "closer", "same"):
        vectors += rng.standard_normal(factors)
    if kind == "skewed":
        vectors *= rng.pareto(1.2, (items, 1)) * np.exp(-np.arange(factors) / 8)
    return vectors.astype(np.float32)


KINDS = ("close", "closer", "random", "skewed", "same", "tiny", "huge")


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([1, 2, 3, 6]),
    st.sampled_from([1, 15, 63, 64, 65, 129, 700, 2000]),
    st.sampled_from([1, 2, 5, 16, 64, 67]),
    st.sampled_from([1, 2, 10, 100]),
    st.sampled_from(KINDS),
    st.sampled_from([None, 0.0, 0.05, 0.9]),
    st.sampled_from([1, 2]),
    st.integers(0, 2**31),
)
def test_a_few_queries_get_what_a_full_scan_gives_bit_for_bit(users, items, factors, n, kind, allowed, threads, seed):
    rng = np.random.default_rng(seed)
    vectors = close_calls(rng, items, factors, kind)
    vectors[rng.random(items) < 0.05] = np.nan
    queries = rng.standard_normal((users, factors)).astype(np.float32)
    mask = None if allowed is None else (rng.random((users, items + 2)) < allowed).astype(np.uint8)
    packed = pack(vectors)
    got = dot_topk(queries, packed, n, mask, threads=threads)
    same(got, dot_topk(queries, plain(packed), n, mask))
    every = dot_ragged(queries, packed, np.arange(users + 1) * items, np.tile(np.arange(items, dtype=np.int32), users))
    want, _ = topk(every.reshape(users, items), n, None if mask is None else mask[:, :items])
    np.testing.assert_array_equal(got.items, want)


@pytest.mark.parametrize("factors", [1, 3, 64, 66])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bounds_are_those_of_the_formula(factors, kind):
    vectors = close_calls(np.random.default_rng(factors), 300, factors, kind)
    vectors[7] = np.nan
    sketch = pack(vectors).sketch
    norm, loss = loss_and_norm(vectors, sketch.ids, sketch.codes, sketch.scales)
    for bound, true in zip(sketch.bounds, (norm, loss), strict=True):
        assert (bound >= true).all(), "a bound that does not bound"
        np.testing.assert_allclose(bound, true, rtol=1e-5, atol=1e-30)
    assert (np.diff(sketch.bounds[0]) <= 0).all(), "by falling norm"
    assert sorted(sketch.ids[sketch.ids >= 0]) == [item for item in range(300) if item != 7]
    largest = np.abs(vectors[sketch.ids[sketch.ids >= 0]]).max(axis=1)
    assert (loss <= np.where(largest > 1e-30, largest / 127 * 0.51, largest).max() * factors**0.5).all(), "rounded to nearest"


@pytest.mark.parametrize("place", ["query", "vector"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38, np.nan, 0.0, 1e-40])
def test_values_at_the_ends_of_the_range_answer_as_a_full_scan(place, value):
    rng = np.random.default_rng(1)
    queries, vectors = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 8), (200, 8)))
    (queries if place == "query" else vectors)[1] = value
    packed = pack(vectors)
    assert (packed.sketch is None) == (place == "vector" and bool(np.isinf(value)))
    same(dot_topk(queries, packed, 10), dot_topk(queries, plain(packed), 10))
    for row in range(3):
        same(dot_topk(queries[row : row + 1], packed, 10), dot_topk(queries[row : row + 1], plain(packed), 10))


def test_vectors_that_are_all_nan_leave_nothing_to_pick():
    got = dot_topk(np.ones((1, 4), np.float32), pack(np.full((20, 4), np.nan, np.float32)), 3)
    assert got.items.tolist() == [[-1, -1, -1]]


def test_equal_scores_go_to_the_lower_item_though_items_stand_by_norm():
    vectors = np.zeros((500, 2), np.float32)
    vectors[:, 0], vectors[:, 1] = 1, np.random.default_rng(0).permutation(500)
    got = dot_topk(np.array([[1, 0]], np.float32), pack(vectors), 7)
    assert got.items.tolist() == [[0, 1, 2, 3, 4, 5, 6]]


def test_a_sketch_is_read_only():
    sketch = pack(np.ones((3, 2), np.float32)).sketch
    assert not any(part.flags.writeable for part in (sketch.codes, sketch.scales, sketch.ids, sketch.bounds))
