"""Live versions of items and users: a catalogue and what happened to it -> the catalogue from then on.

A part of the fold (`online/state.py`). In: the catalogue as it stands and frames in their order. Out: a new one, equal
to what a restart reads from the store; columns that nothing changed are the same objects, which is how filters and
orders know that they still hold.

Why copies with room to spare: one more item is then a longer view of the same memory. Room is given out once, and
nobody writes where another looks: a second future of the same catalogue gets a copy.
"""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from recengine.features.described import value_of
from recengine.store.attributes import Shape, Value, shape_of
from recengine.store.catalog import EVER
from recengine.store.versions import Version, VersionFrame, begins, fitted, following
from recengine.types import I32, NO_TIME, Catalogue, Column

__all__ = ("revised", "unlabelled")

_MISSING: dict[str, Any] = {
    "bool": 2,
    "number": np.nan,
    "string": -1,
    "timestamp": NO_TIME,
    "text": None,
    "vector": np.nan,
}
_DTYPES: dict[str, npt.DTypeLike] = {
    "bool": np.uint8,
    "number": np.float64,
    "string": np.int32,
    "strings": np.int32,
    "timestamp": np.int64,
    "text": object,
    "vector": np.float32,
}


def revised(catalogue: Catalogue, rows: I32 | Sequence[int], frames: Sequence[VersionFrame], n: int) -> Catalogue:
    """Apply versions in order; pure.

    Parameters
    ----------
    rows : (len(frames),) the item or user of each frame.
    catalogue : without `held`, all of it counts as described.
    n : rows from now on, >= catalogue.n; new ones that no frame describes are available and undescribed.

    Returns
    -------
    `catalogue` itself where nothing changed. A version that is older than the one that is shown changes no more than
    `since`; one that is dated in the future is shown at once: as in `store.catalog.read_items`.

    Cost: about 20 us a frame, and a copy of each column that changed.
    """
    held = catalogue.held if catalogue.held is not None else np.maximum(catalogue.since, EVER)
    shown, since, claimed = _followed(catalogue, held, rows, frames)
    changes: dict[str, dict[int, Value | None]] = {name: {} for name in claimed}
    for row, (was, now) in shown.items():
        old, new = was.attributes if was else {}, now.attributes if now else {}
        for name in old.keys() | new.keys():
            if old.get(name) != new.get(name):
                changes.setdefault(name, {})[row] = new.get(name)
    moved = {row: now for row, (was, now) in shown.items() if now is not None and now is not was}
    if n == catalogue.n and not (moved or claimed or _differing(catalogue.since, since)):
        return catalogue
    columns = dict(catalogue.columns) | {name: _blank(shape, n) for name, shape in claimed.items()}
    stock = {row: now.available for row, now in moved.items()}
    return Catalogue(
        n=n,
        columns={name: _revised(column, changes.get(name, {}), n) for name, column in columns.items()},
        available=_written(catalogue.available, _differing(catalogue.available, stock), n, 1),
        since=_written(catalogue.since, _differing(catalogue.since, since), n, NO_TIME),
        held=_written(held, {row: max(now.valid_from, EVER) for row, now in moved.items()}, n, NO_TIME),
    )


def unlabelled(catalogue: Catalogue) -> Catalogue:
    """Empty the labels that nobody has any more, here and in the indexes: what only one user said goes with that user.

    Their places stay, so that codes go on meaning what they meant. Cost: a pass over the codes of all labels.
    """
    columns: dict[str, Column] = {}
    gone: set[str] = set()
    for name, column in catalogue.columns.items():
        if not column.labels:
            continue
        had = np.zeros(len(column.labels), np.bool_)
        had[column.data[column.data >= 0]] = True
        lonely = {column.labels[code] for code in np.flatnonzero(~had).tolist()} - {""}
        if lonely:
            gone |= lonely
            labels = tuple(["" if label in lonely else label for label in column.labels])
            columns[name] = msgspec.structs.replace(column, labels=labels)
    if not gone:
        return catalogue
    _codes.drop(gone)
    return msgspec.structs.replace(catalogue, columns={**catalogue.columns, **columns})


def _followed(
    catalogue: Catalogue, held: npt.NDArray[np.int64], rows: I32 | Sequence[int], frames: Sequence[VersionFrame]
) -> tuple[dict[int, tuple[Version | None, Version | None]], dict[int, int], dict[str, Shape]]:
    """Follow each row through its frames: its version before and after all of them, its `since`, and new attributes."""
    since: dict[int, int] = {}
    shown: dict[int, tuple[Version | None, Version | None]] = {}
    claimed: dict[str, Shape] = {}

    def shape(name: str) -> Shape | None:
        return shape_of(catalogue.columns[name]) if name in catalogue.columns else claimed.get(name)

    for row, frame in zip(map(int, rows), frames, strict=True):
        if row not in shown:
            was = _version(catalogue, held, row)
            shown[row] = was, was
            if was is not None:
                since[row] = int(catalogue.since[row])
        was, now = shown[row]
        begin = begins(frame, None if now is None else now.valid_from)
        said = fitted(frame, shape, claimed.__setitem__)
        if now is not None and begin < now.valid_from:  # it is kept, and another is shown
            since[row] = min(since[row], begin)
            continue
        version = following(now, frame, said, begin)
        if version is not None:
            shown[row] = was, version
            since.setdefault(row, begin)
    return shown, since, claimed


