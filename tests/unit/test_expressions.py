import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import BadExpression
from recengine.expressions import attributes, depends_on_now, parse, render
from recengine.expressions.parse import MAX_DEPTH, MAX_LENGTH, MAX_LIST
from recengine.expressions.tree import And, Compare, Constant, Flag, Not, Now, Or, Within


def refused(text):
    with pytest.raises(BadExpression) as caught:
        parse(text)
    return caught.value.message


def test_the_example_of_the_manual_becomes_the_tree_it_reads_as():
    text = """price < 50 and (category in ["shoes", 'bags'] or brand == "Acme") and not discontinued and released > "2024-01-01" """
    assert parse(text) == And(
        (
            Compare("price", "<", 50.0),
            Or((Within("category", ("shoes", "bags")), Compare("brand", "==", "Acme"))),
            Not(Flag("discontinued")),
            Compare("released", ">", "2024-01-01"),
        )
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a and b or c", Or((And((Flag("a"), Flag("b"))), Flag("c")))),
        ("a or b and c", Or((Flag("a"), And((Flag("b"), Flag("c")))))),
        ("not a and b", And((Not(Flag("a")), Flag("b")))),
        ("not (a and b)", Not(And((Flag("a"), Flag("b"))))),
        ("not not a", Not(Not(Flag("a")))),
        ("(a and b) and c", And((And((Flag("a"), Flag("b"))), Flag("c")))),
        ("((a))", Flag("a")),
        ("not a == 1", Not(Compare("a", "==", 1.0))),
        ("true or false", Or((Constant(value=True), Constant(value=False)))),
        ("a not in []", Within("a", (), negated=True)),
        ("a in [1, -2.5, 'x', true]", Within("a", (1.0, -2.5, "x", True))),
        ("x>=-.5e-3", Compare("x", ">=", -0.0005)),
        ("x != 3.", Compare("x", "!=", 3.0)),
        ("flag == false", Compare("flag", "==", False)),
        ("`and` == 1", Compare("and", "==", 1.0)),
        ("`price (EUR)` < 2", Compare("price (EUR)", "<", 2.0)),
        ("`a``b`", Flag("a`b")),
        ("größe > 1", Compare("größe", ">", 1.0)),
        (r'''a == "say \"hi\" \\ \n\t\'"''', Compare("a", "==", 'say "hi" \\ \n\t' + "'")),
        ("a == 'line\nbreak'", Compare("a", "==", "line\nbreak")),
        ("released > now - 7 days", Compare("released", ">", Now(-7.0, "days"))),
        ("released<now+1.5 hour", Compare("released", "<", Now(1.5, "hours"))),
        ("released <= now", Compare("released", "<=", Now())),
        ("a\n\tand\nb", And((Flag("a"), Flag("b")))),
        ("x<5and y", And((Compare("x", "<", 5.0), Flag("y")))),
    ],
)
def test_text_becomes_this_tree_and_back(text, tree):
    assert parse(text) == tree
    assert parse(render(tree)) == tree


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1, column 1: expected an attribute"),
        ("price <", 'column 8: expected a value (a number, "text", true, false or now), got the end'),
        ("price < and", "column 9: expected a value"),
        ("price < cheap", "column 9: expected a value"),
        ("price < 5 6", "column 11: expected `and`, `or` or the end, got `6`"),
        ("price < 5 < 6", "column 11: expected `and`, `or` or the end, got `<`"),
        ("50 > price", "column 1: expected an attribute"),
        ("(a or b", "column 8: expected `)`, got the end"),
        ("a)", "column 2: expected `and`, `or` or the end"),
        ("a in 'x'", "column 6: expected `[`"),
        ("a in ['x' 'y']", "column 11: expected `,` or `]`"),
        ("a in ['x',]", "column 11: expected a number"),
        ("a in [", "column 7: expected a number"),
        ("a not b", "column 3: expected `and`, `or` or the end, got `not`"),
        ("a = 1", "column 3: expected a name, a value or an operator, got `=`"),
        ('a and\n  b == "x', 'line 2, column 8: expected a closing "'),
        ("`a == 1", "column 1: expected a closing `"),
        ("``", "column 1: expected a closing `"),
        ("a == 'x\\q'", r"column 8: expected one of \\"),
        ("a == 1e999", "expected a number below"),
        ("a > now - days", "expected a number of seconds"),
        ("a > now - 7", "expected seconds, minutes"),
        ("a in [now]", "expected a number"),
        ("a && b", "column 3"),
        ("a\0b", r"got '\x00'"),
        ("a == - 'x'", "expected a value"),
        ("not", "column 4: expected an attribute"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text, says):
    assert says in refused(text)


