"""Pages of a listing: every row once, in order; cursors that were not given are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import BadRequest
from recengine.online.pages import page


@given(n=st.integers(0, 50), limit=st.integers(1, 12), grows=st.integers(0, 2))
def test_a_listing_visits_every_row_once_though_rows_come(n, limit, grows):
    seen, after = [], ""
    while after is not None:
        rows, after = page(after, limit, n)
        assert len(rows) <= limit
        seen += rows
        if len(seen) < 60:
            n += grows
    assert seen == list(range(n))[: len(seen)]
    assert len(seen) >= n - grows


@pytest.mark.parametrize("after", ["x", "cm93", "cm93IDE=", "cm93IDAx", "cm93IC0x", "\u00e9", "cm93IDk5OTk5OTk5OTk5", "a b", "=", "row 1"])
def test_what_is_no_cursor_is_refused(after):
    with pytest.raises(BadRequest, match="is no cursor"):
        page(after, 10, 100)


@pytest.mark.parametrize("limit", [0, -1, 1001, 2**70, True, "5", None, 1.5])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(BadRequest, match="limit"):
        page("", limit, 100)


def test_a_cursor_beyond_the_end_gives_the_last_page():
    _, after = page("", 10, 20)
    assert page(after, 10, 5) == (range(5, 5), None)