def _differing(array: npt.NDArray[Any], values: Mapping[int, Any]) -> dict[int, Any]:
    return {row: value for row, value in values.items() if row >= len(array) or array[row] != value}


def _version(catalogue: Catalogue, held: npt.NDArray[np.int64], row: int) -> Version | None:
    if row >= catalogue.n or held[row] == NO_TIME:
        return None
    values = ((name, value_of(column, row)) for name, column in catalogue.columns.items())
    begin = int(held[row])
    attributes = {name: value for name, value in values if value is not None}
    return Version(NO_TIME if begin == EVER else begin, bool(catalogue.available[row]), attributes)


def _blank(shape: Shape, n: int) -> Column:
    if shape.kind == "strings":
        return Column("strings", np.empty(0, np.int32), indptr=np.zeros(n + 1, np.int64))
    size = (n, shape.size) if shape.kind == "vector" else (n,)
    return Column(shape.kind, np.full(size, _MISSING[shape.kind], dtype=_DTYPES[shape.kind]))


def _revised(column: Column, changes: Mapping[int, Any], n: int) -> Column:
    """Return a column with the new values of some rows, None = missing; itself where nothing changed."""
    if column.indptr is not None:
        return _respliced(column, column.indptr, changes, n)
    if not changes and len(column.data) == n:
        return column
    labels, missing = column.labels, _MISSING[column.kind]
    if column.kind == "string":
        labels, code = _codes.of(labels, [text for text in changes.values() if text is not None])
        changes = {row: None if text is None else code[text] for row, text in changes.items()}
    values = {row: missing if value is None else value for row, value in changes.items()}
    return Column(column.kind, _written(column.data, values, n, missing), labels=labels)


def _respliced(column: Column, indptr: npt.NDArray[np.int64], changes: Mapping[int, Any], n: int) -> Column:
    """Do the same for lists of labels, which lie one after the other."""
    if not changes:
        if len(indptr) == n + 1:
            return column
        return msgspec.structs.replace(column, indptr=_written(indptr, {}, n + 1, indptr[-1]))
    labels, code = _codes.of(column.labels, [text for texts in changes.values() for text in texts or ()])
    bounds = _written(indptr, {}, n + 1, indptr[-1])
    pieces: list[npt.NDArray[np.int32]] = []
    at = 0
    lengths = np.diff(bounds)
    for row in sorted(changes):
        new = np.array([code[text] for text in changes[row] or ()], dtype=np.int32)
        pieces += [column.data[at : bounds[row]], new]
        at = int(bounds[row + 1])
        lengths[row] = len(new)
    data = np.concatenate([*pieces, column.data[at:]])
    return Column("strings", data, labels=labels, indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))


class _Spare(np.ndarray[Any, np.dtype[Any]]):
    """Memory made here, with room at its end that holds nothing but "missing"; `filled` rows were given out."""

    filled = 0


_growing = Lock()


def _written(array: npt.NDArray[Any], values: Mapping[int, Any], n: int, missing: Any) -> npt.NDArray[Any]:
    """Return `array` with n rows and some of them written.

    It is a copy, unless nothing is written but rows at its end, and there is room that nobody else was given.
    """
    kept = len(array)
    if not values and kept == n:
        return array
    spare = array.base.base if isinstance(array.base, _Spare) else None
    if not isinstance(spare, _Spare) or min(values, default=kept) < kept or not _claimed(spare, kept, n):
        spare = np.empty((n + max(64, n >> 4), *array.shape[1:]), array.dtype).view(_Spare)
        spare.view(np.ndarray)[:kept] = array
        spare.view(np.ndarray)[kept:] = missing
        spare.filled = n
    for row, value in values.items():
        spare[row] = value
    return spare[:n].view(np.ndarray)


def _claimed(spare: _Spare, kept: int, n: int) -> bool:
    """Take the rows from `kept` to n of the room, where they are the first that are left."""
    with _growing:
        free = spare.filled == kept and n <= len(spare)
        if free:
            spare.filled = n
        return free


class _Codes:
    """Finds labels without a walk over them: an index of each column that was written last.

    An index follows its labels to the longer tuple that is made of them. Thread-safe.
    """

    _KEPT = 256

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[int, tuple[tuple[str, ...], dict[str, int]]] = {}

    def of(self, labels: tuple[str, ...], wanted: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
        """Return `labels`, with what is `wanted` and new at the end, and the codes of what is wanted."""
        if not wanted:
            return labels, {}
        with self._lock:
            held = self._held.pop(id(labels), None)
            index = held[1] if held is not None else {label: code for code, label in enumerate(labels)}
            new = [text for text in dict.fromkeys(wanted) if text not in index]
            index.update(zip(new, range(len(labels), len(labels) + len(new)), strict=True))
            longer = (*labels, *new) if new else labels
            while len(self._held) >= self._KEPT:
                self._held.pop(next(iter(self._held)))
            self._held[id(longer)] = longer, index  # the tuple is held too, so that no other gets its id
            return longer, {text: index[text] for text in wanted}

    def drop(self, labels: set[str]) -> None:
        """Drop every index with one of these labels; it is made again when it is wanted."""
        with self._lock:
            held = self._held.items()
            self._held = {key: one for key, one in held if labels.isdisjoint(one[1])}


_codes = _Codes()
