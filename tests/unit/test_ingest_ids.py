"""Rows of ids: every integer type gives the rows that text would give, whatever batches it comes in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.offline.ingest.ids import IdReader
from recengine.store.vocab import Draft, Vocabulary

WIDTHS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def read(batches):
    """Read batches of ids; returns the rows of all that are not null, and the draft that named them."""
    draft = Draft(Vocabulary(["7", "x"]), "user_ids")
    reader = IdReader(draft)
    rows = []
    for batch in batches:
        unfit = reader.unfit(batch)
        rows += reader.rows(None if unfit is None else np.flatnonzero(~unfit)).tolist()
    return rows, draft


@pytest.mark.parametrize("width", WIDTHS)
@given(data=st.data())
def test_integers_of_any_width_get_the_rows_of_their_texts(width, data):
    low, high = np.iinfo(width).min, np.iinfo(width).max
    edges = [one for one in (-2, -1, 0, 1, high // 2, high - 1, high, low, low + 1) if low <= one]
    ids = st.sampled_from(edges) | st.integers(low, high) | st.none()
    batches = data.draw(st.lists(st.lists(ids, max_size=12), max_size=4))
    rows, draft = read([pa.array(batch, pa.from_numpy_dtype(np.dtype(width))) for batch in batches])
    wanted = [str(one) for batch in batches for one in batch if one is not None]
    assert [draft.name(row) for row in rows] == wanted
    assert draft.added == list(dict.fromkeys(name for name in wanted if name != "7"))


def test_the_span_of_a_narrow_type_does_not_overflow():
    rows, draft = read([pa.array([-1, 0, 32767, 5], pa.int16()), pa.array([-32768, 5], pa.int16())])
    assert [draft.name(row) for row in rows] == ["-1", "0", "32767", "5", "-32768", "5"]
