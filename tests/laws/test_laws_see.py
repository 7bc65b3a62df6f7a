"""Each law sees the breach it is for: a sound model (popularity) with one thing broken fails it."""

import itertools

import numpy as np
import pytest

from recengine import config
from recengine.algorithms.popularity import Popularity
from recengine.errors import EmptyData
from recengine.types import Evidence, TopN
from tests import strategies as make_data
from tests.laws import learning, likeness, lists

LAWS = lists.LAWS | learning.LAWS | likeness.LAWS
NOISE = itertools.count(1)


class WorstFirst(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        top = super().recommend(query, n, mask)
        return TopN(top.items[:, ::-1].copy(), top.scores[:, ::-1].copy())


class IgnoresTheMask(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        return super().recommend(query, n, np.ones_like(mask))


class ReordersOnABan(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        top = super().recommend(query, n, mask)
        return top if mask.all() else TopN(top.items[:, ::-1].copy(), top.scores)


class DependsOnN(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        return super().recommend(query, n, mask) if n > 5 else TopN(*(a[:, -n:] for a in self._six(query, n + 1, mask)))

    def _six(self, query, n, mask):
        top = super().recommend(query, n, mask)
        return top.items, top.scores


class ScoresOtherwise(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return super().score(query, indptr, items) * np.float32(1 - 1e-6)


class KnowsTheBatch(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return super().score(query, indptr, items) + np.float32(1e-3 * len(query.users))


class KnowsTheRow(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        top = super().recommend(query, n, mask)
        return TopN(top.items, top.scores + np.arange(len(query.users), dtype=np.float32)[:, None])


class KnowsTheThreads(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return super().score(query, indptr, items) + np.float32(1e-6 * (threads > 1))


class FitsByThreads(Popularity):
    def fit(self, data, *, seed=0, threads=0, progress=None):
        super().fit(data)
        self._learned.scores[:] += np.float32(threads * 1e-6)
        return self


class NeverTheSame(Popularity):
    def fit(self, data, *, seed=0, threads=0, progress=None):
        super().fit(data)
        self._learned.scores[:] += np.float32(next(NOISE))
        return self


class Remembers(Popularity):
    fits = 0

    def fit(self, data, *, seed=0, threads=0, progress=None):
        super().fit(data)
        self.fits += 1
        self._learned.scores[:] += np.float32(self.fits - 1)
        return self


class LoadsOtherwise(Popularity):
    shift = np.float32(0)

    @classmethod
    def load(cls, config, folder):
        model = super().load(config, folder)
        model.shift = np.float32(2e-7)
        return model

    def score(self, query, indptr, items, *, threads=1):
        return super().score(query, indptr, items) * (np.float32(1) + self.shift)


class LoadsAnything(Popularity):
    @classmethod
    def load(cls, config, folder):
        try:
            return super().load(config, folder)
        except Exception:  # noqa: BLE001 - the breach
            return cls(config)


class WritesTheMask(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        mask[:] = 1
        return super().recommend(query, n, mask)


class SharesItsScores(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return self._learned.scores if len(query.users) == 1 else super().score(query, indptr, items)

    def recommend(self, query, n, mask, *, threads=1):
        if not hasattr(self, "answer"):
            self.answer = super().recommend(query, n, mask)
        return self.answer


class FailsWhenCold(Popularity):
    def recommend(self, query, n, mask, *, threads=1):
        assert query.users.min(initial=0) >= 0 or len(set(query.users.tolist())) > 1
        return super().recommend(query, n, mask)


class FailsOnNewUsers(Popularity):
    def fit(self, data, *, seed=0, threads=0, progress=None):
        self.users = data.interactions.n_users
        return super().fit(data)

    def recommend(self, query, n, mask, *, threads=1):
        np.zeros(self.users)[query.users]
        return super().recommend(query, n, mask)


class ReadsWildly(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return self._learned.scores[items]


class LearnsFromNothing(Popularity):
    def fit(self, data, *, seed=0, threads=0, progress=None):
        try:
            return super().fit(data)
        except EmptyData:
            return self


class AnswersUnfitted(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return np.zeros(len(items), np.float32) if self._learned is None else super().score(query, indptr, items)


class Boasts(Popularity):
    def explain(self, query, row, item, top=3):
        return (Evidence("popular", weight=2.0), *super().explain(query, row, item, top))[:top]


class Counts(Popularity):
    def fit(self, data, *, seed=0, threads=0, progress=None):
        super().fit(data)
        if progress is not None:
            progress(1, 2)
        return self


class Alike(Popularity):
    def similar_items(self, items, n):
        return TopN(np.zeros((len(items), n), np.int32), np.ones((len(items), n), np.float32))

    def similar_users(self, query, n):
        return self.similar_items(query.users, n)

    def item_vectors(self):
        return np.full((len(self._learned.scores), 3), 0.5, np.float32)


class Tires(Popularity):
    asked = 0

    def recommend(self, query, n, mask, *, threads=1):
        self.asked += 1
        top = super().recommend(query, n, mask)
        return TopN(top.items, top.scores - np.float32(self.asked))


class CountsTheEmpty(Popularity):
    def score(self, query, indptr, items, *, threads=1):
        return super().score(query, indptr, items) / np.float32(len(self._learned.scores))


BREACHES = {
    "answers_are_well_formed": WorstFirst,
    "picks_are_allowed": IgnoresTheMask,
    "a_ban_strikes_out_and_keeps_the_order": ReordersOnABan,
    "fewer_are_the_first_of_more": DependsOnN,
    "picks_are_the_best_of_score": ScoresOtherwise,
    "a_batch_is_its_single_rows": KnowsTheBatch,
    "rows_do_not_know_each_other": KnowsTheRow,
    "threads_do_not_change_an_answer": KnowsTheThreads,
    "threads_do_not_change_a_fit": FitsByThreads,
    "a_seed_repeats": NeverTheSame,
    "a_fit_forgets_the_one_before": Remembers,
    "a_loaded_model_answers_the_same_bits": LoadsOtherwise,
    "a_folder_that_lacks_a_file_is_refused": LoadsAnything,
    "inputs_are_only_read": WritesTheMask,
    "a_model_shares_no_memory": SharesItsScores,
    "a_cold_user_gets_an_honest_answer": FailsWhenCold,
    "a_new_user_with_a_history_is_served": FailsOnNewUsers,
    "newer_items_do_no_harm": ReadsWildly,
    "nothing_to_learn_is_said": LearnsFromNothing,
    "an_unfitted_model_says_so": AnswersUnfitted,
    "an_explanation_adds_up_to_the_score": Boasts,
    "the_withheld_diagonal_comes_first": Popularity,
    "progress_reaches_its_end": Counts,
    "users_and_items_without_entries_change_no_score": CountsTheEmpty,
    "similar_items_are_well_formed": Alike,
    "an_item_newer_than_training_is_like_nothing": Alike,
    "similar_users_are_well_formed": Alike,
    "vectors_have_unit_length": Alike,
    "a_repeated_question_has_the_same_answer": Tires,
}


@pytest.mark.parametrize("name", LAWS)
def test_the_law_sees_its_breach(name):
    def make():
        return BREACHES[name](config.Popularity())

    with pytest.raises((AssertionError, IndexError, ValueError, pytest.fail.Exception)):
        LAWS[name](make, make_data.communities())
