"""`[[candidates]]`: what may be declared, what each source finds, and what the pool is said to hold."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from recengine import config
from recengine.algorithms.base import Factors
from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.registry import ALGORITHMS
from recengine.algorithms.user_knn import UserKnn
from recengine.config import BestOfModels, Config, LatestItems, OfSimilarUsers, SimilarToLast
from recengine.errors import ConfigInvalid
from recengine.offline.build import Rows, query
from recengine.offline.pool import PoolTally
from recengine.retrieval.sources import Asked, Orders, union
from recengine.retrieval.sources.similar_items import last_liked, similar_to_last
from recengine.retrieval.sources.similar_users import of_similar_users
from recengine.types import NO_TIME, Catalogue, Interactions, Pool, TrainingData

N_USERS, N_ITEMS = 40, 30


def data(seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(N_ITEMS)[: rng.integers(0, 15)].astype(np.int32) for _ in range(N_USERS)]
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    items = np.concatenate(rows)
    weights = rng.choice(np.array([1, 2, -1], np.float32), len(items), p=(0.6, 0.3, 0.1))
    known = [Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME, np.int64)) for n in (N_ITEMS, N_USERS)]
    return TrainingData(Interactions(N_USERS, N_ITEMS, indptr, items, weights, np.arange(len(items))), *known, 0)


def asked(told, users, seed=0):
    mask = (np.random.default_rng(seed).random((len(users), N_ITEMS)) < 0.8).astype(np.uint8)
    nobody = np.empty((len(users), 0), np.int32)
    return Asked(query=query(told, users, limit=500), mask=mask, orders=None, cold=np.zeros(len(users), bool), favourites=nobody)


def best(sums, mask, n):
    """The n best of a dict item -> sum among those with mask 1, padded with -1; sums of one float32 step may tie."""
    found = sorted((-round(s, 4), item) for item, s in sums.items() if s > 0 and mask[item])[:n]
    return [item for _, item in found] + [-1] * (n - len(found))


def liked(told, user):
    part = slice(int(told.interactions.indptr[user]), int(told.interactions.indptr[user + 1]))
    return [int(i) for i, w in zip(told.interactions.items[part], told.interactions.weights[part], strict=True) if w > 0]


@pytest.mark.parametrize("seed", range(4))
def test_items_of_similar_users_count_the_similarity_of_those_who_took_them_lately(seed):
    told = data(seed)
    model = UserKnn(config.UserKnn(neighbors=8)).fit(told, threads=1)
    find = of_similar_users(model, OfSimilarUsers(n=6, users=5, similarity=0.1, per_user=3), N_ITEMS)
    ask = asked(told, np.arange(N_USERS, dtype=np.int32), seed)
    found = find(ask)
    near = model.similar_users(ask.query, 5)
    for b in range(N_USERS):
        sums = {}
        for user, similarity in zip(near.items[b].tolist(), near.scores[b].tolist(), strict=True):
            if user >= 0 and similarity > 0.1:
                for item in liked(told, user)[-3:]:
                    sums[item] = sums.get(item, 0) + similarity
        assert found[b].tolist() == best(sums, ask.mask[b], 6)
        alone = find(msgspec.structs.replace(asked(told, np.array([b], np.int32)), mask=ask.mask[b : b + 1]))
        assert alone[0].tolist() == found[b].tolist(), "a batch answers as one by one"


@pytest.mark.parametrize("seed", range(4))
def test_items_similar_to_the_last_liked_count_their_similarities(seed):
    told = data(seed)
    model = ItemKnn(config.ItemKnn(neighbors=10)).fit(told, threads=1)
    find = similar_to_last(model, SimilarToLast(n=6, last=3, per_item=4), N_ITEMS)
    ask = asked(told, np.arange(N_USERS, dtype=np.int32), seed)
    found = find(ask)
    near = model.similar_items(np.arange(N_ITEMS, dtype=np.int32), 4)
    for b in range(N_USERS):
        sums = {}
        for item in liked(told, b)[-3:]:
            for other, similarity in zip(near.items[item].tolist(), near.scores[item].tolist(), strict=True):
                if other >= 0:
                    sums[other] = sums.get(other, 0) + similarity
        assert found[b].tolist() == best(sums, ask.mask[b], 6)


def test_the_last_liked_are_the_latest_with_a_positive_weight():
    history = Interactions(
        3, 9, np.array([0, 4, 4, 6]), np.array([1, 2, 3, 4, 5, 6], np.int32),
        np.array([1, 1, -1, 2, -1, -1], np.float32), np.arange(6),
    )  # fmt: skip
    rows = last_liked(history, 2)
    assert rows.indptr.tolist() == [0, 2, 2, 2]
    assert rows.cols.tolist() == [2, 4]
    assert last_liked(history, 9).cols.tolist() == [1, 2, 4]


def test_the_pool_is_counted_in_all_by_source_and_by_source_alone():
    targets = Rows(np.array([3, 5, 8], np.int32), np.array([0, 2, 3, 5]), np.array([1, 4, 2, 0, 6], np.int32))
    tally = PoolTally(targets)
    tally.add(
        np.array([3, 5], np.int32),
        Pool(np.array([0, 3, 5]), np.array([1, 4, 6, 2, 3], np.int32), np.array([1, 3, 2, 2, 1], np.uint32), ("a", "b")),
    )
    tally.add(np.array([8], np.int32), Pool(np.array([0, 1]), np.array([6], np.int32), np.array([2], np.uint32), ("a", "fill")))
    report = tally.report()
    assert (report.users, report.targets, report.held) == (3, 5, 4)
    assert report.recall == pytest.approx(0.8)
    assert report.items == pytest.approx(2.0)
    assert {s.name: (s.held, s.alone, round(s.items * 3)) for s in report.sources} == {"a": (2, 1, 3), "b": (2, 1, 3), "fill": (1, 1, 1)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[candidates]]\nkind = "similar_users"\n[[model]]\nkind = "popularity"\n', "needs a `\\[\\[model\\]\\]` of kind user_knn"),
        ('[[candidates]]\nkind = "similar_items"\n[[model]]\nkind = "popularity"\n', "needs a `\\[\\[model\\]\\]` of kind item_knn"),
        ('[[candidates]]\nkind = "factors"\n[[model]]\nkind = "popularity"\n', "needs a `\\[\\[model\\]\\]` with vectors: als"),
        ('[[candidates]]\nkind = "popular"\n[[candidates]]\nkind = "factors"\n[[model]]\nkind = "ease"\n', "with vectors: als"),
        ('[[candidates]]\nkind = "popular"\n[[candidates]]\nkind = "popular"\n', "names must differ"),
        ('[[candidates]]\nkind = "popular"\nname = "pinned"\n', "cannot be called pinned"),
        ('[[candidates]]\nkind = "popular"\n[[model]]\nkind = "als"\nname = "popular"\n', "cannot be called popular"),
        ('[[candidates]]\nkind = "models"\n[[candidates]]\nkind = "models"\nname = "again"\n', "stands there twice"),
        ('[[candidates]]\nkind = "popular"\nn = 0\n', "\\$.candidates\\[0\\].n"),
        ('[[candidates]]\nkind = "nearby"\n', "nearby"),
        ("candidates = []\n", "candidates"),
        ("".join(f'[[candidates]]\nkind = "latest"\nname = "l{k}"\n' for k in range(29)), "at most 28"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_its_reason(text, says):
    with pytest.raises(ConfigInvalid, match=says):
        config.parse(text)


def test_the_source_of_factors_asks_for_the_models_that_score_by_dot_products():
    assert {kind.__struct_config__.tag for kind in config.FACTORS} == {kind for kind, model in ALGORITHMS.items() if issubclass(model, Factors)}


def test_a_pool_that_no_source_found_anything_for_is_the_most_popular():
    orders = Orders(Popularity(config.Popularity()).fit(data()), N_ITEMS, None)
    mask = np.ones((3, N_ITEMS), np.uint8)
    mask[0, orders.first(Orders.POPULAR, mask[:1], 1)[0, 0]] = 0
    pool = union([], orders, mask, limit=5, needed=4)
    assert pool.names == ("fill",)
    wanted = orders.first(Orders.POPULAR, mask, 4)
    assert [sorted(pool.items[a:b]) for a, b in pairwise(pool.indptr)] == [sorted(row) for row in wanted.tolist()]
    assert len(union([], orders, mask, limit=5, needed=0).items) == 0


def test_the_old_section_is_refused_with_what_to_write_and_that_is_right():
    with pytest.raises(ConfigInvalid, match="is now a list of sources") as met:
        config.parse("[candidates]\nlimit = 500\nper_model = 60\nlatest = 0\ncategories = 3\n")
    lines = met.value.hint.split("`")
    wanted = config.parse(f"{lines[1]}\n[serving]\n{lines[3]}\n")
    assert wanted.serving.pool == 500
    assert BestOfModels(per_model=60) in wanted.candidates
    assert not any(isinstance(source, LatestItems) for source in wanted.candidates)
    assert config.favourites(wanted.candidates) == 3
    assert Config().candidates == config.DEFAULT_CANDIDATES
