import math
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recengine.algorithms import demographic
from recengine.algorithms.demographic import Demographic
from recengine.algorithms.groups import attribute_of, memberships
from recengine.algorithms.shrinkage import cross
from recengine.errors import BadArtifact, ConfigInvalid, NotFitted, ShapeError
from recengine.types import NO_TIME, Catalogue, Column, Interactions, TrainingData


def training(rows, n_items, **columns):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    items = np.array([i for row in rows for i in row], np.int32)
    inter = Interactions(len(rows), n_items, indptr, items, np.ones(len(items), np.float32), np.zeros(len(items), np.int64))
    users = Catalogue(len(rows), columns, np.ones(len(rows), np.uint8), np.full(len(rows), NO_TIME, np.int64))
    return TrainingData(inter, Catalogue(n_items, {}, np.ones(n_items, np.uint8), np.full(n_items, NO_TIME, np.int64)), users, 0)


def strings(*values):
    labels = tuple(sorted({str(v) for v in values if v is not None}))
    return Column("string", np.array([-1 if v is None else labels.index(v) for v in values], np.int32), labels)


def two_tastes(people=200, n_items=20, seed=0):
    """Group a likes items 0..4 more, group b items 5..9; the rest is noise."""
    rng = np.random.default_rng(seed)
    group = np.where(np.arange(people) % 2 == 0, "a", "b")
    rows = []
    for g in group:
        chance = np.full(n_items, 0.1)
        chance[0:5] = 0.6 if g == "a" else 0.1
        chance[5:10] = 0.6 if g == "b" else 0.1
        rows.append(np.flatnonzero(rng.random(n_items) < chance).tolist())
    return training(rows, n_items, taste=strings(*group), age=Column("number", rng.integers(18, 80, people).astype(np.float64)))


def everything(n):
    return np.ones(n, np.uint8)


def test_each_group_gets_what_it_likes():
    source = Demographic().fit(two_tastes())
    assert set(source.recommend_for({"taste": "a"}, 5, everything(20)).items[0].tolist()) == {0, 1, 2, 3, 4}
    assert set(source.recommend_for({"taste": "b"}, 5, everything(20)).items[0].tolist()) == {5, 6, 7, 8, 9}


def test_scores_are_the_log_share_plus_the_shrunken_log_lifts():
    rows = [[0], [0], [0, 1], [1], [1], [1, 2]]
    source = Demographic().fit(training(rows, 3, g=strings("a", "a", "a", "b", "b", "b")))
    counts, totals, share = np.array([3, 1, 0]), np.array([3, 4, 1]), 4 / 8
    expected = share * totals
    variance = (((counts - expected) ** 2).sum() - (1 - share) * expected.sum()) / (expected**2).sum()
    assert variance > 0.1
    want = np.log(totals / 8) + np.log((counts + 1 / variance) / (expected + 1 / variance))
    got = source.recommend_for({"g": "a"}, 3, everything(3))
    assert got.scores[0] == pytest.approx(np.sort(want)[::-1], rel=1e-5)
    assert got.items[0].tolist() == np.argsort(-want).tolist()


def test_lifts_of_several_attributes_add_up():
    source = Demographic().fit(two_tastes())
    learned = source._learned
    taste = source.recommend_for({"taste": "a"}, 20, everything(20))
    both = source.recommend_for({"taste": "a", "age": 30}, 20, everything(20))
    order = np.argsort(both.items[0])
    age_group = source._groups_of({"age": 30})
    assert np.sort(both.items[0]).tolist() == list(range(20))
    assert both.scores[0][order] == pytest.approx(taste.scores[0][np.argsort(taste.items[0])] + learned.lifts[age_group[0]], rel=1e-5)


def crossed_tastes(people=240):
    """Women in x and men in y like items 0 to 4, the others 5 to 9: neither attribute says anything alone."""
    rng = np.random.default_rng(0)
    woman, x = np.arange(people) % 2 == 0, np.arange(people) // 2 % 2 == 0
    rows = [(rng.permutation(5)[:3] + (0 if w == here else 5)).tolist() for w, here in zip(woman, x, strict=True)]
    return training(rows, 10, gender=strings(*np.where(woman, "f", "m")), town=strings(*np.where(x, "x", "y")))


