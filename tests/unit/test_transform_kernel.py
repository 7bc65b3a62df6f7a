from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.kernels.transform import AFFINE, CURVE, CYCLIC, KNOTS, LOG, TABLE, transform
from tests.oracles import transform as oracle

NASTY = np.array([np.nan, 0.0, -0.0, -1.0, np.inf, -np.inf, 1e-30, 3e38, -3e38, 1e6], np.float32)
KINDS = st.sampled_from([AFFINE, LOG, CURVE, TABLE, CYCLIC, -1])


def program(rng, kinds):
    """Random steps of the given kinds; -1 = a table of 5 to 40 columns."""
    steps, numbers, tables, seen, column = [], [], [np.zeros(3)], [np.ones(2, np.uint8)], 0
    for kind in kinds:
        at, known = sum(map(len, tables)), sum(map(len, seen))
        default = rng.choice([np.nan, 2.0])
        columns, length, low, high, scale = 1, 0, *np.sort(rng.normal(size=2) * 5), rng.choice([0.0, 0.3, 7.0])
        if kind == CURVE:
            length = int(rng.choice([1, 2, 15, 16, 17, 255, 256]))
            knots = np.unique(rng.normal(size=400).astype(np.float32))[:: 400 // length][:length]
            length = len(knots)
            table = np.zeros(3 * KNOTS + 16, np.float32)
            table[:KNOTS] = np.inf
            table[:length], table[KNOTS : KNOTS + length] = knots, rng.random(length)
            table[2 * KNOTS : 2 * KNOTS + length - 1] = np.diff(table[KNOTS : KNOTS + length]) / np.diff(knots)
            table[3 * KNOTS :] = table[15:KNOTS:16]
            low, high = knots[0], knots[-1]
            tables.append(table)
        elif kind in (TABLE, -1):
            columns, length = 1 if kind == TABLE else int(rng.choice([5, 16, 17, 40])), int(rng.choice([0, 1, 30]))
            tables.append(rng.normal(size=(length + 2) * columns))
            if rng.random() < 0.5:
                seen.append((rng.random(length + 2) < 0.7).astype(np.uint8))
            else:
                known = -1
        elif kind == CYCLIC:
            columns, scale = 2, rng.choice([1 / 24, 1 / 7, 1e3])
        steps.append((TABLE if kind == -1 else kind, column, columns, at, length, known))
        numbers.append((default, rng.normal(), scale, low, high, rng.choice([0.0, np.nan])))
        column += columns
    return (
        np.array(steps, np.int32).reshape(-1, 6), np.array(numbers, np.float32).reshape(-1, 6),
        np.concatenate(tables).astype(np.float32), np.concatenate(seen), column,
    )


def drawn(rng, features, n):
    values = rng.choice([1.0, 10.0, 1000.0], size=(features, 1)) * rng.normal(size=(features, n))
    values[rng.random(values.shape) < 0.5] = np.floor(rng.random() * 40)
    values = values.astype(np.float32)
    odd = rng.random(values.shape) < 0.2
    values[odd] = rng.choice(NASTY, size=int(odd.sum()))
    return values


def apply(values, constant, made, **more):
    steps, numbers, tables, seen, width = made
    counts = np.zeros((2, len(steps)), np.int64)
    out = transform(values, constant, steps, numbers, tables, seen, counts, width=width, **more)
    return out, counts[0], counts[1]


@settings(max_examples=250, deadline=None)
@given(st.lists(KINDS, max_size=12), st.sampled_from([0, 1, 3, 16, 63, 64, 65, 200]), st.sampled_from([0.0, 0.4, 1.0]), st.integers(0, 2**31))
def test_transform_equals_the_formulas(kinds, n, share, seed):
    rng = np.random.default_rng(seed)
    made = program(rng, kinds)
    values, constant = drawn(rng, len(kinds), n), (rng.random(len(kinds)) < share).astype(np.uint8)
    got, want = apply(values, constant, made), oracle.transform(values, constant, *made[:4], made[4])
    exact = np.array([step[0] in (AFFINE, CURVE, TABLE) for step in made[0] for _ in range(step[2])], bool)
    np.testing.assert_array_equal(got[0][:, exact], want[0][:, exact])
    scale = np.repeat(np.maximum(np.abs(made[1][:, 2]), 1), made[0][:, 2])  # an error of the logarithm is scaled too
    near = np.isclose(got[0], want[0], rtol=1e-6, atol=2e-6 * scale * np.where(big_turns(values, made), 1e6, 1), equal_nan=True)
    assert near.all(), (got[0][~near], want[0][~near])
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(got[2], want[2])


def big_turns(values, made):
    """Where a float32 product of many turns is rounded before the sine is taken, the sine of the exact product says nothing."""
    with np.errstate(all="ignore"):
        far = np.nanmax(np.where(np.isfinite(values), np.abs(values), 0), axis=1, initial=0) * np.abs(made[1][:, 2]) > 8
    return np.repeat(far & (made[0][:, 0] == CYCLIC), made[0][:, 2])


def test_the_logarithm_is_right_to_two_units_in_the_last_place():
    x = np.concatenate([np.arange(5000), np.logspace(-38, 38, 20_000), np.linspace(0, 3, 20_000)]).astype(np.float32)
    steps, numbers = np.array([[LOG, 0, 1, 0, 0, -1]], np.int32), np.array([[np.nan, 0, 1, -np.inf, np.inf, 0]], np.float32)
    got = apply(x[np.newaxis], np.zeros(1, np.uint8), (steps, numbers, np.zeros(0, np.float32), np.zeros(0, np.uint8), 1))[0][:, 0]
    want = np.log1p(x.astype(np.float64))
    assert (np.abs(got - want) <= 2 * np.spacing(want.astype(np.float32))).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=12), st.integers(1, 300), st.integers(0, 2**31))
