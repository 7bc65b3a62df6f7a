"""What every algorithm obeys. A law takes `make` (returns an unfitted model) and training data, and raises AssertionError.

To hold a new algorithm against them, register it; to hold one from elsewhere, call the functions of `LAWS`.
"""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recengine.errors import BadArtifact, EmptyData, NotFitted
from recengine.types import Query
from tests import strategies as make_data

KINDS = {"because_of", "similar_users", "popular", "trending", "latest", "demographic", "cold_start", "pinned", "model"}


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


def law_answers_are_well_formed(make, data):
    model, query = fitted(make, data), asked(data)
    for mask in masks(data, len(query.users)):
        for n in (1, 3, data.interactions.n_items + 5):
            well_formed(model.recommend(query, n, mask), len(query.users), n)


def law_picks_are_allowed(make, data):
    model, query = fitted(make, data), asked(data)
    for mask in masks(data, len(query.users)):
        top = model.recommend(query, 10, mask)
        rows, places = np.nonzero(top.items >= 0)
        assert mask[rows, top.items[rows, places]].all()


def law_a_ban_strikes_out_and_keeps_the_order(make, data):
    model, query = fitted(make, data), asked(data)
    n_items = data.interactions.n_items
    mask = np.ones((len(query.users), n_items), np.uint8)
    whole = model.recommend(query, n_items, mask)
    for row, items in enumerate(whole.items):
        mask[row, items[items >= 0][::2]] = 0
    rest = model.recommend(query, n_items, mask)
    for row, items in enumerate(whole.items):
        expected = items[items >= 0][1::2]
        np.testing.assert_array_equal(rest.items[row, : len(expected)], expected)
        assert (rest.items[row, len(expected) :] == -1).all()


def law_fewer_are_the_first_of_more(make, data):
    model, query = fitted(make, data), asked(data)
    for mask in masks(data, len(query.users)):
        ten = model.recommend(query, 10, mask)
        five = model.recommend(query, 5, mask)
        np.testing.assert_array_equal(five.items, ten.items[:, :5])
        np.testing.assert_array_equal(five.scores, ten.scores[:, :5])


def law_picks_are_the_best_of_score(make, data):
    """`recommend` is `score` over all items, masked and sorted, the same bits; it may leave out what scores exactly 0."""
    model = fitted(make, data)
    n_items = data.interactions.n_items
    for query in (asked(data), msgspec.structs.replace(asked(data), changed=np.ones(len(asked(data).users), np.uint8))):
        scores = score_matrix(model, query, n_items)
        for mask in masks(data, len(query.users)):
            top = model.recommend(query, 7, mask)
            for row in range(len(query.users)):
                able = np.flatnonzero((mask[row] == 1) & ~np.isnan(scores[row]))
                best = able[np.lexsort((able, -scores[row, able]))][:7]
                kept = int((top.items[row] >= 0).sum())
                np.testing.assert_array_equal(top.items[row, :kept], best[:kept])
                np.testing.assert_array_equal(top.scores[row, :kept], scores[row, best[:kept]])
                assert (scores[row, best[kept:]] == 0).all(), "left out, and not for lack of evidence"


def law_a_batch_is_its_single_rows(make, data):
    model, n_items = fitted(make, data), data.interactions.n_items
    for changed in (0, 1):
        query = msgspec.structs.replace(asked(data), changed=np.full(len(asked(data).users), changed, np.uint8))
        mask = make_data.some_mask(len(query.users), n_items)
        whole, scores = model.recommend(query, 6, mask), score_matrix(model, query, n_items)
        for row in range(len(query.users)):
            alone = model.recommend(pick(query, [row]), 6, mask[[row]])
            np.testing.assert_array_equal(alone.items[0], whole.items[row])
            np.testing.assert_array_equal(alone.scores[0], whole.scores[row])
            np.testing.assert_array_equal(score_matrix(model, pick(query, [row]), n_items)[0], scores[row])


def law_rows_do_not_know_each_other(make, data):
    model, query = fitted(make, data), asked(data)
    mask = make_data.some_mask(len(query.users), data.interactions.n_items)
    shuffled = np.random.default_rng(1).permutation(len(query.users))
    whole, other = model.recommend(query, 6, mask), model.recommend(pick(query, shuffled), 6, mask[shuffled])
    np.testing.assert_array_equal(other.items, whole.items[shuffled])
    np.testing.assert_array_equal(other.scores, whole.scores[shuffled])