def test_what_a_pair_of_values_says_beyond_its_values_is_learned():
    data = crossed_tastes()
    source = Demographic().fit(data)
    assert source._learned.pairs.tolist() == [[0, 1]]
    for gender, town, likes in (("f", "x", 0), ("m", "y", 0), ("f", "y", 5), ("m", "x", 5)):
        found = source.recommend_for({"gender": gender, "town": town}, 5, everything(10)).items[0]
        assert set(found.tolist()) == set(range(likes, likes + 5))
    assert np.abs(source.lift_for({"gender": "f"}, np.arange(10, dtype=np.int32))).max() < 0.1
    users = np.arange(4, dtype=np.int32)
    trained = source.recommend_rows(users, 5, np.ones((4, 10), np.uint8)).items
    asked = [source.recommend_for({"gender": "fm"[u % 2], "town": "xy"[u // 2 % 2]}, 5, everything(10)).items[0] for u in range(4)]
    assert trained.tolist() == np.array(asked).tolist()


def test_pairs_are_saved_and_ones_that_are_not_there_refused(tmp_path):
    source = Demographic().fit(crossed_tastes())
    source.save(tmp_path)
    wish = {"gender": "m", "town": "x"}
    again = Demographic.load(tmp_path)
    assert again.recommend_for(wish, 10, everything(10)).scores.tobytes() == source.recommend_for(wish, 10, everything(10)).scores.tobytes()
    np.save(tmp_path / "pairs.npy", np.array([[0, 7]], np.int32))
    with pytest.raises(BadArtifact, match="pairs"):
        Demographic.load(tmp_path)


def test_pairs_that_say_nothing_have_no_groups():
    assert Demographic().fit(two_tastes())._learned.pairs.shape == (0, 2)


def test_users_with_several_labels_are_in_every_cell_of_theirs():
    one = sparse.csr_matrix(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], float))
    two = sparse.csr_matrix(np.array([[1, 1], [0, 1], [1, 0]], float))
    want = [[a[i] * b[j] for i in range(3) for j in range(2)] for a, b in zip(one.toarray(), two.toarray(), strict=True)]
    assert cross(one, two).toarray().tolist() == want


def test_noise_is_shrunken_away_and_taste_is_not():
    source = Demographic().fit(two_tastes())
    sizes = [a.size for a in source._learned.attributes]
    by_name = dict(zip(source.attributes, np.split(source._learned.lifts, np.cumsum(sizes)[:-1]), strict=True))
    assert np.abs(by_name["age"]).max() < 0.35
    assert by_name["taste"].max() > 0.4


def test_a_busy_group_is_not_mistaken_for_one_of_special_taste():
    rows = [[0, 1, 2, 3]] * 50 + [[i % 4] for i in range(40)]
    source = Demographic().fit(training(rows, 4, g=strings(*["busy"] * 50, *["quiet"] * 40)))
    assert np.abs(source._learned.lifts).max() < 0.02


def test_a_dislike_is_no_engagement():
    data = training([[0, 1], [0, 1]], 2, g=strings("a", "b"))
    data.interactions.weights[[1, 3]] = -1
    assert Demographic().fit(data).recommend_for({"g": "a"}, 2, everything(2)).items[0].tolist() == [0, -1]


def test_a_label_that_stands_twice_counts_once():
    def lifts(*flat_and_ends):
        flat, ends = flat_and_ends
        tags = Column("strings", np.array(flat, np.int32), ("x", "y"), np.array(ends, np.int64))
        return Demographic().fit(training([[0], [0], [1], [1, 0]], 2, tags=tags))._learned.lifts

    assert lifts([0, 0, 0, 1, 1], [0, 2, 3, 4, 5]).tobytes() == lifts([0, 0, 1, 1], [0, 1, 2, 3, 4]).tobytes()


def test_users_known_at_training_get_the_list_of_their_attributes():
    data = two_tastes()
    source = Demographic().fit(data, ("taste",))
    mask = np.ones((4, 20), np.uint8)
    mask[1, 5] = 0
    got = source.recommend_rows(np.array([0, 1, -1, 10_000], np.int32), 6, mask)
    alone = source.recommend_for({"taste": "b"}, 6, mask[1])
    assert got.items[0].tolist() == source.recommend_for({"taste": "a"}, 6, everything(20)).items[0].tolist()
    assert got.items[1].tobytes() == alone.items[0].tobytes()
    assert got.scores[1].tobytes() == alone.scores[0].tobytes()
    assert 5 not in got.items[1]
    assert (got.items[2:] == -1).all()
    assert np.isnan(got.scores[2:]).all()


@pytest.mark.parametrize("attributes", [{}, {"taste": "zzz"}, {"taste": 3}, {"age": "old"}, {"age": math.nan}, {"shoe": 1}, {"taste": None}, {"age": True}])
def test_what_nobody_knows_gives_an_empty_row(attributes):
    got = Demographic().fit(two_tastes()).recommend_for(attributes, 3, everything(20))
    assert got.items.tolist() == [[-1, -1, -1]]


def test_items_nobody_engaged_with_and_items_after_training_are_not_listed():
    source = Demographic().fit(training([[0], [1]], 3, g=strings("a", "b")))
    assert source.recommend_for({"g": "a"}, 5, everything(9)).items[0].tolist() == [0, 1, -1, -1, -1]
    assert source.recommend_for({"g": "a"}, 5, everything(1)).items[0].tolist() == [0, -1, -1, -1, -1]


def test_groups_of_every_kind_agree_between_a_column_and_a_value():
    cases = {
        "bool": (Column("bool", np.array([1, 0, 2], np.uint8)), [True, False, None]),
        "string": (strings("x", None, "y"), ["x", None, "y"]),
        "strings": (Column("strings", np.array([1, 0], np.int32), ("p", "q"), np.array([0, 2, 2, 2], np.int64)), [["q", "p"], [], None]),
        "number": (Column("number", np.array([5.0, math.nan, 0.0, 1.0, 2.0, 3.0, 4.0])), [5, None, 0, 1.0, 2, 3, 4]),  # 1..4 are the edges
    }
    for name, (column, values) in cases.items():
        attribute = attribute_of(name, column)
        users, codes = memberships(attribute, column)
        for row, value in enumerate(values):
            assert sorted(codes[users == row].tolist()) == attribute.codes(value)
            assert all(0 <= c < attribute.size for c in attribute.codes(value))
    assert attribute_of("t", Column("timestamp", np.zeros(1, np.int64))) is None


def test_numbers_fall_into_quintiles_and_a_constant_into_one_group():
    attribute = attribute_of("age", Column("number", np.arange(100.0)))
    _, codes = memberships(attribute, Column("number", np.arange(100.0)))
    assert np.bincount(codes).tolist() == [20, 20, 20, 20, 20]
    assert attribute_of("age", Column("number", np.full(9, 3.0))).size == 1
    assert attribute_of("age", Column("number", np.full(9, math.nan))).size == 1


def test_attributes_with_one_value_or_many_are_left_out_unless_named():
    many = strings(*[f"v{i}" for i in range(60)])
    data = training([[i % 3] for i in range(60)], 3, one=strings(*["x"] * 60), many=many, two=strings(*["a", "b"] * 30))
    assert Demographic().fit(data).attributes == ("two",)
    assert Demographic().fit(data, ("many", "two")).attributes == ("many", "two")


def test_a_named_attribute_that_cannot_serve_is_refused(monkeypatch):
    data = training([[0]], 1, joined=Column("timestamp", np.zeros(1, np.int64)), g=strings("a"))
    with pytest.raises(ConfigInvalid, match=r"no user attribute 'sex'.*g, joined"):
        Demographic().fit(data, ("sex",))
    with pytest.raises(ConfigInvalid, match="timestamp"):
        Demographic().fit(data, ("joined",))
    monkeypatch.setattr(demographic, "MAX_GROUPS", 0)
    with pytest.raises(ConfigInvalid, match="labels"):
        Demographic().fit(data, ("g",))


def test_without_attributes_or_engagements_every_answer_is_empty():
    for data in (training([[0], [1]], 2), training([[], []], 2, g=strings("a", "b")), training([], 0)):
        source = Demographic().fit(data)
        assert (source.recommend_for({"g": "a"}, 2, everything(2)).items == -1).all()


def test_an_explanation_is_the_summed_lift_where_it_speaks_for_the_item():
    source = Demographic().fit(two_tastes(), ("taste",))
    (evidence,) = source.explain({"taste": "a"}, 0)
    assert evidence.kind == "demographic"
    assert evidence.weight == pytest.approx(source._learned.lifts[0, 0])
    assert source.explain({"taste": "b"}, 0) == source.explain({}, 0) == source.explain({"taste": "a"}, 99) == ()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_a_row_is_sorted_unique_allowed_and_complete(seed, n):
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(rng.random(8) < 0.4).tolist() for _ in range(10)]
    source = Demographic().fit(training(rows, 8, g=strings(*rng.choice(["a", "b"], 10))), ("g",))
    mask = (rng.random(8) < 0.6).astype(np.uint8)
    got = source.recommend_for({"g": "a"}, n, mask)
    engaged = {i for row in rows for i in row}
    here = got.items[0][got.items[0] >= 0].tolist()
    want = {i for i in engaged if mask[i]} if len(source._groups_of({"g": "a"})) else set()
    assert len(here) == min(n, len(want))
    assert set(here) <= want
    keys = [(-s, i) for s, i in zip(got.scores[0], here, strict=False)]
    assert keys == sorted(keys)
    assert len(set(here)) == len(here)


def test_candidates_are_bounded_and_keep_the_best_of_every_group(monkeypatch):
    monkeypatch.setattr(demographic, "MAX_CANDIDATES", 4)
    source = Demographic().fit(two_tastes(), ("taste",))
    kept = source._learned.candidates
    assert len(kept) == 4
    assert np.sum(kept < 5) == np.sum((kept >= 5) & (kept < 10)) == 2


def test_a_saved_source_answers_bit_equal_and_a_damaged_one_is_refused(tmp_path):
    source = Demographic().fit(two_tastes())
    source.save(tmp_path)
    again = Demographic.load(tmp_path)
    asked = {"taste": "b", "age": 44}
    a, b = source.recommend_for(asked, 20, everything(20)), again.recommend_for(asked, 20, everything(20))
    assert (a.items.tobytes(), a.scores.tobytes()) == (b.items.tobytes(), b.scores.tobytes())
    users, mask = np.arange(5, dtype=np.int32), np.ones((5, 20), np.uint8)
    assert source.recommend_rows(users, 3, mask).items.tolist() == again.recommend_rows(users, 3, mask).items.tolist()
    np.save(tmp_path / "prior.npy", np.zeros(1, np.float32))
    with pytest.raises(BadArtifact, match="length"):
        Demographic.load(tmp_path)
    np.save(tmp_path / "attributes.npy", np.frombuffer(b"{", np.uint8))
    with pytest.raises(BadArtifact, match="JSON"):
        Demographic.load(tmp_path)


def test_an_unfitted_source_and_a_wrong_mask_are_said_clearly():
    with pytest.raises(NotFitted):
        Demographic().recommend_for({}, 1, everything(1))
    with pytest.raises(ShapeError, match="mask"):
        Demographic().fit(two_tastes()).recommend_rows(np.zeros(2, np.int32), 1, np.ones((3, 20), np.uint8))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**30, -(10**400), 10**400, 2**63]) | st.floats()
    | st.text(max_size=3) | st.sampled_from(["a", "b"]) | st.binary(max_size=3) | st.datetimes() | st.complex_numbers()
    | st.sampled_from([np.float64("nan"), np.int64(3), np.array([1, 2]), np.array(["a", "b"]), object(), datetime]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    | st.tuples(inner, inner) | st.sets(st.integers(), max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["taste", "age", "member", "tags", "unheard"]), anything, max_size=5))
