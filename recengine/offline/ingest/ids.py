"""Give the ids of a file their rows, batch by batch.

Part of the ingest stage. Text is encoded once a distinct id and batch. Integers go through a table that
is kept for the whole file: a gather costs 3 ns a row, where hashing costs 15 and Python 150 an id (measured on a
million rows, 50,000 users).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recengine.offline.ingest.write import encode
from recengine.store.vocab import Draft
from recengine.types import I32, Bools

__all__ = ("IdReader",)

WIDEST = 1 << 24
"""Integers that span more than this are encoded as text is; a table of int32 takes 64 MB then."""


class IdReader:
    """Reads one column of ids. For every batch call `unfit`, then `rows` for those that are kept.

    Parameters
    ----------
    draft : where ids have their rows, and get new ones.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._table: I32 = np.empty(0, dtype=np.int32)
        self._low = 0
        self._raw: npt.NDArray[np.integer[Any]] | None = None
        self._positions: npt.NDArray[np.integer[Any]] = np.empty(0, dtype=np.int32)
        self._names: list[str | None] = []

    def unfit(self, column: pa.Array) -> Bools | None:
        """Say which rows have no id that may be kept, bool (n,); None = all have."""
        self._raw = None
        if pa.types.is_integer(column.type) and self._reaches(column):
            self._raw = (column.fill_null(self._low) if column.null_count else column).to_numpy()
            return np.asarray(column.is_null()) if column.null_count else None
        self._positions, self._names = encode(column)
        fit = self._draft.fit(self._names)
        return None if fit.all() else ~fit[self._positions]

    def rows(self, good: npt.NDArray[np.intp] | None) -> I32:
        """Look up the batch's rows `good` (None = all), adding new ids; int32."""
        if self._raw is None:
            positions = self._positions if good is None else self._positions[good]
            return self._draft.encoded(positions, self._names, some=good is not None)
        raw = self._raw if good is None else self._raw[good]
        at = raw.astype(np.int64, copy=False) - self._low  # int64 first: a span of int16 does not fit an int16
        out: I32 = self._table[at]
        missing = np.flatnonzero(out < 0)
        if len(missing):
            fresh = pc.unique(pa.array(at[missing])).to_numpy()  # in the order of appearance
            self._table[fresh] = self._draft.rows(list(map(str, (fresh + self._low).tolist())))
            out[missing] = self._table[at[missing]]
        return out

    def _reaches(self, column: pa.Array) -> bool:
        """Make the table span the batch; False = it would be too wide."""
        found = pc.min_max(column).as_py()
        if found["min"] is None:
            return False
        low, high = found["min"], found["max"]
        if len(self._table):
            low, high = min(low, self._low), max(high, self._low + len(self._table) - 1)
        if high - low >= WIDEST or abs(high) >= 1 << 62 or abs(low) >= 1 << 62:
            return False
        if low != self._low or high - low >= len(self._table):
            wider = np.full(high - low + 1, -1, dtype=np.int32)
            if len(self._table):
                wider[self._low - low : self._low - low + len(self._table)] = self._table
            self._table, self._low = wider, low
        return True
