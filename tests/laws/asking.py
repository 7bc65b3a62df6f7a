"""How the laws ask a model, and how they compare what it answers. Below every file of laws; holds none itself."""

import msgspec
import numpy as np

from recengine.types import Query
from tests import strategies as make_data


def fitted(make, data, **how):
    return make().fit(data, **{"seed": 0, "threads": 1} | how)


def asked(data):
    """A batch of everybody (twelve at most), one user never seen, and a repeat."""
    users = [*range(min(data.interactions.n_users, 12)), -1, 0]
    return make_data.query(data, users)


def masks(data, n_rows):
    """All, some, one item, none; a mask of each kind."""
    n_items = data.interactions.n_items
    yield np.ones((n_rows, n_items), np.uint8)
    yield make_data.some_mask(n_rows, n_items)
    yield make_data.some_mask(n_rows, n_items, share=1.5 / n_items, seed=1)
    yield np.zeros((n_rows, n_items), np.uint8)


def everything(query, n_items):
    """Ask `score` for all items in every row."""
    n_rows = len(query.users)
    return np.arange(0, (n_rows + 1) * n_items, n_items, dtype=np.int64)[: n_rows + 1], np.tile(np.arange(n_items, dtype=np.int32), n_rows)


def score_matrix(model, query, n_items, **how):
    indptr, items = everything(query, n_items)
    scores = model.score(query, indptr, items, **how)
    assert scores.shape == items.shape
    assert scores.dtype == np.float32
    return scores.reshape(len(query.users), n_items)


def same(a, b):
    """Equal bit for bit, NaN at the same places."""
    np.testing.assert_array_equal(a.items, b.items)
    np.testing.assert_array_equal(a.scores.view(np.uint32) * ~np.isnan(a.scores), b.scores.view(np.uint32) * ~np.isnan(b.scores))
    np.testing.assert_array_equal(np.isnan(a.scores), np.isnan(b.scores))


def well_formed(top, n_rows, n):
    """(B, n), best first, ties to the lower row, unique, and padded with -1 and NaN only at the end."""
    assert top.items.shape == top.scores.shape == (n_rows, n)
    assert top.items.dtype == np.int32
    assert top.scores.dtype == np.float32
    np.testing.assert_array_equal(top.items < 0, np.isnan(top.scores))
    assert not np.isinf(top.scores).any()
    for items, scores in zip(top.items, top.scores, strict=True):
        kept = items[items >= 0]
        assert (items[: len(kept)] >= 0).all(), "a hole in the middle"
        assert (items[len(kept) :] == -1).all()
        assert len(set(kept.tolist())) == len(kept), "an item twice"
        before, after = scores[: len(kept)][:-1], scores[: len(kept)][1:]
        assert (before >= after).all(), "not best first"
        assert (kept[:-1][before == after] < kept[1:][before == after]).all(), "a tie goes to the lower row"


def pick(query, rows):
    """The rows of a query, in another order or a part of them."""
    history = query.history
    spans = [np.arange(history.indptr[r], history.indptr[r + 1]) for r in rows]
    flat = np.concatenate([*spans, np.empty(0, np.int64)]).astype(np.int64)
    part = msgspec.structs.replace(
        history,
        n_users=len(rows),
        indptr=np.cumsum([0, *map(len, spans)]).astype(np.int64),
        items=history.items[flat],
        weights=history.weights[flat],
        times=history.times[flat],
        values=None if history.values is None else history.values[flat],
    )
    return Query(query.users[rows], part, query.changed[rows], query.now)


def arrays(thing):
    """Every numpy array that hangs below a Struct."""
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, msgspec.Struct):
        return [a for name in thing.__struct_fields__ for a in arrays(getattr(thing, name))]
    if isinstance(thing, dict):
        return [a for value in thing.values() for a in arrays(value)]
    return []
