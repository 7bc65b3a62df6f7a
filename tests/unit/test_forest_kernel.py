import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.forest import Trees, predict
from tests.oracles import forest as oracle


def forest(rng, trees, features, most):
    """Random trees: node after node splits a leaf, as training does."""
    roots, feature, threshold, left, right, default, leaves = [], [], [], [], [], [], 0
    for _ in range(trees):
        splits = int(rng.integers(0, most + 1))
        base, open_leaves = len(feature), [(None, 0)]
        sides = {}
        for node in range(splits):
            where = open_leaves.pop(int(rng.integers(0, len(open_leaves))))
            sides[where] = base + node
            open_leaves += [(base + node, 0), (base + node, 1)]
            feature.append(rng.integers(0, features))
            threshold.append(rng.choice([0.0, 1.0, -np.inf, np.inf, rng.normal()]))
            default.append(rng.integers(0, 2))
        for leaf, where in enumerate(open_leaves):
            sides[where] = ~(leaves + leaf)
        leaves += len(open_leaves)
        roots.append(sides[None, 0])
        left += [sides[base + node, 0] for node in range(splits)]
        right += [sides[base + node, 1] for node in range(splits)]
    roots, feature, left, right = (np.array(some, np.int32) for some in (roots, feature, left, right))
    return Trees(roots, feature, np.array(threshold, np.float64), left, right, np.array(default, np.uint8), rng.normal(size=leaves))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0, 1, 2, 129, 300]), st.sampled_from([0, 1, 7]), st.sampled_from([1, 5]), st.sampled_from([0, 1, 30]), st.sampled_from([1, 2]), st.integers(0, 2**31))
def test_predict_equals_the_walk(n, trees, features, most, threads, seed):
    rng = np.random.default_rng(seed)
    made = forest(rng, trees, features, most)
    x = rng.choice([0.0, 1.0, np.nan, np.inf, -np.inf, 0.5, -2.0], size=(n, features)).astype(np.float32)
    got = predict(x, made, threads=threads)
    np.testing.assert_array_equal(got, oracle.predict(x, *made))
    assert predict(np.asfortranarray(x)[::2], made, threads=3 - threads).tobytes() == got[::2].copy().tobytes()


X = np.zeros((3, 2), np.float32)
GOOD = forest(np.random.default_rng(3), 4, 2, 9)


def spoilt(place, at, value):
    arrays = [array.copy() for array in GOOD]
    arrays[place][at] = value
    return Trees(*arrays)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: predict(X.astype(np.float64), GOOD), "x"),
        (lambda: predict(X[:, :1].copy(), spoilt(1, 0, 1)), "node 0"),
        (lambda: predict(X, GOOD._replace(threshold=GOOD.threshold[1:])), "threshold"),
        (lambda: predict(X, spoilt(0, 1, 10**6)), "root 1"),
        (lambda: predict(X, spoilt(0, 1, -(10**6))), "root 1"),
        (lambda: predict(X, spoilt(1, 2, 2)), "node 2"),
        (lambda: predict(X, spoilt(1, 2, -1)), "node 2"),
        (lambda: predict(X, spoilt(3, 2, 2)), "node 2"),
        (lambda: predict(X, spoilt(4, 2, 0)), "node 2"),
        (lambda: predict(X, spoilt(4, 2, -(10**6))), "node 2"),
        (lambda: predict(X, spoilt(3, 2, 10**6)), "node 2"),
        (lambda: predict(X, GOOD, threads=0), "threads"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
