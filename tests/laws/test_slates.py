"""Laws of the online spine: whatever is asked, every slate obeys every rule, and is full whenever it can be."""

from functools import cache
from typing import get_args

import msgspec
import numpy as np
import pytest

from recengine.config import (
    BestOfModels,
    CandidateConfig,
    Config,
    ItemKnn,
    LatestItems,
    MostPopular,
    Serving,
    TrendingItems,
)
from recengine.errors import BadExpression, BadRequest
from recengine.online.trace import Trace
from recengine.types import Request, SessionEvent
from tests.laws.world import CATEGORIES, N_ITEMS, N_USERS, TYPES, eligible, patient, tastes_by_gender, world

SEEDS = range(60)


def random_request(rng):
    """Every wish with some probability, in any combination."""

    def maybe(p, make, default):
        return make() if rng.random() < p else default

    def some(names, most):
        return tuple(rng.choice(names, rng.integers(1, most + 1), replace=False).tolist())

    ids = [f"i{k}" for k in range(N_ITEMS)]
    return Request(
        user_id=maybe(0.9, lambda: f"u{rng.integers(0, N_USERS + 3)}", None),
        n=int(rng.choice((1, 3, 10, 40, 120))),
        filter=maybe(0.3, lambda: f"price < {rng.integers(5, 60)}", None),
        exclude_seen=maybe(0.5, lambda: bool(rng.integers(2)), ("purchase",)),
        categories_any=maybe(0.2, lambda: some(CATEGORIES, 3), ()),
        categories_all=maybe(0.1, lambda: some(CATEGORIES, 1), ()),
        categories_none=maybe(0.2, lambda: some(CATEGORIES, 2), ()),
        allow=maybe(0.15, lambda: some(ids, 50), None),
        deny=maybe(0.3, lambda: some(ids, 20), ()),
        pins=maybe(0.3, lambda: some(ids, 4), ()),
        caps=maybe(0.3, lambda: {str(rng.choice(("brand", "category", "tags"))): int(rng.integers(1, 4))}, {}),
        diversity=maybe(0.5, lambda: float(rng.random()), None),
        explain=bool(rng.integers(2)),
        events=maybe(0.3, lambda: tuple(told(rng, ids) for _ in range(rng.integers(1, 9))), ()),
    )


def told(rng, ids):
    return SessionEvent(item_id=str(rng.choice([*ids, "gone"])), type=str(rng.choice([*TYPES, "stare"])))


def labels_of(items, name, item):
    column = items.columns[name]
    if column.indptr is not None:
        return [column.labels[c] for c in column.data[column.indptr[item] : column.indptr[item + 1]]]
    return [column.labels[column.data[item]]] if column.data[item] >= 0 else []


