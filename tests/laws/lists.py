"""Laws of answers: what a fitted model's lists, scores and explanations are, whoever asks, alone or in a batch."""

import msgspec
import numpy as np
import pytest

from tests import strategies as make_data
from tests.laws.asking import asked, fitted, masks, pick, same, score_matrix, well_formed

KINDS = {"because_of", "similar_users", "popular", "trending", "latest", "demographic", "cold_start", "pinned", "model"}


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


LAWS = {name.removeprefix("law_"): law for name, law in list(globals().items()) if name.startswith("law_")}
