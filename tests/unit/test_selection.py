import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recengine.config import Features
from recengine.features.associations import auc, binned, likeness, mutual_information, rank_correlations
from recengine.features.definition import Counted, Feature
from recengine.features.selection import SelectionReport, select

M = 4000


def table(seed=0, m=M):
    """Ten columns: two that tell, and one of each ill."""
    rng = np.random.default_rng(seed)
    useful, second = rng.exponential(5, m), rng.normal(size=m)
    outcomes = (np.log1p(useful) + second + rng.normal(size=m) > 2).astype(np.float32)
    group = rng.integers(0, 6, m).astype(float)
    columns = {
        "useful": useful,
        "second": second,
        "copy": np.sqrt(useful) + 1e-4 * second,
        "turned": -second,
        "still": np.full(m, 3.0),
        "absent": np.full(m, np.nan),
        "future": outcomes + rng.normal(size=m) * 0.05,
        "noise": rng.normal(size=m),
        "group": group,
        "renamed": 5 - group,
        "told": rng.random(m),
    }
    features = tuple(
        Feature(name=name, entity="item", how=Counted("item", name), dtype="category" if name in ("group", "renamed") else "number") for name in columns
    )
    return features, np.array(list(columns.values()), np.float32), outcomes, np.arange(m) >= m * 3 // 4


def chosen(config=None, leaks=None, **more):
    return select(*table(), config or Features(), {"told": "differs when computed from the store as of then"} if leaks is None else leaks, **more)


def test_every_ill_is_dropped_with_its_reason_and_the_earlier_of_two_stays():
    report = chosen()
    assert report.kept == ("useful", "second", "noise", "group")
    assert list(report.dropped) == ["copy", "turned", "still", "absent", "future", "renamed", "told"]
    assert report.dropped["copy"].startswith("near duplicate of useful: rank correlation ")
    assert report.dropped["turned"] == "near duplicate of second: rank correlation -1.0000"
    assert report.dropped["still"] == "constant: 3 in all 4,000 rows"
    assert report.dropped["absent"] == "constant: missing in all 4,000 rows"
    assert report.dropped["future"].startswith("leak: alone, a higher value tells the outcome (AUC 1.0000, above 0.995)")
    assert report.dropped["renamed"] == "near duplicate of group: it parts the rows alike to 1.0000"
    assert report.dropped["told"] == "leak: differs when computed from the store as of then"


def test_a_leak_that_no_order_shows_is_seen():
    features, values, outcomes, later = table()
    values[7] = np.where(outcomes > 0, 5, np.random.default_rng(3).choice([2, 8], M))  # taken = 5, between the others
    report = select(features, values, outcomes, later, Features(), {})
    assert report.dropped["noise"].startswith("leak: alone, its value tells")
    values[7] = np.where(outcomes > 0, np.nan, 2)
    assert "leak" in select(features, values, outcomes, later, Features(), {}).dropped["noise"]


def test_a_category_that_only_remembers_is_no_leak_and_ranks_last():
    features, values, outcomes, later = table()
    values[8] = np.arange(M)
    report = select(features, values, outcomes, later, Features(keep=2), {})
    assert "place" in report.dropped["group"]
    assert report.judged["group"].information == 0


def test_the_best_are_kept_and_the_others_say_their_place():
    report = chosen(Features(keep=2))
    assert report.kept == ("useful", "second")
    assert report.dropped["noise"].startswith(("place 3 of 4, 2 are kept: mutual information", "place 4 of 4, 2 are kept: mutual information"))
    places = {name: judged.place for name, judged in report.judged.items()}
    assert {places["useful"], places["second"]} == {1, 2}
    assert places["future"] is None
    assert report.judged["useful"].importance > 0.05 > abs(report.judged["noise"].importance)
    assert report.judged["second"].information > 0.05 > report.judged["noise"].information
    assert 0.8 < report.auc < 0.95
    assert (report.rows, report.later) == (M, M // 4)


def test_the_thresholds_are_the_configuration_s():
    assert "copy" in chosen(Features(duplicate=1)).kept
    strict = chosen(Features(leak=0.75))
    assert strict.dropped["second"].startswith("leak")
    assert "turned" in strict.dropped


def test_the_same_seed_gives_the_same_report_and_threads_do_not_matter():
    one = chosen(seed=3)
    assert one == chosen(seed=3) == chosen(seed=3, threads=2)
    assert msgspec.json.decode(msgspec.json.encode(one), type=SelectionReport) == one


@pytest.mark.parametrize("m", [0, 1, 50])
def test_few_rows_are_ranked_without_a_probe(m):
    report = select(*table(m=m), Features(keep=3), {})
    assert report.auc is None
    assert len(report.kept) <= 3
    assert set(report.kept) | set(report.dropped) == {f.name for f in table()[0]}


def test_one_outcome_alone_is_no_reason_to_stop():
    features, values, outcomes, later = table()
    report = select(features, values, np.zeros_like(outcomes), later, Features(), {})
    assert report.auc is None
    assert "future" in report.kept


@given(st.integers(2, 60), st.integers(0, 2**31))
def test_auc_counts_the_pairs(m, seed):
    rng = np.random.default_rng(seed)
    outcomes, scores = rng.integers(0, 2, m).astype(np.float32), rng.integers(0, 5, m).astype(np.float32)
    scores[rng.random(m) < 0.1] = np.nan
    low = np.where(np.isnan(scores), -1, scores)
    pairs = [(a > b) + 0.5 * (a == b) for a in low[outcomes == 1] for b in low[outcomes == 0]]
    np.testing.assert_allclose(auc(outcomes, scores), np.mean(pairs) if pairs else np.nan)


def test_rank_correlations_are_spearman_s():
    values = np.random.default_rng(4).integers(0, 9, (4, 300)).astype(np.float32)
    values[3] = 7
    np.testing.assert_allclose(rank_correlations(values)[:3, :3], stats.spearmanr(values[:3].T).statistic, atol=1e-12)
    assert not rank_correlations(values)[3].any()


def test_information_of_a_copy_is_the_outcome_s_entropy_and_of_chance_nothing():
    outcomes = np.repeat([0, 1], [30_000, 10_000]).astype(np.float32)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(mutual_information(outcomes.astype(np.int64), outcomes), entropy, atol=1e-4)
    chance = np.random.default_rng(5).integers(0, 500, 40_000)
    assert mutual_information(chance, outcomes) < 2e-3  # the plug-in estimate comes to 6e-3


def test_bins_are_equal_shares_and_missing_is_one_of_its_own():
    values = np.random.default_rng(6).exponential(9, 32_000).astype(np.float32)
    bins = binned(values, values, category=False)
    assert np.bincount(bins)[1:].tolist() == pytest.approx([1000] * 32, abs=1)
    assert binned(np.array([np.nan, -1, 1e9], np.float32), values, category=False).tolist() == [0, 1, 32]
    assert binned(np.array([np.nan, 4], np.float32), values, category=True).tolist() == [0, 5]
    assert binned(np.array([np.nan, 4], np.float32), values[:0], category=False).tolist() == [0, 1]


def test_likeness_is_one_for_the_same_parts_and_small_for_others():
    rng = np.random.default_rng(7)
    one, other = rng.integers(0, 5, 10_000), rng.integers(0, 5, 10_000)
    assert likeness(one, (one * 3) % 5) == pytest.approx(1)
    assert likeness(one, other) < 0.01
    assert likeness(one, one // 2) < 0.9
