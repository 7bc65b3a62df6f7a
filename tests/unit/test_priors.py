"""Items that nobody touched: ordered by what their categories promise, behind everything that somebody did touch."""

import numpy as np
import pytest

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.priors import KAPPA, untouched
from recengine.config import Popularity as PopularityConfig
from recengine.types import NO_TIME, Catalogue, Column, Interactions, TrainingData

COUNTS = np.array([40.0, 30, 0, 0, 2, 1, 0, 0, 5])
CATEGORY = Column("string", np.array([0, 0, 0, 0, 1, 1, 1, -1, -1], np.int32), ("hot", "cold"))


def test_the_prior_is_the_posterior_mean_of_the_formula():
    codes, mean = CATEGORY.data[:7], COUNTS.mean()
    means = np.array([(70 + KAPPA * mean) / (4 + KAPPA), (3 + KAPPA * mean) / (3 + KAPPA)])
    m = means[codes]
    shape = (m**2).sum() / ((COUNTS[:7] - m) ** 2 - m).sum()
    hope = shape * np.array([means[0], means[0], means[1], mean]) / (shape + np.array([means[0], means[0], means[1], mean]))
    found = untouched(COUNTS, CATEGORY)
    assert found[[2, 3, 6, 7]] == pytest.approx(hope * min(1.0, 0.5 / hope.max()))
    assert not found[COUNTS > 0].any()


def test_an_item_of_a_better_category_hopes_for_more_and_none_for_as_much_as_a_touched_one():
    found = untouched(COUNTS, CATEGORY)
    assert found[2] == found[3] > found[6] > 0
    assert found.max() <= COUNTS[COUNTS > 0].min() / 2


def test_an_item_of_several_categories_has_the_mean_of_theirs():
    several = Column("strings", np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32), ("hot", "cold"), np.array([0, 1, 2, 3, 5, 6, 7, 8, 8, 8]))
    found = untouched(COUNTS, several)
    assert found[2] > found[3] > found[6]


@pytest.mark.parametrize("column", [None, Column("number", np.zeros(9)), Column("string", np.full(9, -1, np.int32), ("x",))])
def test_without_categories_items_that_nobody_touched_are_all_alike(column):
    assert len(set(untouched(COUNTS, column)[COUNTS == 0].tolist())) == 1


def test_nothing_changes_where_everything_or_nothing_was_touched():
    assert not untouched(np.ones(9), CATEGORY).any()
    assert not untouched(np.zeros(9), CATEGORY).any()


def test_popularity_scores_new_items_by_category_and_ranks_them_last():
    history = Interactions(2, 9, np.array([0, 3, 5]), np.array([0, 1, 4, 0, 5], np.int32), np.ones(5, np.float32), np.arange(5))
    known = [Catalogue(n, {"category": CATEGORY} if n == 9 else {}, np.ones(n, np.uint8), np.full(n, NO_TIME)) for n in (9, 2)]
    model = Popularity(PopularityConfig()).fit(TrainingData(history, *known, 4))
    order = model.ranking("popular").tolist()
    assert set(order[:4]) == {0, 1, 4, 5}
    assert order[4:6] == [2, 3]
    assert model.category_ranking("hot").tolist() == [0, 1, 2, 3]
