"""Data that no model likes to see, shown to every model: a defined answer, or an error that says what and where.

Each kind is fitted by itself and asked for known users, for one that it never saw, and for items that came later. What
it may not do is to end in anything but a `ModelError` or `DataError`, to warn, or to answer with infinity; NaN in a
score means "not scored" here, and the blend takes it as that.
"""

import msgspec
import numpy as np
import pytest

from recengine.algorithms.registry import ALGORITHMS
from recengine.config import Als, Bpr, Ease, FunkSvd, GraphFilter, ItemKnn, NeuralCf, Nmf, Popularity, Svd, UserKnn
from recengine.errors import DataError, EmptyData, ModelError, TrainingFailed
from tests import strategies as make_data
from tests.laws.neural import MAKERS

RANK = 4
KINDS = {
    "als": Als(factors=RANK, epochs=3),
    "svd": Svd(factors=RANK),
    "nmf": Nmf(factors=RANK, epochs=5),
    "bpr": Bpr(factors=RANK, epochs=5),
    "ease": Ease(inverse="exact"),
    "ease-sparse": Ease(inverse="sparse"),
    "graph_filter": GraphFilter(),
    "funk_svd": FunkSvd(factors=RANK, epochs=5),
    "neural_cf": NeuralCf(factors=RANK, layers=(8, 4), epochs=1),
    "item_knn": ItemKnn(),
    "user_knn": UserKnn(),
    "popularity": Popularity(),
}
N_ITEMS = 7


def plain():
    return [[(i, 1.0 + (u * 3 + i) % 4) for i in range(N_ITEMS) if (u + i) % 3] for u in range(8)]


def with_weight(weight, where):
    return [[(i, weight if where(u, i) else w) for i, w in row] for u, row in enumerate(plain())]


CASES = {
    "one user": [[(i, 1.0 + i % 3) for i in range(N_ITEMS)]],
    "one item": [[(0, 1.0)]] * 5,
    "one entry": [[(0, 1.0)]],
    "a user with every item": [*plain(), [(i, 2.0) for i in range(N_ITEMS)]],
    "everybody has every item": [[(i, 1.0) for i in range(N_ITEMS)]] * 4,
    "some zero weights": with_weight(0.0, lambda u, i: (u + i) % 2),
    "a user of zero weights": [*plain(), [(i, 0.0) for i in range(4)]],
    "zero weights alone": with_weight(0.0, lambda u, i: True),
    "some negative weights": with_weight(-1.0, lambda u, i: (u + i) % 2),
    "a user of negative weights": [*plain(), [(i, -5.0) for i in range(4)]],
    "negative weights alone": with_weight(-2.0, lambda u, i: True),
    "constant ratings": with_weight(3.0, lambda u, i: True),
    "a NaN weight": with_weight(np.nan, lambda u, i: (u, i) == (2, 3)),
    "NaN weights alone": with_weight(np.nan, lambda u, i: True),
    "an infinite weight": with_weight(np.inf, lambda u, i: (u, i) == (2, 3)),
}
NOTHING_LIKED = {"zero weights alone", "negative weights alone"}
NO_NUMBER = {name: case for name, case in CASES.items() if "NaN" in name or "infinite" in name}


def data_of(rows):
    """Every weight is a rating too, for the kind that learns from these alone."""
    n_items = 1 + max(i for row in rows for i, _ in row)
    return make_data.training_data([[(i, w, make_data.EPOCH + k) for k, (i, w) in enumerate(row)] for row in rows], n_items)


def fitted(kind, rows, **how):
    config = msgspec.structs.replace(KINDS[kind], **how)
    data, tag = data_of(rows), config.__struct_config__.tag
    return MAKERS.get(tag, ALGORITHMS[tag])(config).fit(data, threads=1), data


def answers(model, data):
    """Ask for everybody, for a user without a row, and for more items than were there."""
    n_users, n_items = data.interactions.n_users, data.interactions.n_items
    users = [*range(n_users), -1, n_users + 5]
    wider = n_items + 3
    query = make_data.query(data, users)
    query = msgspec.structs.replace(query, history=msgspec.structs.replace(query.history, n_items=wider))
    indptr = np.arange(0, wider * len(users) + 1, wider, dtype=np.int64)
    scores = model.score(query, indptr, np.tile(np.arange(wider, dtype=np.int32), len(users)))
    top = model.recommend(query, 4, np.ones((len(users), wider), np.uint8))
    return scores.reshape(len(users), wider), top


@pytest.mark.parametrize("case", [name for name in CASES if name not in NOTHING_LIKED and name not in NO_NUMBER])
@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_learned_from_gives_defined_answers(kind, case):
    model, data = fitted(kind, CASES[case])
    scores, top = answers(model, data)
    assert not np.isinf(scores).any()
    n_items = data.interactions.n_items
    assert np.isnan(scores[:, n_items:]).all(), "an item that came later is not scored"
    filled = top.items >= 0
    assert np.isfinite(top.scores[filled]).all()
    assert (top.items < n_items).all()
    assert all(len(set(row[row >= 0].tolist())) == (row >= 0).sum() for row in top.items)


@pytest.mark.parametrize("case", sorted(NOTHING_LIKED))
@pytest.mark.parametrize("kind", KINDS)
def test_data_without_any_liking_is_named(kind, case):
    with pytest.raises(EmptyData, match="no interaction has a positive weight") as told:
        fitted(kind, CASES[case])
    assert told.value.hint


@pytest.mark.parametrize("case", sorted(NO_NUMBER))
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_is_no_number_is_named_with_its_place(kind, case):
    user, item = (0, 1) if "alone" in case else (2, 3)
    with pytest.raises(TrainingFailed, match=f"that of user row {user} and item row {item} is (nan|inf)"):
        fitted(kind, CASES[case])


@pytest.mark.parametrize("kind", [kind for kind, config in KINDS.items() if hasattr(config, "factors")])
def test_more_factors_than_the_rank_are_no_harm(kind):
    model, data = fitted(kind, plain(), factors=64)
    scores, _ = answers(model, data)
    assert np.isfinite(scores[:8, :N_ITEMS]).any()
    assert not np.isinf(scores).any()


def test_the_cases_are_told_apart_from_a_good_one():
    """The control: what the errors above rest on is the data and not the way it is built."""
    for kind in KINDS:
        scores, top = answers(*fitted(kind, plain()))
        assert np.isfinite(scores[:8, :N_ITEMS]).any(), kind
        assert (top.items[:8] >= 0).any(), kind
    assert issubclass(TrainingFailed, ModelError)
    assert issubclass(EmptyData, DataError)