def most_with_caps(items, allowed, caps):
    """How many items one cap on a single-valued attribute lets through at most."""
    ((name, most),) = caps.items()
    counts, free = {}, 0
    for item in np.flatnonzero(allowed):
        labels = labels_of(items, name, item)
        free += not labels
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    return free + sum(min(c, most) for c in counts.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_slate_obeys_every_rule_and_is_full_when_it_can_be(seed):
    rng = np.random.default_rng(seed)
    shop = world(seed % 3)
    for _ in range(8):
        request = random_request(rng)
        (reply,), _trace = shop.recommender.recommend([request])
        rows = [int(line.item_id[1:]) for line in reply.items]
        user = shop.users.row(request.user_id) if request.user_id else -1
        allowed = eligible(shop, request, user)
        assert len(rows) <= request.n
        assert len(set(rows)) == len(rows), "an item twice"
        assert all(allowed[row] for row in rows), "an item that a rule forbids"
        counts = {}
        for name, most in request.caps.items():
            for row in rows:
                for label in labels_of(shop.state.items, name, row):
                    counts[label] = counts.get(label, 0) + 1
                    assert counts[label] <= most, f"more than {most} of {name} {label}"
        if not request.caps:
            assert len(rows) == min(request.n, int(allowed.sum())), "not full"
            pins = [int(pin[1:]) for pin in request.pins if allowed[int(pin[1:])]][: request.n]
            assert rows[: len(pins)] == pins, "pins come first, in their order"
        elif "tags" not in request.caps:
            assert len(rows) == min(request.n, most_with_caps(shop.state.items, allowed, request.caps)), "capped, and not full"


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_answers_as_one_by_one_bit_for_bit(seed):
    rng = np.random.default_rng(1000 + seed)
    shop = world(seed % 3)
    requests = [random_request(rng) for _ in range(9)]
    together = {}
    for places, replies, _trace in shop.recommender.answer(requests, threads=2):
        together |= zip(places, replies, strict=True)
    for place, request in enumerate(requests):
        reply = together[place]
        (alone,), _trace = shop.recommender.recommend([request])
        assert msgspec.structs.replace(alone, request_id="") == msgspec.structs.replace(reply, request_id="")


def test_contributions_sum_to_the_log_odds_of_the_score():
    shop = world()
    (reply,), _ = shop.recommender.recommend([Request(user_id="u1", n=20)])
    for line in reply.items:
        assert sum(line.contributions.values()) == pytest.approx(np.log(line.score / (1 - line.score)), abs=1e-3)


def test_without_diversity_the_slate_is_in_order_of_score():
    shop = world()
    (reply,), _ = shop.recommender.recommend([Request(user_id="u1", n=30, diversity=0.0)])
    scores = [line.score for line in reply.items]
    assert scores == sorted(scores, reverse=True)


def test_cold_users_get_full_cold_starts():
    shop = world()
    for user in ("u38", "nobody", None):
        (reply,), _ = shop.recommender.recommend([Request(user_id=user, n=10)])
        assert reply.cold
        assert len(reply.items) == 10
        assert {line.reason for line in reply.items} == {"cold_start"}


def test_cold_users_get_what_people_like_them_like():
    shop = tastes_by_gender()
    replies = {}
    for gender in ("f", "m", "?"):
        (reply,), _ = shop.recommender.recommend([Request(n=8, diversity=0.0, context={"gender": gender})])
        replies[gender] = [int(line.item_id[1:]) for line in reply.items]
        assert [line.score for line in reply.items] == sorted((line.score for line in reply.items), reverse=True)
    assert all(row < N_ITEMS // 2 for row in replies["f"])
    assert all(row >= N_ITEMS // 2 for row in replies["m"])
    nobody = shop.recommender.query(Request())
    popular = shop.recommender.deployment.popularity.recommend(nobody, 8, shop.state.items.available[None])
    assert replies["?"] == popular.items[0].tolist(), "of somebody nothing is known of, what most like"


def test_warm_users_get_their_half_of_the_catalogue_more_than_the_other():
    """Of 20 events a user, 3 to 4 lie in the other half: single users stray, their mean does not. By chance it would be 5."""
    shop = world()
    warm = range(N_USERS - 5)
    replies, _ = shop.recommender.recommend([Request(user_id=f"u{user}", n=10, diversity=0.0) for user in warm])
    own = [sum((int(line.item_id[1:]) >= N_ITEMS // 2) == (user % 2 == 1) for line in reply.items) for user, reply in zip(warm, replies, strict=True)]
    assert np.mean(own) >= 7


def test_pins_and_caps_are_not_cut_by_a_small_pool():
    base = Config()
    small = (BestOfModels(per_model=8), MostPopular(n=5), TrendingItems(n=5), LatestItems(n=5))
    shop = world(config=Config(model=patient(base.model), candidates=small, serving=Serving(pool=20)))
    available = [row for row in range(N_ITEMS) if shop.state.items.available[row]]
    pins = tuple(f"i{row}" for row in available[-12:])
    (reply,), _ = shop.recommender.recommend([Request(n=12, pins=pins)])
    assert tuple(line.item_id for line in reply.items) == pins
    (reply,), _ = shop.recommender.recommend([Request(n=20, caps={"brand": 4})])
    assert len(reply.items) == 20


@cache
def every_source():
    """A shop where each kind of source is declared, most with a budget that cannot hold all."""
    kinds = (kind() for kind in get_args(CandidateConfig))
    small = tuple(msgspec.structs.replace(kind, **({"n": 7} if hasattr(kind, "n") else {})) for kind in kinds)
    return world(config=Config(model=patient((*Config().model, ItemKnn())), candidates=patient(small), serving=Serving(pool=40)))


@pytest.mark.parametrize("seed", range(8))
def test_with_every_source_slates_are_full_and_allowed_and_a_batch_answers_as_one_by_one(seed):
    rng = np.random.default_rng(2000 + seed)
    shop = every_source()
    requests = [random_request(rng) for _ in range(7)]
    together = {}
    for places, replies, _trace in shop.recommender.answer(requests, threads=2):
        together |= zip(places, replies, strict=True)
    for place, request in enumerate(requests):
        (alone,), _trace = shop.recommender.recommend([request])
        assert msgspec.structs.replace(alone, request_id="") == msgspec.structs.replace(together[place], request_id="")
        user = shop.users.row(request.user_id) if request.user_id else -1
        allowed = eligible(shop, request, user)
        rows = [int(line.item_id[1:]) for line in alone.items]
        assert all(allowed[row] for row in rows)
        assert request.caps or len(rows) == min(request.n, int(allowed.sum()))


def test_every_declared_source_says_what_it_found():
    shop = every_source()
    spine, trace = shop.recommender, Trace((Request(user_id="u1"),))
    context = spine.context.resolve((Request(user_id="u1"),), trace, 1)
    features = spine.features.of(context, trace)
    pool = spine.candidates.gather(context, features, spine.rules.eligible(context, trace), trace)
    assert set(pool.names) == {
        "similar_users", "similar_items", "factors", "als", "graph_filter", "ease", "item_knn", "user_knn", "category", "popular", "trending", "latest"
    }  # fmt: skip
    assert all((pool.sources & np.uint32(1 << s)).any() for s in range(len(pool.names)))
    assert len(pool.items) == 40


def test_a_source_that_fails_is_left_out_and_named():
    shop = every_source()
    stage = shop.recommender.candidates
    kept = stage._sources
    try:
        stage._sources = tuple(source._replace(find=None) if source.name == "similar_items" else source for source in kept)
        (reply,), _ = shop.recommender.recommend([Request(user_id="u1", n=10)])
    finally:
        stage._sources = kept
    assert reply.degraded == ("source:similar_items:error",)
    assert len(reply.items) == 10


def test_unknown_ids_in_lists_are_noted_and_strike_nothing():
    shop = world()
    (reply,), _ = shop.recommender.recommend([Request(user_id="u1", deny=("nothing",), pins=("gone",))])
    assert len(reply.items) == 10
    assert "deny:unknown_items:1" in reply.degraded
    assert any(reason.startswith("pins:") for reason in reply.degraded)


@pytest.mark.parametrize(
    ("wish", "error", "says"),
    [
        ({"n": 0}, BadRequest, "n: expected 1"),
        ({"n": 10**6}, BadRequest, "n: expected 1"),
        ({"diversity": 2.0}, BadRequest, "diversity"),
        ({"diversity": float("nan")}, BadRequest, "diversity"),
        ({"deadline_ms": 0.0}, BadRequest, "deadline_ms"),
        ({"deadline_ms": float("nan")}, BadRequest, "deadline_ms"),
        ({"caps": {"brand": 0}}, BadRequest, "caps"),
        ({"caps": {"nothing": 1}}, BadExpression, "nothing"),
        ({"caps": {"price": 1}}, BadRequest, "price"),
        ({"filter": "prize < 3"}, BadExpression, "prize"),
        ({"filter": "price <"}, BadExpression, "expected"),
        ({"exclude_seen": ("stare",)}, BadRequest, "stare"),
    ],
)
def test_a_bad_wish_is_named(wish, error, says):
    with pytest.raises(error, match=says):
        world().recommender.recommend([Request(user_id="u1", **wish)])


def test_a_deadline_in_the_past_still_gives_a_full_reply_and_says_what_was_left_out():
    shop = world()
    (reply,), _ = shop.recommender.recommend([Request(user_id="u1", n=10, deadline_ms=1e-6)])
    assert len(reply.items) == 10
    assert any(reason.endswith(":deadline") for reason in reply.degraded)


@pytest.mark.parametrize("name", ["als", "ease", "user_knn", "popularity"])
def test_one_failing_model_never_fails_the_request(name):
    shop = world(1)
    recommender = shop.recommender
    (broken,) = (m.scorer for m in recommender.deployment.members if m.name == name)
    kept = dict(vars(broken))
    try:
        for attribute in kept:
            if attribute != "config":
                setattr(broken, attribute, None)  # a model that lost its state
        (reply,), _ = recommender.recommend([Request(user_id="u1", n=10, explain=True)])
        assert len(reply.items) == 10
        assert f"model:{name}:error" in reply.degraded
        assert name not in {model for line in reply.items for model, share in line.contributions.items() if share}
    finally:
        vars(broken).update(kept)


def test_a_model_over_its_time_budget_is_dropped_counted_and_named():
    models = tuple(msgspec.structs.replace(m, time_budget_ms=1e-6) if m.name == "ease" else m for m in patient(Config().model))
    shop = world(config=Config(model=models))
    (reply,), _ = shop.recommender.recommend([Request(user_id="u1", n=10)])
    assert reply.degraded == ("source:ease:budget", "model:ease:budget")
    assert len(reply.items) == 10
    assert {line.contributions["ease"] for line in reply.items} == {0.0}
    assert shop.recommender.scoring.dropped["model:ease:budget"] == 1


def test_an_explanation_names_every_rule_that_excludes():
    shop = world()
    blocked = next(
        (int(u), int(i)) for u, i, t in zip(shop.events.user, shop.events.item, shop.events.type, strict=True) if t == 3
    )
    answer = shop.recommender.explain(Request(user_id=f"u{blocked[0]}", deny=(f"i{blocked[1]}",), filter="price < 0"), blocked[1])
    assert not answer.eligible
    assert {"blocked", "seen", "filter", "deny"} <= set(answer.excluded_by)
    shown, _ = shop.recommender.recommend([Request(user_id="u1", n=1, diversity=0.0)])
    item = shown[0].items[0]
    why = shop.recommender.explain(Request(user_id="u1"), int(item.item_id[1:]))
    assert why.eligible
    assert why.score == pytest.approx(item.score, rel=1e-6)
    assert why.reasons

