import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from recengine.features.definition import Counted, Feature, FeatureSet
from recengine.features.selection import Judged, SelectionReport
from recengine.jobs.feature_charts import heatmap, meter, spread
from recengine.jobs.feature_facts import Bars, correlations, cut, describe_feature
from recengine.jobs.feature_page import page
from recengine.jobs.feature_report import report_on, strongest
from recengine.metrics.drift import psi

START, DAY = 1_700_000_000_000_000, 86_400_000_000
NAN = float("nan")


def feature(name, dtype="number", transform="none", domain="", note=""):
    return Feature(name=name, entity="item", how=Counted("item", name), dtype=dtype, transform=transform, domain=domain, note=note)


def described(values, at=None, labels=(), **kind):
    values = np.array(values, np.float32)
    told = {"item.category": tuple(labels)}
    return describe_feature(feature("x", domain="item.category" if labels else "", **kind), values, len(values) // 2 if at is None else at, told, None)


def small(rng, m=400):
    features = FeatureSet((feature("steady"), feature("drifting", transform="log"), feature("twin"), feature("sort", "category", domain="item.category"), feature("empty"), feature("fixed")))
    steady = rng.normal(size=m)
    values = np.stack([
        steady, np.exp(rng.normal(size=m) + np.repeat([0, 2], m // 2)), 2 * steady + 1, rng.integers(0, 3, m).astype(float), np.full(m, NAN), np.ones(m),
    ]).astype(np.float32)
    values[0, ::10] = NAN
    return features, values, {"item.category": ("a", "b", "<script>alert(1)</script>")}


def made(rng, found=None, m=400, **more):
    features, values, labels = small(rng, m)
    times = START + np.arange(m, dtype=np.int64) * DAY
    taken = (np.arange(m) % 5 == 0).astype(np.float32)
    return report_on("shop & co", features, values, labels, times, taken, found, now=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), **more)


def test_the_stability_index_is_the_sum_over_bins_and_nothing_without_rows():
    before, after = np.array([80, 20]), np.array([60, 40])
    assert psi(before, after) == pytest.approx((0.6 - 0.8) * np.log(0.6 / 0.8) + (0.4 - 0.2) * np.log(0.4 / 0.2))
    assert psi(before, before) == 0
    assert np.isfinite(psi(np.array([5, 0]), np.array([0, 5])))
    assert np.isnan(psi(np.zeros(2), after))
    assert np.isnan(psi(before, np.zeros(2)))


def test_missing_is_told_of_each_period_and_counts_as_drift():
    got = described([1, 2, 3, 4, NAN, NAN, 3, 4])
    assert (got.missing, got.missing_before, got.missing_after) == (0.25, 0, 0.5)
    assert got.drift > 0.25
    assert described([1, 2, NAN, NAN] * 2).drift == 0


def test_a_number_that_wanders_off_drifts_and_one_that_stays_does_not():
    rng = np.random.default_rng(1)
    stays, goes = rng.normal(size=4000), np.concatenate((rng.normal(size=2000), rng.normal(1, 1, 2000)))
    assert described(stays).drift < 0.05
    assert described(goes).drift > 0.5
    assert described([1.0] * 6).drift == 0


def test_few_values_get_a_bar_each_and_shares_sum_to_one():
    got = described([0, 0, 1, 1, 0, 1, 1, 1]).bars
    assert (got.labels, got.before, got.after, got.continuous) == (("0", "1"), (0.5, 0.5), (0.25, 0.75), False)
    assert described([NAN, NAN]).bars.labels == ()


def test_many_values_get_bins_that_hold_the_extremes_too():
    values = np.concatenate((np.linspace(0, 10, 998), [-1e6, 1e6]))
    for transform in ("none", "log"):
        bars = described(np.random.default_rng(0).permutation(values), transform=transform).bars
        assert bars.continuous
        assert sum(bars.before) == pytest.approx(1)
        assert sum(bars.after) == pytest.approx(1)
        assert (bars.labels[0][:5], bars.labels[-1][-8:]) == ("up to", "and more")
    skewed = described(np.random.default_rng(0).lognormal(3, 2, 2000), transform="log").bars
    assert max(skewed.after) < 0.25  # on a plain scale nearly all would stand in one bar


def test_categories_are_named_commonest_first_and_the_rest_share_a_bar():
    codes = [0, 2, 2, 1, 2, NAN, 2, 1]
    bars = described(codes, dtype="category", labels=("a", "b", "c")).bars
    assert bars.labels == ("c", "b", "a")
    assert bars.after == pytest.approx((2 / 3, 1 / 3, 0))
    many = described(list(range(30)) * 2, dtype="category", labels=[f"l{k}" for k in range(30)]).bars
    assert (len(many.labels), many.labels[-1]) == (13, "18 others")
    assert sum(many.before) == pytest.approx(1)
    assert described([5.0, 5.0], dtype="category", labels=("a",)).bars.labels == ("5",)


def test_new_categories_drift():
    assert described([0] * 50 + [1] * 50, dtype="category", labels=("a", "b")).drift > 1


def test_periods_are_cut_between_two_moments():
    assert cut(np.array([], np.int64)) == 0
    assert cut(np.array([1, 1, 1, 2, 2], np.int64)) == 3
    assert cut(np.array([1, 2, 2, 2, 3, 3, 3, 3], np.int64)) == 4
    assert cut(np.array([7, 7, 7], np.int64)) == 3  # one moment: there is no later period
    assert described([1, 2, 3], at=3).drift is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 3, 50]), st.integers(2, 5))
