import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.metrics import beyond, ranking
from tests.oracles import metrics as oracle


def ragged(rows):
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return indptr, np.array([i for row in rows for i in row], dtype=np.int32)


def lists(rows, n):
    return np.array([[*row, *[-1] * (n - len(row))] for row in rows], dtype=np.int32).reshape(len(rows), n)


def evaluate(recommended, held_out, at, n=None):
    n = max(map(len, recommended), default=0) if n is None else n
    return ranking.evaluate(lists(recommended, n), *ragged(held_out), at)


def test_a_list_worked_by_hand():
    # hits at ranks 2 and 4 of 5; 3 held out
    got = {m: v[0] for m, v in evaluate([[7, 1, 8, 2, 9]], [[2, 1, 5]], at=5).items()}
    dcg = 1 / math.log2(3) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    want = {"precision": 0.4, "recall": 2 / 3, "f1": 0.5, "ndcg": dcg / ideal, "map": (1 / 2 + 2 / 4) / 3, "mrr": 0.5, "hit_rate": 1.0}
    assert got == pytest.approx(want)


def test_a_perfect_list_has_one_everywhere_that_a_list_can_reach_it():
    got = evaluate([[0, 1, 2]], [[2, 1, 0, 3, 4]], at=3)
    assert got["ndcg"][0] == got["map"][0] == got["mrr"][0] == got["precision"][0] == got["hit_rate"][0] == 1.0
    assert got["recall"][0] == pytest.approx(3 / 5)


def test_users_without_held_out_items_are_nan_and_left_out_of_means():
    got = evaluate([[1], [2], [3]], [[1], [], [4]], at=1)
    assert np.isnan(got["recall"][1])
    assert ranking.mean(got)["recall"] == 0.5
    assert math.isnan(ranking.mean(evaluate([[1]], [[]], at=1))["ndcg"])


def test_padding_is_never_a_hit_and_places_past_k_do_not_count():
    got = evaluate([[-1, -1], [5, 6]], [[0], [6]], at=1)
    assert got["hit_rate"].tolist() == [0.0, 0.0]


def test_a_short_list_still_divides_precision_by_k():
    assert evaluate([[1]], [[1]], at=4)["precision"][0] == 0.25


def test_no_users_and_no_places_give_empty_and_zero():
    assert evaluate([], [], at=3)["recall"].shape == (0,)
    assert evaluate([[]], [[1]], at=3)["mrr"].tolist() == [0.0]


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match="indptr"):
        ranking.evaluate(lists([[1]], 1), np.zeros(1, np.int64), np.empty(0, np.int32), 1)
    with pytest.raises(ShapeError, match="at"):
        evaluate([[1]], [[1]], at=0)


users = st.lists(
    st.tuples(st.lists(st.integers(0, 12), unique=True, max_size=8), st.lists(st.integers(0, 12), max_size=8)), max_size=6
)


@given(users, st.integers(1, 10), st.integers(8, 11))
def test_every_metric_equals_the_slow_definition(rows, at, n):
    got = evaluate([r for r, _ in rows], [h for _, h in rows], at=at, n=n)
    assert tuple(got) == ranking.METRICS
    for u, (recommended, held_out) in enumerate(rows):
        for name in ranking.METRICS:
            if held_out:
                assert got[name][u] == pytest.approx(oracle.one_user(recommended, set(held_out), at)[name])
            else:
                assert np.isnan(got[name][u])


def test_thirty_thousand_users_take_well_under_a_second():
    rng = np.random.default_rng(0)
    indptr = np.arange(0, 30_001 * 7, 7, dtype=np.int64)[:30_001]
    relevant, items = rng.integers(0, 41_000, 210_000).astype(np.int32), rng.integers(0, 41_000, (30_000, 20)).astype(np.int32)
    start = time.process_time()
    ranking.evaluate(items, indptr, relevant, 20)
    assert time.process_time() - start < 1.0


def test_the_interval_covers_the_mean_and_has_the_width_of_the_standard_error():
    values = np.random.default_rng(1).normal(3.0, 2.0, 4000)
    low, high = ranking.interval(values, seed=5)
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * 2.0 / math.sqrt(4000), rel=0.1)
    assert ranking.interval(values, seed=5) == (low, high)
    assert ranking.interval(values, seed=6) != (low, high)


def test_the_interval_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(2)
    covered = sum(low < 0.3 < high for low, high in (ranking.interval((rng.random(80) < 0.3).astype(float), seed=s) for s in range(200)))
    assert 180 <= covered <= 199


def test_the_interval_of_nothing_is_nan_and_of_a_constant_is_the_constant():
    assert all(map(math.isnan, ranking.interval(np.array([np.nan]), 0)))
    assert ranking.interval(np.array([0.25, np.nan, 0.25]), 0) == (0.25, 0.25)


def test_pairing_sees_a_small_steady_gain_that_separate_intervals_miss():
    rng = np.random.default_rng(3)
    b = rng.random(500)
    a = b + 0.01 + rng.normal(0, 0.01, 500)
    got = ranking.paired_difference(a, b, seed=0)
    assert got.low > 0
    assert got.mean == pytest.approx((a - b).mean())
    assert ranking.interval(a, 0)[0] < b.mean() < ranking.interval(a, 0)[1]


def test_pairs_with_a_missing_side_are_left_out_and_lengths_must_agree():
    got = ranking.paired_difference(np.array([1.0, np.nan, 5.0]), np.array([0.0, 1.0, np.nan]), seed=0)
    assert got == (1.0, 1.0, 1.0)
    assert math.isnan(ranking.paired_difference(np.array([np.nan]), np.array([1.0]), seed=0).mean)
    with pytest.raises(ShapeError):
        ranking.paired_difference(np.zeros(2), np.zeros(3), seed=0)


def test_coverage_counts_eligible_items_once_and_ignores_others():
    eligible = np.array([1, 1, 1, 1, 0], np.uint8)
    assert beyond.coverage(lists([[0, 1], [1, 4], [-1, -1]], 2), eligible) == 0.5
    assert math.isnan(beyond.coverage(lists([[0]], 1), np.zeros(1, np.uint8)))


def test_novelty_worked_by_hand():
    counts = np.array([4, 2, 2, 0])
    got = beyond.novelty(lists([[0, 1], [3], []], 2), counts)
    assert got[:2].tolist() == [1.5, 3.0]  # -log2 of 1/2, 1/4; and of 1/8 for the one nobody knows
    assert np.isnan(got[2])
    assert np.isnan(beyond.novelty(lists([[0]], 1), np.zeros(1))).all()


def test_gini_worked_by_hand():
    everything = np.ones(4, np.uint8)
    assert beyond.gini(lists([[0, 1, 2, 3]], 4), everything) == 0.0
    assert beyond.gini(lists([[0], [0]], 1), everything) == 0.75  # one of four takes all: 1 - 1/n
    assert math.isnan(beyond.gini(lists([[]], 1), everything))


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), min_size=1, max_size=5), st.lists(st.integers(0, 9), min_size=6, max_size=6))
def test_beyond_accuracy_equals_the_slow_definitions(rows, counts):
    items = lists(rows, 4)
    shown = np.bincount(items[items >= 0], minlength=6).tolist()
    if sum(shown):
        assert beyond.gini(items, np.ones(6, np.uint8)) == pytest.approx(oracle.gini(shown))
    if sum(counts):
        for row, value in zip(rows, beyond.novelty(items, np.array(counts)), strict=True):
            assert np.isnan(value) if not row else value == pytest.approx(oracle.self_information(row, counts))
