import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.registry import create
from recengine.algorithms.standing import DAY, half_life
from recengine.config import Popularity as PopularityConfig
from recengine.errors import BadArtifact, EmptyData, NotFitted
from recengine.types import NO_TIME, Catalogue, Column, Interactions, Query, TrainingData

NOW = 1_700_000_000_000_000  # microseconds, November 2023


def catalogue(n, *, since=None, **columns):
    known = np.full(n, NO_TIME, np.int64) if since is None else np.array(since, np.int64)
    return Catalogue(n, columns, np.ones(n, np.uint8), known)


def data(events, n_items, *, items=None):
    """One user an event (item, weight, time)."""
    rows = len(events)
    item, weight, moment = (np.array(column) for column in zip(*events, strict=True)) if rows else ([], [], [])
    inter = Interactions(
        rows, n_items, np.arange(rows + 1, dtype=np.int64), np.array(item, np.int32), np.array(weight, np.float32), np.array(moment, np.int64)
    )
    return TrainingData(inter, items or catalogue(n_items), catalogue(rows), NOW)


def fitted(events, n_items, *, items=None, **config):
    return Popularity(PopularityConfig(**config)).fit(data(events, n_items, items=items))


def query(rows):
    nothing = Interactions(rows, 0, np.zeros(rows + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))
    return Query(np.full(rows, -1, np.int32), nothing, np.zeros(rows, np.uint8), NOW)


def scores(model, n):
    return model.score(query(1), np.array([0, n], np.int64), np.arange(n, dtype=np.int32))


def test_all_time_is_the_log_of_weighted_counts_over_the_largest():
    got = scores(fitted([(0, 1, NOW), (0, 2, NOW), (1, 1, NOW), (2, -5, NOW)], 4, trending_share=0.0), 4)
    assert got == pytest.approx([1.0, math.log(2) / math.log(4), 0.0, 0.0])


def test_an_event_counts_half_in_trending_after_a_half_life():
    events = [(0, 1, NOW), (1, 1, NOW - 7 * DAY), (2, 1, NOW - 14 * DAY)]
    got = scores(fitted(events, 3, trending_share=1.0, half_life_days=7.0), 3)
    assert got == pytest.approx(np.log1p([1, 0.5, 0.25]) / np.log(2))


def test_old_favourites_lead_popular_and_new_ones_lead_trending():
    events = [(0, 1, NOW - 300 * DAY)] * 5 + [(1, 1, NOW)] * 3
    model = fitted(events, 2)
    assert model.ranking("popular").tolist() == [0, 1]
    assert model.ranking("trending").tolist() == [1, 0]
    assert scores(model, 2)[0] == pytest.approx(0.7 + 0.3 * math.log1p(5 * 2 ** (-300 / 7)) / math.log(4))


def test_an_order_of_small_integers_spans_a_nominal_year():
    assert half_life(np.array([0, 3650]), 7.0) == 70.0
    assert half_life(np.array([4, 4]), 7.0) == math.inf
    assert half_life(np.array([NOW, NOW]), 7.0) == 7 * DAY
    assert scores(fitted([(0, 1, 5), (1, 1, 5)], 2, trending_share=1.0), 2).tolist() == [1.0, 1.0]


def test_events_without_a_time_are_as_old_as_the_oldest():
    got = scores(fitted([(0, 1, NOW), (1, 1, NOW - 7 * DAY), (2, 1, NO_TIME)], 3, trending_share=1.0), 3)
    assert got[2] == got[1] < got[0]
    assert scores(fitted([(0, 1, NO_TIME), (1, 1, NO_TIME)], 2, trending_share=1.0), 2).tolist() == [1.0, 1.0]


def test_latest_goes_by_first_version_or_first_event_whichever_is_earlier():
    items = catalogue(5, since=[NOW - 5, NOW, NOW - 9, NO_TIME, NO_TIME])
    model = fitted([(0, 1, NOW), (1, 1, NOW - 7), (3, 1, NOW - 6), (3, 1, NOW)], 5, items=items)
    assert model.ranking("latest").tolist() == [0, 3, 1, 2, 4]


def test_latest_does_not_mix_a_feeds_integers_with_microseconds():
    items = catalogue(4, since=[NO_TIME, NOW, NOW - 1, NO_TIME])
    model = fitted([(0, 1, 3), (1, 1, 1), (3, 1, 9)], 4, items=items)
    assert model.ranking("latest").tolist() == [1, 2, 3, 0]


def test_categories_rank_their_items_by_score_from_one_label_or_many():
    one = Column("string", np.array([1, 0, 1, -1], np.int32), ("bag", "shoe", "unused"))
    model = fitted([(0, 1, NOW), (2, 3, NOW)], 4, items=catalogue(4, category=one))
    assert model.category_labels == ("bag", "shoe")
    assert model.category_ranking("shoe").tolist() == [2, 0]
    assert model.category_ranking("bag").tolist() == [1]
    assert model.category_ranking("hat").tolist() == []
    many = Column("strings", np.array([0, 1, 1, 1], np.int32), ("a", "b"), np.array([0, 2, 2, 3, 4], np.int64))
    training = data([(0, 1, NOW), (3, 3, NOW)], 4, items=catalogue(4, genre=many))
    model = Popularity(PopularityConfig()).fit(training, category="genre")
    assert model.category_ranking("b").tolist() == [3, 0, 2]
    assert Popularity(PopularityConfig()).fit(training).category_labels == ()