def test_correlation_is_spearmans(seed, m, kinds):
    rng = np.random.default_rng(seed)
    values = np.stack([rng.integers(0, kinds, m), rng.permutation(m), rng.normal(size=m)]).astype(np.float32)
    names, matrix = correlations(FeatureSet((feature("a"), feature("b"), feature("c"))), values)
    changing = [k for k in range(3) if len(np.unique(values[k])) > 1]
    assert names == tuple("abc"[k] for k in changing)
    assert matrix.shape == (len(changing), len(changing))
    for i, one in enumerate(changing):
        for j, other in enumerate(changing):
            assert matrix[i, j] == pytest.approx(spearmanr(values[one], values[other]).statistic, abs=1e-9)


def test_twins_are_the_strongest_pair_and_categories_are_no_numbers():
    report = made(np.random.default_rng(2))
    assert report.names == ("steady", "drifting", "twin")
    assert [(pair.one, pair.other) for pair in report.pairs] == [("steady", "twin")]
    assert report.pairs[0].correlation > 0.75
    assert strongest((), np.empty((0, 0))) == ()


def test_a_report_says_what_selection_found():
    found = SelectionReport(
        kept=("steady",), dropped={"twin": "like steady"}, auc=0.71, rows=400, later=100,
        judged={"twin": Judged(information=0.01, alone=0.6), "steady": Judged(information=0.02, importance=0.03, place=1)},
    )
    report = made(np.random.default_rng(3), found, source="Selection of v1")
    facts = {f.name: f for f in report.features}
    assert (facts["twin"].kept, facts["twin"].dropped, facts["twin"].importance) == (False, "like steady", None)
    assert (facts["steady"].kept, facts["steady"].information, facts["steady"].importance) == (True, 0.02, 0.03)
    text = page(report)
    for said in ("like steady", "0.710", "Selection of v1", "shop &amp; co", "2023-11-14 22:13 to", "2026-01-02 03:04 UTC", "400 rows, 20.0%"):
        assert said in text


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.targets, self.ids, self.open = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.tags.append((tag, told))
        self.ids |= {told["id"]} if "id" in told else set()
        self.targets += [told[key] for key in ("href", "src", "xlink:href") if key in told]


def test_the_page_holds_no_script_and_asks_the_network_for_nothing():
    text = page(made(np.random.default_rng(4)))
    reader = Reader()
    reader.feed(text)
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert all(target.startswith("#") for target in reader.targets)
    assert {target[1:] for target in reader.targets} <= reader.ids
    assert not any(key.startswith("on") for _, told in reader.tags for key in told)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "&lt;script&gt;alert(1)" in text
    assert "prefers-color-scheme: dark" in text


def test_every_feature_has_a_card_a_row_and_a_chart_where_it_has_values():
    text = page(made(np.random.default_rng(5)))
    for name in ("steady", "drifting", "twin", "sort", "empty", "fixed"):
        assert f"id='f-{name}'" in text
        assert f"href='#f-{name}'" in text
    assert text.count("<svg class=chart") == 5
    assert text.count("no values") == 1


def test_a_table_without_rows_makes_a_page_too():
    features, _, labels = small(np.random.default_rng(0))
    nothing = np.empty(0, np.int64)
    report = report_on("shop", features, np.empty((6, 0), np.float32), labels, nothing, nothing.astype(np.float32), None)
    assert (report.rows, report.names, {f.drift for f in report.features}) == (0, (), {None})
    assert "no rows" in page(report)
    assert "0 rows" in page(report)


def test_numbers_that_only_sort_name_no_date():
    features, values, labels = small(np.random.default_rng(0))
    report = report_on("shop", features, values, labels, np.arange(400), np.zeros(400, np.float32), None)
    assert report.periods == ("order 0 to 199", "order 200 to 399")


def test_charts_stay_within_their_frame_and_nan_never_reaches_them():
    bars = Bars(("a", "b"), (1.0, 0.0), (0.0, 1.0), continuous=True)
    for text in (spread(bars, "t"), spread(Bars(("<b>",), (1.0,), (1.0,), continuous=False), "<t>"), meter(7.0, "x"), heatmap(("a", "b"), np.array([[1, -1.0], [-1.0, 1]]))):
        assert "nan" not in text
        assert "<b>" not in text
    assert 'width="64.0"' in meter(7.0, "x")
    assert "class=minus" in heatmap(("a", "b"), np.array([[1, -1.0], [-1.0, 1]]))
