import math
import operator
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import BadExpression
from recengine.expressions import mask, parse
from recengine.types import NO_TIME, Catalogue, Column


def micros(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


NOW = micros("2024-06-15T12:00:00")
COLUMNS = {
    "price": Column("number", np.array([10.0, 50.0, math.nan, -3.0])),
    "brand": Column("string", np.array([1, 0, -1, 1], np.int32), ("Acme", "Bolt")),
    "tags": Column("strings", np.array([0, 1, 1, 2], np.int32), ("new", "sale", "eco"), np.array([0, 2, 3, 3, 4], np.int64)),
    "sold": Column("bool", np.array([1, 0, 2, 0], np.uint8)),
    "released": Column("timestamp", np.array([micros("2024-01-01"), micros("2024-06-14"), NO_TIME, micros("2024-06-20")])),
    "title": Column("text", np.array(["Red shoe", "Bag", None, ""], object)),
    "image": Column("vector", np.zeros((4, 2), np.float32)),
}


def catalogue(columns=COLUMNS, n=4):
    return Catalogue(n, columns, np.ones(n, np.uint8), np.full(n, NO_TIME, np.int64))


def kept(text, of=None):
    got = mask(parse(text), of or catalogue(), now=NOW)
    assert got.dtype == np.uint8
    assert set(got.tolist()) <= {0, 1}
    return np.flatnonzero(got).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("price < 50", [0, 3]),
        ("price <= 50", [0, 1, 3]),
        ("price > 10", [1]),
        ("price >= 10", [0, 1]),
        ("price == -3", [3]),
        ("price != 10", [1, 3]),
        ("price in [10, 50, 7]", [0, 1]),
        ("price not in [10]", [1, 3]),
        ("price in []", []),
        ("brand == 'Acme'", [1]),
        ("brand == 'Nobody'", []),
        ("brand != 'Nobody'", [0, 1, 3]),
        ("brand in ['Acme', 'Bolt']", [0, 1, 3]),
        ("brand not in ['Acme']", [0, 3]),
        ("brand >= 'B'", [0, 3]),
        ("tags == 'sale'", [0, 1]),
        ("tags in ['eco', 'new']", [0, 3]),
        ("tags != 'sale'", [3]),
        ("tags not in ['new', 'eco']", [1]),
        ("sold", [0]),
        ("not sold", [1, 2, 3]),
        ("sold == false", [1, 3]),
        ("sold != true", [1, 3]),
        ("sold in [true, false]", [0, 1, 3]),
        ("released > '2024-01-01'", [1, 3]),
        ("released == '2024-01-01T01:00:00+01:00'", [0]),
        ("released in ['2024-01-01', '2024-06-20']", [0, 3]),
        ("released <= now", [0, 1]),
        ("released > now - 2 days", [1, 3]),
        ("released > now + 1 week", []),
        ("released < now + 1e300 weeks", [0, 1, 3]),
        ("released < now - 1e300 weeks", []),
        ("title == 'Bag'", [1]),
        ("title != 'Bag'", [0, 3]),
        ("title in ['', 'Bag']", [1, 3]),
        ("title not in ['Bag']", [0, 3]),
        ("true", [0, 1, 2, 3]),
        ("false or price == 10", [0]),
        ("price < 50 and (tags == 'new' or brand == 'Acme') and not sold", []),
        ("price < 60 and (tags == 'eco' or brand == 'Acme') and not sold", [1, 3]),
    ],
)
def test_each_kind_of_column_compares_as_said(text, rows):
    assert kept(text) == rows


@pytest.mark.parametrize("text", ["price < 1", "price != 1", "brand != 'x'", "tags not in ['x']", "sold == true", "released != '2024-01-01'", "title != 'x'"])
def test_a_comparison_with_a_missing_value_is_false_and_its_negation_true(text):
    assert 2 not in kept(text)
    assert 2 in kept(f"not {text}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prize < 1", "no attribute 'prize'; nearest: price"),
        ("Zzz", "no attribute 'Zzz'; there are: brand, image, price"),
        ("price < 'abc'", "'price' is a number: expected a number, got 'abc'"),
        ("price == true", "expected a number, got true"),
        ("price in [1, 'x']", "expected a number, got 'x'"),
        ("price < now", "expected a number, got 'now'"),
        ("price", "'price' is a number: expected a number, got true"),
        ("brand == 3", "'brand' is a string: expected text in quotes, got 3.0"),
        ("brand < now", "expected text in quotes"),
        ("tags < 'a'", "a list of strings, which `<` cannot compare"),
        ("tags in [1]", "expected text in quotes, got 1.0"),
        ("title > 'a'", "a text, which `>` cannot compare"),
        ("title in [false]", "expected text in quotes, got false"),
        ("sold < true", "a bool, which `<` cannot compare"),
        ("sold == 1", "expected true or false, got 1.0"),
        ("released > 'yesterday'", "expected an ISO time"),
        ("released > 5", "expected an ISO time"),
        ("image == 1", "'image' is a vector"),
    ],
)
def test_a_wrong_name_or_type_is_refused_with_what_would_fit(text, says):
    with pytest.raises(BadExpression) as caught:
        kept(text)
    assert says in caught.value.message


