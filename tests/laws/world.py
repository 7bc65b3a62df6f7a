"""A small shop for the laws of the online spine: real algorithms, fitted; a live state; ids. Made once a seed."""

from functools import cache

import msgspec
import numpy as np

from recengine.algorithms.calibration import calibrate
from recengine.algorithms.demographic import Demographic
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.registry import create
from recengine.config import Als, Config
from recengine.features.interaction import event_weights, interactions
from recengine.online.frames import EventsFrame
from recengine.online.recommender import Recommender
from recengine.online.state import State
from recengine.retrieval.deployment import Member, assemble
from recengine.store.vocab import Vocabularies, Vocabulary
from recengine.types import NO_TIME, Catalogue, Column, EventColumns, Mask, Query, TrainingData

N_USERS, N_ITEMS = 40, 90
TYPES = ("view", "purchase", "dislike", "block", "ignore")
CATEGORIES = ("bags", "hats", "shoes", "rare")
BRANDS = ("Acme", "Bolt", "Cora", "Dune", "Echo")


def catalogue(rng):
    category = rng.choice(4, N_ITEMS, p=(0.4, 0.35, 0.2, 0.05)).astype(np.int32)
    brand = rng.integers(-1, len(BRANDS), N_ITEMS).astype(np.int32)
    tags = [np.sort(rng.choice(4, rng.integers(0, 3), replace=False)) for _ in range(N_ITEMS)]
    columns = {
        "category": Column("string", category, CATEGORIES),
        "brand": Column("string", brand, BRANDS),
        "tags": Column(
            "strings",
            np.concatenate(tags).astype(np.int32),
            ("red", "blue", "new", "old"),
            np.concatenate(([0], np.cumsum([len(t) for t in tags]))).astype(np.int64),
        ),
        "price": Column("number", np.where(rng.random(N_ITEMS) < 0.1, np.nan, rng.lognormal(3, 1, N_ITEMS))),
    }
    available = (rng.random(N_ITEMS) < 0.9).astype(np.uint8)
    return Catalogue(N_ITEMS, columns, available, np.full(N_ITEMS, NO_TIME))


def people(rng):
    gender = rng.integers(-1, 2, N_USERS).astype(np.int32)
    age = rng.integers(15, 80, N_USERS).astype(np.float64)
    columns = {"gender": Column("string", gender, ("f", "m")), "age": Column("number", age)}
    return Catalogue(N_USERS, columns, np.ones(N_USERS, np.uint8), np.full(N_USERS, NO_TIME))