def test_a_column_of_another_kind_is_no_category():
    prices = Column("number", np.array([1.0, 2.0]))
    assert fitted([(0, 1, NOW)], 2, items=catalogue(2, category=prices)).category_labels == ()


def test_new_items_can_be_shown_last_and_items_after_training_are_not_scored():
    model = fitted([(1, 1, NOW)], 3)
    got = model.recommend(query(1), 5, np.ones((1, 6), np.uint8))
    assert got.items.tolist() == [[1, 0, 2, -1, -1]]
    assert got.scores[0, :3].tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(got.scores[0, 3:]).all()
    assert np.isnan(scores(model, 6)[3:]).all()


@settings(max_examples=60)
@given(st.data())
def test_recommend_is_the_sorted_score_of_what_is_allowed(draw):
    n_items, extra, rows, n = (draw.draw(st.integers(*ends)) for ends in ((1, 30), (0, 3), (0, 3), (1, 40)))
    events = draw.draw(st.lists(st.tuples(st.integers(0, n_items - 1), st.sampled_from([1, 2]), st.integers(0, 9)), min_size=1, max_size=40))
    mask = np.array(draw.draw(st.lists(st.integers(0, 1), min_size=rows * (n_items + extra), max_size=rows * (n_items + extra))), np.uint8)
    mask = mask.reshape(rows, n_items + extra)
    model = fitted(events, n_items)
    values, got = scores(model, n_items), model.recommend(query(rows), n, mask)
    assert got.items.shape == got.scores.shape == (rows, n)
    for row in range(rows):
        want = sorted((i for i in range(n_items) if mask[row, i]), key=lambda i: (-values[i], i))[:n]
        assert got.items[row].tolist() == want + [-1] * (n - len(want))
        assert got.scores[row, : len(want)].tolist() == values[want].tolist()


def test_the_parts_of_an_explanation_add_up_to_the_score():
    model = fitted([(0, 1, NOW), (1, 5, NOW - 3 * DAY), (0, 1, NOW)], 3)
    parts = model.explain(query(1), 0, 1)
    assert {p.kind for p in parts} == {"popular", "trending"}
    assert sum(p.weight for p in parts) == pytest.approx(scores(model, 3)[1])
    assert parts[0].weight >= parts[1].weight
    assert model.explain(query(1), 0, 1, top=1) == parts[:1]
    assert model.explain(query(1), 0, 2) == model.explain(query(1), 0, 99) == ()


def test_a_saved_model_answers_bit_equal(tmp_path):
    items = catalogue(4, category=Column("string", np.array([0, 1, 1, -1], np.int32), ("é", "b")))
    model = fitted([(0, 1, NOW), (2, 3, NOW - 4 * DAY), (1, 2, NOW)], 4, items=items)
    model.save(tmp_path)
    again = Popularity.load(model.config, tmp_path)
    assert scores(again, 4).tobytes() == scores(model, 4).tobytes()
    assert again.recommend(query(1), 3, np.ones((1, 4), np.uint8)).items.tolist() == model.recommend(query(1), 3, np.ones((1, 4), np.uint8)).items.tolist()
    assert all(again.ranking(kind).tolist() == model.ranking(kind).tolist() for kind in ("popular", "trending", "latest"))
    assert again.category_labels == ("é", "b")
    assert again.category_ranking("b").tolist() == [2, 1]


@pytest.mark.parametrize(("name", "array"), [("scores", np.zeros(3, np.float32)), ("labels", np.frombuffer(b"[1", np.uint8)), ("category_indptr", np.zeros(3, np.int64))])
def test_a_damaged_folder_is_refused(tmp_path, name, array):
    model = fitted([(0, 1, NOW)], 2)
    model.save(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(BadArtifact):
        Popularity.load(model.config, tmp_path)
    (tmp_path / "order.npy").unlink()
    with pytest.raises(BadArtifact):
        Popularity.load(model.config, tmp_path)


def test_nothing_positive_and_nothing_fitted_are_said_clearly():
    with pytest.raises(EmptyData):
        fitted([(0, -1, NOW)], 2)
    with pytest.raises(NotFitted, match="popularity"):
        scores(Popularity(PopularityConfig()), 1)


def test_the_registry_makes_it_and_a_second_fit_forgets_the_first():
    model = create(PopularityConfig())
    model.fit(data([(0, 1, NOW)], 2))
    model.fit(data([(1, 1, NOW)], 3))
    assert scores(model, 3).tolist() == scores(fitted([(1, 1, NOW)], 3), 3).tolist()
    assert msgspec.structs.asdict(model.config) == msgspec.structs.asdict(PopularityConfig())