def test_the_bits_depend_on_neither_batch_nor_place(kinds, n, seed):
    rng = np.random.default_rng(seed)
    made, none = program(rng, kinds), np.zeros(len(kinds), np.uint8)
    values = drawn(rng, len(kinds), n)
    whole = apply(values, none, made)[0]
    order = rng.permutation(n)
    assert apply(values[:, order].copy(), none, made)[0].tobytes() == whole[order].tobytes()
    cut = int(rng.integers(0, n + 1))
    parts = [apply(values[:, at], none, made)[0] for at in (slice(0, cut), slice(cut, n))]  # rows of a wider buffer
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    one = int(rng.integers(0, n))
    repeated = np.full((len(kinds), 70), np.nan, np.float32)
    repeated[:, 0] = values[:, one]
    assert apply(repeated, none + 1, made)[0].tobytes() == np.repeat(whole[one : one + 1], 70, axis=0).tobytes()


def test_the_bits_are_the_same_on_every_machine():
    steps = [(AFFINE, 0, 1, 0, 0, -1), (LOG, 1, 1, 0, 0, -1), (CURVE, 2, 1, 0, 256, -1), (CYCLIC, 3, 2, 0, 0, -1)]
    numbers = [(np.nan, 3.7, 0.013, -10, 10, 0), (np.nan, 2.2, 0.7, -10, 10, 0), (np.nan, 0, 1, 0, 2550, 0), (np.nan, 0, 1 / 24, 0, 0, 0)]
    knots = np.arange(256, dtype=np.float32) * 10
    tables = np.concatenate([knots, np.sqrt(knots), np.append(np.diff(np.sqrt(knots)) / 10, 0), knots[15::16]]).astype(np.float32)
    values = ((np.arange(4000) * 7919 % 100_003).reshape(4, 1000) / 37).astype(np.float32)
    values[:, ::17] = np.nan
    made = np.array(steps, np.int32), np.array(numbers, np.float32), tables, np.zeros(0, np.uint8), 5
    found = blake2b(apply(values, np.zeros(4, np.uint8), made)[0].tobytes(), digest_size=8).hexdigest()
    assert found == "ea0886afb6e1502a"  # of any build: other instruction sets, other optimisation, checks


@pytest.mark.parametrize("n", [10, 5000])
def test_read_only_strided_and_given_outputs_are_taken(n):
    rng = np.random.default_rng(5)
    made, none = program(rng, [AFFINE, LOG, TABLE, -1]), np.zeros(4, np.uint8)
    values = drawn(rng, 4, 2 * n)
    want = apply(values[:, ::2].copy(), none, made)[0]
    values.flags.writeable = False
    out = np.empty_like(want)
    assert apply(values[:, ::2], none, made, out=out)[0] is out
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(apply(np.asfortranarray(values)[:, ::2], none, made)[0], want)


@settings(max_examples=50, deadline=None)
@given(st.lists(KINDS, max_size=12), st.sampled_from([0, 1, 65, 200]), st.integers(0, 2**31))
def test_rows_are_read_where_they_stand(kinds, n, seed):
    rng = np.random.default_rng(seed)
    made, constant = program(rng, kinds), (rng.random(len(kinds)) < 0.3).astype(np.uint8)
    values, places = drawn(rng, 7, n), rng.integers(0, 7, len(kinds)).astype(np.int32)
    want = apply(values[places], constant, made)
    for got, expected in zip(apply(values, constant, made, places=places), want, strict=True):
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("place", [-1, 4])
def test_a_row_that_is_not_there_is_refused(place):
    with pytest.raises(ShapeError, match="places"):
        apply(np.zeros((4, 2), np.float32), NONE, GOOD, places=np.array([0, 3, place], np.int32))


GOOD = program(np.random.default_rng(1), [AFFINE, TABLE, CURVE])
VALUES, NONE = np.zeros((3, 4), np.float32), np.zeros(3, np.uint8)


def spoilt(step, column, value):
    steps = GOOD[0].copy()
    steps[step, column] = value
    return (steps, *GOOD[1:])


def looked_up_from(low):
    """The curve of GOOD, to be looked up before its first knot."""
    numbers = GOOD[1].copy()
    numbers[2, 3] = low
    return (GOOD[0], numbers, *GOOD[2:])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: apply(VALUES.astype(np.float64), NONE, GOOD), "values"),
        (lambda: apply(VALUES[0], NONE, GOOD), "values"),
        (lambda: apply(VALUES, NONE[:2], GOOD), "constant"),
        (lambda: apply(VALUES[:2], NONE[:2], GOOD), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(0, 0, 9)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(1, 1, 2)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(0, 2, 2)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(1, 3, -1)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(1, 4, 10_000)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(2, 4, 257)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(2, 4, 0)), "steps"),
        (lambda: apply(VALUES, NONE, spoilt(1, 5, 500)), "steps"),
        (lambda: apply(VALUES, NONE, looked_up_from(-1e9)), "steps"),
        (lambda: apply(VALUES, NONE, looked_up_from(np.nan)), "steps"),
        (lambda: apply(VALUES, NONE, (*GOOD[:4], 4)), "steps"),
        (lambda: apply(VALUES, NONE, GOOD, out=np.empty((4, 2), np.float32)), "out"),
        (lambda: apply(VALUES, NONE, GOOD, out=np.empty((4, 6), np.float32)[:, ::2]), "out"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()