def test_a_wrong_name_is_refused_even_where_the_answer_is_known_already():
    with pytest.raises(BadExpression):
        kept("false and nonsense == 1")


def test_an_empty_catalogue_gives_an_empty_mask():
    nothing = catalogue({"brand": Column("string", np.empty(0, np.int32)), "price": Column("number", np.empty(0))}, n=0)
    assert kept("brand == 'a' or price < 3 or not true", nothing) == []


def test_columns_stay_as_they_were_and_the_mask_is_new():
    frozen = {name: Column(c.kind, c.data.copy(), c.labels, c.indptr) for name, c in COLUMNS.items()}
    for column in frozen.values():
        column.data.flags.writeable = False
    got = mask(parse("price < 50 and sold in [true, false]"), catalogue(frozen), now=NOW)
    got[:] = 1
    assert kept("price < 50 and sold in [true, false]", catalogue(frozen)) == [0, 3]


cells = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-2, 2).map(float),
        "s": st.none() | st.sampled_from("abc"),
        "m": st.lists(st.sampled_from("abc"), max_size=3),
        "b": st.none() | st.booleans(),
    }
)


def columns_of(rows):
    flat = ["abc".index(v) for r in rows for v in r["m"]]
    return {
        "n": Column("number", np.array([math.nan if r["n"] is None else r["n"] for r in rows])),
        "s": Column("string", np.array([-1 if r["s"] is None else "abc".index(r["s"]) for r in rows], np.int32), tuple("abc")),
        "m": Column("strings", np.array(flat, np.int32), tuple("abc"), np.cumsum([0, *(len(r["m"]) for r in rows)]).astype(np.int64)),
        "b": Column("bool", np.array([2 if r["b"] is None else int(r["b"]) for r in rows], np.uint8)),
    }


def values(row, column):
    cell = row[column]
    return cell if column == "m" else [] if cell is None else [cell]


COMPARE = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def compared(column, sign, value):
    """A condition and its meaning for one row, a value at a time."""
    literal = repr(value).lower() if isinstance(value, bool) else repr(value)
    if sign == "!=":
        return f"{column} != {literal}", lambda row: bool(values(row, column)) and value not in values(row, column)
    return f"{column} {sign} {literal}", lambda row: any(COMPARE[sign](v, value) for v in values(row, column))


def within(column, sign, chosen):
    def holds(row):
        some = any(v in chosen for v in values(row, column))
        return some if sign == "in" else bool(values(row, column)) and not some

    return f"{column} {sign} {chosen}", holds


def joined(a, b, c):
    """No brackets: `not` binds before `and`, and `and` before `or`."""
    return f"{a[0]} or not {b[0]} and {c[0]}", lambda row: a[1](row) or (not b[1](row) and c[1](row))


conditions = st.one_of(
    st.builds(compared, st.just("n"), st.sampled_from(sorted(COMPARE)), st.integers(-2, 2).map(float)),
    st.builds(compared, st.just("s"), st.sampled_from(sorted(COMPARE)), st.sampled_from("abcd")),
    st.builds(compared, st.just("m"), st.sampled_from(["==", "!="]), st.sampled_from("abcd")),
    st.builds(compared, st.just("b"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(within, st.sampled_from("sm"), st.sampled_from(["in", "not in"]), st.lists(st.sampled_from("abcd"), max_size=2)),
    st.builds(within, st.just("n"), st.sampled_from(["in", "not in"]), st.lists(st.integers(-2, 2).map(float), max_size=2)),
    st.just(("b", lambda row: row["b"] is True)),
)
filters = st.recursive(
    conditions,
    lambda inner: st.builds(lambda parts: (f"({parts[0]})", parts[1]), st.builds(joined, inner, inner, inner)),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.lists(cells, min_size=1, max_size=6), filters)
def test_any_filter_means_what_its_conditions_mean_row_by_row(rows, asked):
    text, holds = asked
    got = mask(parse(text), catalogue(columns_of(rows), len(rows)), now=NOW)
    assert got.tolist() == [int(holds(row)) for row in rows]
