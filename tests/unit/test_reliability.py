"""Confidences are judged on pairs nobody calibrated on, by formulas, and drawn."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.algorithms.calibration import Curve
from recengine.errors import ShapeError
from recengine.jobs.calibration_page import page, write
from recengine.metrics.calibration import brier, ece, reliability
from recengine.offline import build, choose, train
from recengine.offline import reliability as judged
from tests.oracles.calibration import calibration_error
from tests.unit.shop import shop
from tests.unit.test_train import config


@pytest.fixture(scope="module")
def found():
    events, users, items = shop()
    built = build.split(events, config(), users, items)
    trained = train.run(built, config())
    return built, trained, judged.run(trained.deployment, built.test, config())


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_ece_and_brier_equal_their_formulas(pairs):
    p, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    assert ece(p, y) == pytest.approx(calibration_error(p, y), abs=1e-9)
    assert brier(p, y) == pytest.approx(np.mean((p - y) ** 2))
    assert sum(one.pairs for one in reliability(p, y)) == len(p)


def test_what_keeps_its_word_has_no_error_and_what_never_does_has_the_whole():
    p = np.repeat([0.25, 0.75], 400)
    y = np.arange(800) % 4 < np.repeat([1, 3], 400)
    assert ece(p, y) == 0
    assert ece(np.ones(5), np.zeros(5, bool)) == brier(np.ones(5), np.zeros(5, bool)) == 1
    assert brier(np.full(4, 0.5), np.array([True, False, True, False])) == 0.25


def test_missing_probabilities_do_not_count_and_nothing_has_no_error():
    assert ece(np.array([np.nan, 1.0]), np.array([False, True])) == 0
    assert np.isnan(ece(np.array([np.nan]), np.array([True])))
    assert np.isnan(brier(np.empty(0), np.empty(0, bool)))
    with pytest.raises(ShapeError):
        ece(np.zeros(2), np.zeros(3, bool))


def test_the_report_judges_the_blend_and_every_model(found):
    _, trained, report = found
    assert [one.name for one in report] == ["candidate", "item_knn", "user_knn", "popularity"]
    assert [one.threshold for one in report] == [None, 0.5, 0.5, 0.3]
    for one in report:
        assert one.pairs == sum(b.pairs for b in one.bins)
        assert 0 <= one.ece < 0.2
        assert 0 < one.brier < 0.3
        assert 0 <= one.abstains <= 1
    assert report[0].family == trained.deployment.curve.family


def test_no_user_is_both_calibrated_on_and_reported(found):
    built, _, report = found
    used = choose.calibrating(built.validation.targets.users, config())
    others = built.test.targets.users[choose.reporting(built.test.targets.users, config().training.seed)]
    assert not set(used.tolist()) & set(others.tolist())
    assert report[0].users == len(others)


def test_a_deployment_that_is_too_sure_is_found_out(found):
    built, trained, report = found
    sure = tuple(choose.Member(m.scorer, Curve(50.0, 5.0), m.weight) for m in trained.deployment.members)
    bad = judged.run(trained.deployment.blending(sure, Curve(50.0, 5.0)), built.test, config())
    assert all(b.ece > g.ece + 0.1 for b, g in zip(bad, report, strict=True))


def test_a_confidence_is_of_no_use_where_a_coin_would_be_nearer():
    engaged = np.array([True, False, True, False])
    for said, useful in ((0.5, True), (np.where(engaged, 0.6, 0.4), True), (np.where(engaged, 0.4, 0.6), False), (np.nan, True)):
        one = judged._judged("m", "platt", 4, np.full(4, said), engaged, None, np.zeros(4, bool))
        assert one.useful is useful


def test_the_page_draws_every_model_with_every_bin_and_loads_nothing(found, tmp_path):
    report = found[2]
    drawn = page(report, "v<1>")
    assert drawn.count("<section") == len(report)
    assert drawn.count("<circle") == sum(len(one.bins) for one in report)
    assert "v&lt;1&gt;" in drawn
    assert "v<1>" not in drawn
    assert not re.search(r"<script|https?://|url\(", drawn)
    write(report, "v1", tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    heights = [float(y) for y in re.findall(r'cy="([-\d.]+)"', drawn)]
    assert all(-0.1 <= y <= 240.1 for y in heights)
