"""`evaluate --protocol ratings`: what it holds out, what it compares with, and what it refuses; the two metrics."""

import numpy as np
import pandas as pd
import pytest

from recengine.errors import ConfigInvalid, EmptyData, ShapeError
from recengine.jobs.evaluate import evaluate_log
from recengine.metrics.ratings import mae, rmse
from tests.unit.test_funk_svd import tastes

COLUMNS = {"user": "user", "item": "item", "value": "rating"}


def log():
    matrix, _ = tastes()
    users, items = np.nonzero(matrix)
    return pd.DataFrame({"user": [f"u{u}" for u in users], "item": [f"i{i}" for i in items], "rating": matrix[users, items]})


def test_the_metrics_are_their_formulas():
    predicted, given = np.array([1, 2, 5], np.float32), np.array([1, 4, 4], np.float32)
    assert rmse(predicted, given) == pytest.approx(np.sqrt(5 / 3))
    assert mae(predicted, given) == pytest.approx(1.0)
    assert np.isnan(rmse(predicted[:0], given[:0]))
    assert np.isnan(mae(predicted[:0], given[:0]))
    with pytest.raises(ShapeError):
        rmse(predicted, given[:2])


def test_factors_beat_biases_and_biases_the_mean_on_held_out_ratings():
    frame = log()
    answer = evaluate_log(frame, COLUMNS, "funk_svd", {"factors": 4}, protocol="ratings", seed=1)
    assert answer["ratings"] == len(frame) // 10
    for metric in ("rmse", "mae"):
        assert answer["metrics"][metric] < answer["biases"][metric] < answer["global_mean"][metric]
    assert evaluate_log(frame, COLUMNS, "funk_svd", {"factors": 4}, protocol="ratings", seed=1)["metrics"] == answer["metrics"]
    assert evaluate_log(frame, COLUMNS, "funk_svd", {"factors": 4}, protocol="ratings", seed=2)["metrics"] != answer["metrics"]


def test_what_predicts_no_ratings_and_a_log_without_them_are_refused():
    with pytest.raises(ConfigInvalid, match="funk_svd"):
        evaluate_log(log(), COLUMNS, "als", protocol="ratings")
    with pytest.raises(EmptyData, match="rated"):
        evaluate_log(log(), {"user": "user", "item": "item"}, "funk_svd", protocol="ratings")