def history(rng, n=700, users=N_USERS - 5):
    """Events with a taste: two groups of users, two halves of the catalogue. The last five users did nothing."""
    user = rng.integers(0, users, n).astype(np.int32)
    half = rng.integers(0, N_ITEMS // 2, n)
    item = np.where(rng.random(n) < 0.85, half + (user % 2) * (N_ITEMS // 2), rng.integers(0, N_ITEMS, n)).astype(np.int32)
    kind = rng.choice(len(TYPES), n, p=(0.6, 0.2, 0.1, 0.05, 0.05)).astype(np.int16)
    order = np.lexsort((np.arange(n), user))
    seq = np.arange(n, dtype=np.int64)[order]
    time = 1_700_000_000_000_000 + seq * 3_600_000_000
    return EventColumns(seq, user[order], item[order], kind[order], np.full(n, np.nan, np.float32), time, TYPES)


class World(msgspec.Struct, frozen=True):
    config: Config
    state: State
    recommender: Recommender
    users: Vocabulary
    items: Vocabulary
    events: EventColumns

    def hidden(self, user, exclude_seen):
        """From the raw events: what this user may not be shown."""
        hides = {"block"}
        seen = {"view", "purchase", "dislike", "block"} if exclude_seen is True else set(exclude_seen or ())
        mine = self.events.user == user
        return {int(i) for i, t in zip(self.events.item[mine], self.events.type[mine], strict=True) if TYPES[t] in hides | seen}


def patient(declared):
    """Small models, or sources, with all the time in the world: a busy machine must not decide what a law sees."""
    time, small = {"time_budget_ms": 1e6}, {"factors": 8, "epochs": 5}
    return tuple(
        msgspec.structs.replace(d, **(time if hasattr(d, "time_budget_ms") else {}), **(small if isinstance(d, Als) else {}))
        for d in declared
    )


@cache
def tastes_by_gender():
    """Even users are women and like the first half, odd ones men; popularity has no weight in the blend."""
    models = tuple(msgspec.structs.replace(m, weight=0.0) if m.name == "popularity" else m for m in patient(Config().model))
    codes = (np.arange(N_USERS) % 2).astype(np.int32)
    users = Catalogue(N_USERS, {"gender": Column("string", codes, ("f", "m"))}, np.ones(N_USERS, np.uint8), np.full(N_USERS, NO_TIME))
    return made(0, Config(model=models), users)


@cache
def standard(seed):
    return made(seed, Config(model=patient(Config().model)), None)


def world(seed=0, *, config=None):
    """The standard shop of a seed is shared; one with a configuration of its own is not."""
    return standard(seed) if config is None else made(seed, config, None)


def made(seed, config, users):
    rng = np.random.default_rng(seed)
    items, events = catalogue(rng), history(rng)
    users = users or people(rng)
    matrix = interactions(events, event_weights(events, config.event), N_USERS, N_ITEMS)
    data = TrainingData(matrix, items, users, int(events.time.max()))
    everybody = Query(np.arange(N_USERS, dtype=np.int32), matrix, np.zeros(N_USERS, np.uint8), data.as_of)
    members = tuple(member(model, data, everybody, rng) for model in config.model)
    popularity = next(m.scorer for m in members if isinstance(m.scorer, Popularity))
    deployment = assemble(
        "v1", members, popularity, Demographic().fit(data), n_users=N_USERS, n_items=N_ITEMS, last_seq=int(events.seq.max())
    )
    user_ids, item_ids = Vocabulary(f"u{k}" for k in range(N_USERS)), Vocabulary(f"i{k}" for k in range(N_ITEMS))
    ids = Vocabularies(user_ids, item_ids, Vocabulary(events.types))
    state = State(config, ids, items, users, frozenset())
    state.apply(-1, EventsFrame(events, N_USERS, N_ITEMS, "timestamp", int(events.seq.max()), whole=True))
    return World(config, state, Recommender(deployment, state, user_ids, item_ids, config), user_ids, item_ids, events)


def member(model, data, everybody, rng):
    scorer = create(model).fit(data, seed=0, threads=1)
    indptr = np.arange(0, N_USERS * N_ITEMS + 1, N_ITEMS, dtype=np.int64)
    scores = scorer.score(everybody, indptr, np.tile(np.arange(N_ITEMS, dtype=np.int32), N_USERS))
    engaged = np.zeros((N_USERS, N_ITEMS), bool)
    engaged[np.repeat(np.arange(N_USERS), np.diff(data.interactions.indptr)), data.interactions.items] = True
    curve = calibrate(scores, engaged.ravel(), np.repeat(np.arange(N_USERS), N_ITEMS))
    return Member(scorer, curve, model.weight)


def eligible(world, request, user) -> Mask:
    """What a request may show, written once more and slowly, from its own words."""
    items = world.state.items
    hidden = world.hidden(user, request.exclude_seen) if user >= 0 else set()
    hides = {"view", "purchase", "dislike", "block", "stare"} if request.exclude_seen is True else {*(request.exclude_seen or ()), "block"}
    hidden |= {int(e.item_id[1:]) for e in request.events if e.type in hides and e.item_id != "gone"}
    out = np.zeros(items.n, np.uint8)
    for item in range(items.n):
        category = CATEGORIES[items.columns["category"].data[item]]
        ok = items.available[item] == 1 and item not in hidden and f"i{item}" not in request.deny
        ok = ok and (request.allow is None or f"i{item}" in request.allow)
        ok = ok and (not request.categories_any or category in request.categories_any)
        ok = ok and all(category == wanted for wanted in request.categories_all)
        ok = ok and category not in request.categories_none
        if request.filter is not None:  # the laws use one filter: price < X
            ok = ok and items.columns["price"].data[item] < float(request.filter.split("<")[1])
        out[item] = ok
    return out