def test_an_error_marks_the_place_and_hints_at_the_slip():
    with pytest.raises(BadExpression) as caught:
        parse("brand == 'Acme' and\nprice = 5 and stock > 0")
    assert caught.value.message.splitlines()[1:] == ["  price = 5 and stock > 0", "        ^"]
    assert caught.value.hint == "equality is =="


def test_the_marked_line_is_cut_to_what_can_be_read():
    message = refused("a == 1 and " * 100 + "b ? c")
    line, caret = message.splitlines()[1:]
    assert len(line) <= 62
    assert line[caret.index("^")] == "?"


def test_length_depth_and_lists_are_bounded():
    assert str(MAX_LENGTH) in refused("a or " * 1000)
    at_limit, over = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH, "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1)
    assert parse(at_limit) == Flag("a")
    assert f"at most {MAX_DEPTH}" in refused(over)
    assert f"at most {MAX_DEPTH}" in refused("not " * (MAX_DEPTH + 1) + "a")
    assert parse("(a) or " * 100 + "not a or " * 100 + "a")  # depth is nesting, not number
    assert len(parse(f"a in [{','.join(['1'] * MAX_LIST)}]").values) == MAX_LIST
    assert f"at most {MAX_LIST} entries" in refused(f"a in [{','.join(['1'] * (MAX_LIST + 1))}]")


def test_hostile_text_costs_no_more_than_its_length():
    start = time.process_time()
    for text in ('"' + "\\" * 4000, "`" * 4095, "(" * 4096, "not " * 1000, '"a' * 2000, "1" * 4096, "a" * 4096 + "", "1e" * 2000):
        try:
            parse(text)
        except BadExpression:
            continue
    assert time.process_time() - start < 0.5


def test_the_attributes_of_a_tree_are_named_once():
    assert attributes(parse("a < 1 and (not b or a in [2]) and c not in ['x'] or true")) == {"a", "b", "c"}


def test_only_now_depends_on_the_clock():
    assert depends_on_now(parse("a < 1 or not (b and released < now - 1 week)"))
    assert not depends_on_now(parse("a < 1 or not (b and released < '2024-01-01' or c in ['now']) or true"))


def test_a_text_is_parsed_once():
    assert parse("only_once == 1") is parse("only_once == 1")


names = st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(["price", "and", "in", "now", "true", "a`b", "größe", "x1"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.booleans(), numbers, st.text(max_size=6))
nows = st.builds(Now, numbers, st.sampled_from(["seconds", "minutes", "hours", "days", "weeks"])).map(lambda n: n if n.amount else Now())
leaves = st.one_of(
    st.builds(Compare, names, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.one_of(scalars, nows)),
    st.builds(Within, names, st.lists(scalars, max_size=4).map(tuple), st.booleans()),
    st.builds(Flag, names),
    st.builds(Constant, st.booleans()),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(node, st.lists(inner, min_size=2, max_size=3).map(tuple)) for node in (And, Or)),
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(trees)
def test_rendering_and_parsing_give_the_tree_back(tree):
    text = render(tree)
    if len(text) <= MAX_LENGTH:
        assert parse(text) == tree
        assert render(parse(text)) == text


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*"()[],<>=!`'\"\\-+. \n", "a", "not", "in", "and", "or", "now", "1e9", "days", "true", "=="]), max_size=25).map(" ".join)))
def test_any_text_parses_or_raises_bad_expression(text):
    try:
        tree = parse(text)
    except BadExpression:
        return
    assert parse(render(tree)) == tree


@settings(max_examples=100)
@given(trees, st.randoms(use_true_random=False))
def test_a_broken_text_parses_or_raises_bad_expression(tree, random):
    text = list(render(tree)[:MAX_LENGTH])
    for _ in range(3):
        at = random.randrange(len(text) + 1)
        text[at : at + random.randrange(3)] = random.choice(["", "(", "'", '"', "\\", " not ", "`", "9"])
    try:
        broken = parse("".join(text))
    except BadExpression:
        return
    assert parse(render(broken)) == broken


def test_shared_trees_are_equal_by_value_and_hashable():
    assert len({parse("a == 1"), Compare("a", "==", 1.0), Compare("a", "==", np.float64(1.0))}) == 1