def test_an_attribute_of_any_type_is_binned_or_ignored(attributes):
    source = OF_EVERY_KIND
    best = source.recommend_for(attributes, 3, everything(20))
    assert best.items.shape == (1, 3)
    assert all(isinstance(e.weight, float) for e in source.explain(attributes, 0))


def test_a_number_of_any_size_lies_in_a_bin_and_one_that_is_none_lies_in_no_bin():
    age = attribute_of("age", Column("number", np.arange(100.0)))
    assert age.codes(10**30) == age.codes(10**400) == age.codes(1e300) == [age.size - 1]
    assert age.codes(-(10**400)) == age.codes(-5.0) == [0]
    for edge in age.edges:
        assert age.codes(edge) == [int(np.searchsorted(age.edges, edge, side="right"))]
    assert age.codes(math.nan) == age.codes(math.inf) == age.codes("30") == age.codes(None) == []


OF_EVERY_KIND = Demographic().fit(
    training(
        [[k % 20, (k + 1) % 20] for k in range(60)],
        20,
        taste=strings(*("ab"[k % 2] for k in range(60))),
        age=Column("number", np.arange(60.0)),
        member=Column("bool", (np.arange(60) % 2).astype(np.uint8)),
        tags=Column("strings", (np.arange(120) % 2).astype(np.int32), ("a", "b"), np.arange(0, 121, 2).astype(np.int64)),
    )
)
