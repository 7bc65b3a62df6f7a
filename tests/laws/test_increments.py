"""What an increment owes to whatever is new, whichever algorithm takes it: a new item that many met is recommended,
and what nothing happened to scores as it did."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from recengine.algorithms.base import Incremental
from recengine.algorithms.registry import ALGORITHMS
from tests import strategies as make_data
from tests.laws.asking import asked, fitted, score_matrix
from tests.laws.test_laws import PRESENT, ids, maker

GROUPS, USERS, ITEMS = 4, 200, 60
HOW = {
    "als": {"factors": 8, "epochs": 5},
    "bpr": {"factors": 16, "epochs": 100},
    "ease": {"inverse": "sparse", "regularization": 10.0},
    "nmf": {"factors": 8, "epochs": 50},
    "svd": {"factors": 4},
}
"""Settings that suit so little data."""
NOT_PERSONAL = ("popularity", "funk_svd")
"""What they put first is not what people like oneself met."""
KEEP = ("nmf", "svd")
"""They keep the vector of an item that has one until the next full fit."""
KINDS = [kind for kind in ALGORITHMS if isinstance(maker(kind, {})(), Incremental) and kind not in NOT_PERSONAL]


def rows_of(met):
    return [[(int(item), 1.0, make_data.EPOCH + int(item)) for item in np.flatnonzero(row)] for row in met]


def share_of_lists(model, data, users, item):
    """How many of the users' ten best hold the item."""
    top = model.recommend(make_data.query(data, users, changed=1), 10, make_data.unseen(data, users))
    return float((top.items == item).any(axis=1).mean())


@pytest.mark.parametrize(("kind", "at_first"), [(kind, n) for kind in KINDS for n in (0, 1) if not (n and kind in KEEP)])
def test_a_new_item_that_many_met_is_recommended_to_who_is_like_them(kind, at_first):
    """Nothing else happens to the items that the others have; `at_first`, one alone met it in an increment before."""
    rng = np.random.default_rng(0)
    own = np.arange(ITEMS) % GROUPS == np.arange(USERS)[:, None] % GROUPS
    met = np.hstack((rng.random((USERS, ITEMS)) < np.where(own, 0.4, 0.03), np.zeros((USERS, 1), bool)))
    group = np.arange(0, USERS, GROUPS, dtype=np.int32)
    who, others = group[:25], group[25:]
    model, new = fitted(maker(kind, HOW.get(kind, {})), make_data.training_data(rows_of(met[:, :ITEMS]), ITEMS)), np.array([ITEMS], np.int32)
    for users in ([who[:1]] * at_first) + [who]:
        met[users, ITEMS] = True
        data = make_data.training_data(rows_of(met), ITEMS + 1)
        model = model.update(data, users, new, threads=1)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder))
            model = type(model).load(model.config, Path(folder))
            share = share_of_lists(model, data, others, ITEMS)
    assert share >= 0.6, "a fit from scratch has it in 0.6 (bpr) to 1.0 of the lists"


def learns(variant):
    return variant[0] != "bpr" and isinstance(maker(*variant)(), Incremental)  # bpr takes a few epochs over everything


@pytest.mark.parametrize("variant", [variant for variant in PRESENT if learns(variant)], ids=ids)
def test_new_users_and_items_without_entries_change_no_score(variant):
    data, nobody = make_data.communities(), np.empty(0, np.int32)
    model, n_items = fitted(maker(*variant), data), data.interactions.n_items
    more = model.update(make_data.widened(data, 13, 9), nobody, nobody, threads=1)
    before, after = score_matrix(model, asked(data), n_items), score_matrix(more, asked(data), n_items + 9)
    np.testing.assert_allclose(after[:, :n_items], before, rtol=1e-4, atol=1e-5 * np.nan_to_num(np.abs(before)).max())
    if variant[0] != "popularity":  # what nobody met is the least popular of all, which is a score
        assert np.isnan(after[:, n_items:]).all()