def law_threads_do_not_change_an_answer(make, data):
    model, query = fitted(make, data), asked(data)
    mask = make_data.some_mask(len(query.users), data.interactions.n_items)
    one, scores = model.recommend(query, 6, mask, threads=1), score_matrix(model, query, data.interactions.n_items, threads=1)
    for threads in (2, 3):
        same(one, model.recommend(query, 6, mask, threads=threads))
        np.testing.assert_array_equal(scores, score_matrix(model, query, data.interactions.n_items, threads=threads))


def law_threads_do_not_change_a_fit(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    same(fitted(make, data, threads=1).recommend(query, 8, mask), fitted(make, data, threads=2).recommend(query, 8, mask))


def law_a_seed_repeats(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    same(fitted(make, data, seed=3).recommend(query, 8, mask), fitted(make, data, seed=3).recommend(query, 8, mask))


def law_a_fit_forgets_the_one_before(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    again = fitted(make, make_data.communities(20, 33, seed=9))
    assert again.fit(data, seed=0, threads=1) is again
    same(again.recommend(query, 8, mask), fitted(make, data).recommend(query, 8, mask))


def law_a_loaded_model_answers_the_same_bits(make, data):
    model, query, n_items = fitted(make, data), asked(data), data.interactions.n_items
    mask = np.ones((len(query.users), n_items), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        loaded = type(model).load(model.config, Path(folder))
        for changed in (0, 1):
            query = msgspec.structs.replace(query, changed=np.full(len(query.users), changed, np.uint8))
            top = model.recommend(query, 8, mask)
            same(top, loaded.recommend(query, 8, mask))
            np.testing.assert_array_equal(score_matrix(model, query, n_items), score_matrix(loaded, query, n_items))
        for row in range(len(query.users)):
            if top.items[row, 0] >= 0:
                item = int(top.items[row, 0])
                assert model.explain(query, row, item) == loaded.explain(query, row, item)


def law_a_folder_that_lacks_a_file_is_refused(make, data):
    model = fitted(make, data)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        files = sorted(Path(folder).iterdir())
        assert files
        for file in files:
            content = file.read_bytes()
            for damaged in (None, content[: len(content) // 3], b""):
                file.unlink()
                if damaged is not None:
                    file.write_bytes(damaged)
                with pytest.raises(BadArtifact):
                    type(model).load(model.config, Path(folder))
                file.write_bytes(content)


def law_inputs_are_only_read(make, data):
    """Read-only arrays are accepted, and nothing that was given is changed."""
    query = asked(data)
    mask = make_data.some_mask(len(query.users), data.interactions.n_items)
    given = [*arrays(data), *arrays(query), mask]
    before = [a.copy() for a in given]
    for a in given:
        a.setflags(write=False)
    try:
        model = fitted(make, data)
        top = model.recommend(query, 5, mask)
        score_matrix(model, query, data.interactions.n_items)
        if top.items[0, 0] >= 0:
            model.explain(query, 0, int(top.items[0, 0]))
    finally:
        for a in given:
            a.setflags(write=True)
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a, b)


def law_a_model_shares_no_memory(make, data):
    """What the caller does with the training data or with an answer, later, is not seen by the model."""
    entries = data.interactions
    own = msgspec.structs.replace(
        data, interactions=msgspec.structs.replace(entries, **{k: getattr(entries, k).copy() for k in ("indptr", "items", "weights", "times")})
    )
    model, query = fitted(make, own), asked(data)
    mask = np.ones((len(query.users), entries.n_items), np.uint8)
    first, scores = model.recommend(query, 8, mask), score_matrix(model, query, entries.n_items)
    kept, kept_scores = msgspec.structs.replace(first, items=first.items.copy(), scores=first.scores.copy()), scores.copy()
    for name in ("indptr", "items", "weights", "times"):
        getattr(own.interactions, name)[:] = 0
    first.items[:] = 0
    first.scores[:] = 0
    scores[:] = 0
    same(kept, model.recommend(query, 8, mask))
    np.testing.assert_array_equal(kept_scores, score_matrix(model, query, entries.n_items))


def law_a_cold_user_gets_an_honest_answer(make, data):
    """Never seen and without a history: popular things or nothing, but no error, whatever `changed` says."""
    model, n_items = fitted(make, data), data.interactions.n_items
    for changed in (0, 1):
        query = make_data.query(data, [-1, -1], changed=changed)
        top = model.recommend(query, 5, np.ones((2, n_items), np.uint8))
        well_formed(top, 2, 5)
        np.testing.assert_array_equal(top.items[0], top.items[1])
        assert not np.isinf(score_matrix(model, query, n_items)).any()
    empty = make_data.query(data, [])
    well_formed(model.recommend(empty, 5, np.ones((0, n_items), np.uint8)), 0, 5)
    assert len(model.score(empty, np.zeros(1, np.int64), np.empty(0, np.int32))) == 0


def law_a_new_user_with_a_history_is_served(make, data):
    """A row that training did not know, with the history of one it knew."""
    model, n_items = fitted(make, data), data.interactions.n_items
    new = data.interactions.n_users + 2
    history = [[0], [n_items - 1, 0] if n_items > 1 else [0]]
    query = make_data.query(data, [new, -1], changed=1, histories=history)
    well_formed(model.recommend(query, 5, np.ones((2, n_items), np.uint8)), 2, 5)


def law_newer_items_do_no_harm(make, data):
    """Rows beyond the trained catalogue in mask, history and score: NaN or a number, never an error or a wild read."""
    model, n_items = fitted(make, data), data.interactions.n_items
    wide = n_items + 4
    query = make_data.query(data, [0, -1, 0], changed=1, histories=[[0, n_items + 1], [n_items + 3], []])
    top = model.recommend(query, 6, np.ones((3, wide), np.uint8))
    well_formed(top, 3, 6)
    assert top.items.max(initial=-1) < wide
    scores = score_matrix(model, query, wide)
    for row in range(3):
        kept = top.items[row][top.items[row] >= 0]
        np.testing.assert_array_equal(scores[row, kept], top.scores[row, : len(kept)])


def law_nothing_to_learn_is_said(make, data):
    for rows, n_items in (([[], []], 3), ([], 0), ([[(0, -1.0, 0)]], 1)):
        with pytest.raises(EmptyData):
            fitted(make, make_data.training_data(rows, n_items))


def law_an_unfitted_model_says_so(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for ask in (
            lambda: make().recommend(query, 3, mask),
            lambda: make().score(query, *everything(query, 1)),
            lambda: make().explain(query, 0, 0),
            lambda: make().save(Path(folder)),
        ):
            with pytest.raises(NotFitted):
                ask()
        assert list(Path(folder).iterdir()) == []


def law_an_explanation_adds_up_to_the_score(make, data):
    """Evidence is strongest first, names items of the history only, and all of it together is the score."""
    model, query = fitted(make, data), asked(data)
    top = model.recommend(query, 3, np.ones((len(query.users), data.interactions.n_items), np.uint8))
    for row in range(len(query.users)):
        own = set(query.history.items[query.history.indptr[row] : query.history.indptr[row + 1]].tolist())
        for item, score in zip(top.items[row].tolist(), top.scores[row].tolist(), strict=True):
            if item < 0:
                continue
            every = model.explain(query, row, item, top=1_000_000)
            assert {e.kind for e in every} <= KINDS
            assert {e.item for e in every} <= own | {-1}
            weights = [e.weight for e in every]
            assert weights == sorted(weights, reverse=True)
            assert sum(weights) == pytest.approx(score, rel=1e-3, abs=1e-4)
            assert model.explain(query, row, item, top=2) == every[:2]


def law_the_withheld_diagonal_comes_first(make, data):
    """The checkerboard: who likes even items likes the one even item that was withheld. `data` is not used."""
    board = make_data.checkerboard()
    users = list(range(board.interactions.n_users))
    top = fitted(make, board).recommend(make_data.query(board, users), 1, make_data.unseen(board, users))
    np.testing.assert_array_equal(top.items[:, 0], users)


def law_progress_reaches_its_end(make, data):
    calls = []
    model = make()
    assert model.fit(data, seed=0, threads=1, progress=lambda done, total: calls.append((done, total))) is model
    assert calls
    assert calls[-1][0] == calls[-1][1] > 0
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


LAWS = {name.removeprefix("law_"): law for name, law in list(globals().items()) if name.startswith("law_")}
