"""Features of the moment and of the place."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.features.context import CONTEXT_VALUES, read_context, read_contexts
from recengine.types import NO_TIME

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1973, 4, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
LABELS = {"context.device": ("phone", "tablet"), "context.location": ("fr", "uk"), "context.referrer": ("search",)}


def micros(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


@given(st.lists(MOMENTS, max_size=9))
def test_the_calendar_is_that_of_the_standard_library(moments):
    times = np.array([micros(m) for m in moments], np.int64)
    got = read_contexts(times)
    assert got.shape == (len(CONTEXT_VALUES), len(moments))
    for column, moment in enumerate(moments):
        said = [moment.hour, moment.weekday(), float(moment.weekday() >= 5), moment.timetuple().tm_yday - 1]
        assert got[:4, column].tolist() == said
        assert read_context(micros(moment), {}, LABELS)[:4].tolist() == said


@pytest.mark.parametrize("year", [1996, 1999, 2000, 2001, 2023, 2024, 2099, 2100, 2104, 2400])
def test_the_turn_of_years_and_of_february_is_counted_right(year):
    for day in ((1, 1), (2, 28), (3, 1), (12, 31)):
        moment = datetime(year, *day, 23, 59, 59, 999_999, tzinfo=UTC)
        assert read_context(micros(moment), {}, {})[3] == moment.timetuple().tm_yday - 1


def test_what_is_no_moment_has_no_clock_in_both_ways():
    times = np.array([0, 7, 10**14 - 1, -5, NO_TIME], np.int64)
    assert np.isnan(read_contexts(times)).all()
    for time in times.tolist():
        assert np.isnan(read_context(time, {}, {})).all()


def test_one_request_and_a_column_of_moments_agree_to_the_bit():
    times = np.random.default_rng(0).integers(10**14, 4 * 10**15, 500)
    column = read_contexts(times)
    alone = np.stack([read_context(t, {}, LABELS) for t in times.tolist()], axis=1)
    np.testing.assert_array_equal(column, alone)
    assert column.dtype == alone.dtype == np.float32


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ({}, [None] * 4),
        ({"device": "tablet", "location": "fr", "referrer": "search", "position": 3}, [1, 0, 0, 3]),
        ({"device": ["phone", "tablet"], "location": [], "position": 2.5}, [0, None, None, 2.5]),
        ({"device": "watch", "location": 7, "referrer": None, "position": "top"}, [None] * 4),
        ({"device": True, "position": True}, [None] * 4),
        ({"position": float("nan")}, [None] * 4),
        ({"position": 1e300, "weather": "rain"}, [None] * 4),
    ],
)
def test_what_a_request_tells_becomes_codes_and_what_it_does_not_is_missing(told, values):
    got = read_context(10**15, told, LABELS)[4:]
    assert [None if np.isnan(v) else v for v in got] == values


def test_without_labels_no_category_is_known():
    assert np.isnan(read_context(10**15, dict.fromkeys(("device", "location", "referrer"), "phone"), {})[4:7]).all()
