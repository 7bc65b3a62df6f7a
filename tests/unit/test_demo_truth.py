"""The demo shop's truth: what it promises to models is there to be found, measured with the simplest model of each
kind."""

import numpy as np
import pytest
from scipy import sparse

from recengine.demo.catalogue import draw_items, tags
from recengine.demo.events import TYPES, simulate
from recengine.demo.taste import draw_personas, draw_users
from recengine.demo.tree import LEAVES

USERS, ITEMS, EVENTS, DAYS, AT = 3_000, 1_000, 110_000, 180, 20
ENGAGED = [TYPES.index(name) for name in ("view", "click", "like", "share", "cart", "purchase")]


class World:
    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.personas = draw_personas(rng)
        self.users = draw_users(rng, USERS, self.personas, DAYS)
        self.items = draw_items(rng, ITEMS, DAYS)
        self.log = simulate(rng, EVENTS, self.users, self.personas, self.items, DAYS)
        self.engaged = np.isin(self.log.type, ENGAGED)

    def matrix(self, rows: np.ndarray) -> sparse.csr_matrix:
        out = sparse.csr_matrix((np.ones(len(rows)), (self.log.user[rows], self.log.item[rows])), shape=(USERS, ITEMS))
        out.data[:] = 1
        return out

    def of(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.log.type == TYPES.index(name))

    def taste(self, rows: np.ndarray) -> np.ndarray:
        return (self.users.vectors[self.log.user[rows]] * self.items.vectors[self.log.item[rows]]).sum(axis=1)


@pytest.fixture(scope="module")
def world() -> World:
    return World(5)


def recall(scores: np.ndarray, wanted: np.ndarray) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :AT]
    return float((np.take_along_axis(wanted, best, axis=1).sum(axis=1) / wanted.sum(axis=1)).mean())


def test_item_neighbours_beat_popularity_clearly_on_a_time_split(world):
    rows = np.flatnonzero(world.engaged)
    cut = np.quantile(world.log.time[rows], 0.9)
    past, future = world.matrix(rows[world.log.time[rows] <= cut]), world.matrix(rows[world.log.time[rows] > cut])
    future = future - future.multiply(past)
    users = np.flatnonzero((future.sum(axis=1).A1 > 0) & (past.sum(axis=1).A1 >= 5))
    popular = past.sum(axis=0).A1
    near = (past.T @ past).toarray() / (np.sqrt(np.outer(popular, popular)) + 10)
    np.fill_diagonal(near, 0)
    seen, wanted = past[users].toarray(), future[users].toarray()
    hide = np.where(seen > 0, -np.inf, 0.0)
    by_popularity, by_neighbours = recall(popular + hide, wanted), recall(seen @ near + hide, wanted)
    assert len(users) > 300
    assert by_neighbours > 1.6 * by_popularity
    assert 0.03 < by_popularity < by_neighbours < 0.6  # worth it, but neither trivial nor hopeless


def test_the_last_item_tells_the_next_far_better_than_popularity(world):
    views = world.of("view")
    views = views[np.lexsort((world.log.time[views], world.log.session[views]))]
    same = world.log.session[views][1:] == world.log.session[views][:-1]
    last, following = world.log.item[views][:-1][same], world.log.item[views][1:][same]
    when = world.log.time[views][1:][same]
    past = when <= np.quantile(when, 0.9)
    popular = np.bincount(following[past], minlength=ITEMS)
    chain = sparse.csr_matrix((np.ones(past.sum()), (last[past], following[past])), shape=(ITEMS, ITEMS)).toarray()
    guesses = np.argsort(-(chain + popular / 1e6), axis=1, kind="stable")[:, :AT]
    by_chain = (guesses[last[~past]] == following[~past][:, None]).any(axis=1).mean()
    by_popularity = np.isin(following[~past], np.argsort(-popular, kind="stable")[:AT]).mean()
    assert by_chain > 2.5 * by_popularity


def test_demographics_predict_the_taste_of_users_that_nobody_has_met(world):
    users = world.users
    matrix = world.matrix(np.flatnonzero(world.engaged))
    active = matrix.sum(axis=1).A1 > 0
    group = np.digitize(users.age, (26, 36, 48)) * 3 + users.gender
    held = np.random.default_rng(0).random(USERS) < 0.3
    popular = matrix[~held].sum(axis=0).A1
    prior = 20 * popular / popular.sum()
    scores = np.array([matrix[np.flatnonzero(~held & (group == row))].sum(axis=0).A1 + prior for row in range(12)])
    cold = np.flatnonzero(held & active)
    wanted = matrix[cold].toarray()
    by_group, by_all = recall(scores[group[cold]], wanted), recall(np.tile(popular, (len(cold), 1)), wanted)
    assert by_group > 1.08 * by_all


def test_words_tell_the_category_and_the_style(world):
    words = [set(text.lower().replace(".", " ").replace(",", " ").split()) for text in world.items.text]
    names = sorted(set().union(*words))
    column = {word: row for row, word in enumerate(names)}
    bag = np.zeros((ITEMS, len(names)))
    for row, text in enumerate(words):
        bag[row, [column[word] for word in text]] = 1
    train = np.arange(ITEMS) % 3 > 0
    for labels, least in ((world.items.leaf, 0.85), (world.items.style, 0.85), (world.items.audience, 0.4)):
        classes = np.unique(labels)
        odds = np.array(
            [
                np.log((bag[train & (labels == one)].sum(axis=0) + 0.1) / (train & (labels == one)).sum())
                for one in classes
            ]
        )
        found = classes[np.argmax(bag[~train] @ odds.T - np.exp(odds).sum(axis=1), axis=1)]
        assert (found == labels[~train]).mean() > least


def test_content_does_not_tell_all_that_behaviour_tells(world):
    rows = world.of("purchase")
    told, hidden = world.items.vectors[:, :13], world.items.vectors[:, 13:]
    fits = [
        (world.users.vectors[:, part] @ block.T) for part, block in ((slice(0, 13), told), (slice(13, None), hidden))
    ]
    for fit in fits:
        chosen = fit[world.log.user[rows], world.log.item[rows]].mean()
        assert chosen > fit[world.log.user[rows]][:, world.log.item[rows[::50]]].mean() + 0.1 * fit.std()


def test_popularity_drifts_from_the_first_month_to_the_last(world):
    rows = np.flatnonzero(world.engaged)
    item, time = world.log.item[rows], world.log.time[rows]
    old = (world.items.released < 0) & world.items.available
    first, last = (np.bincount(item[month], minlength=ITEMS)[old] for month in (time < 30, time > DAYS - 30))
    assert 0.1 < np.corrcoef(first, last)[0, 1] < 0.8


def test_popularity_is_long_tailed(world):
    counts = np.sort(np.bincount(world.log.item[world.engaged], minlength=ITEMS))[::-1]
    assert 0.25 < counts[: ITEMS // 10].sum() / counts.sum() < 0.7


def test_some_users_and_items_are_cold_and_some_are_very_warm(world):
    users = np.bincount(world.log.user[world.engaged], minlength=USERS)
    items = np.bincount(world.log.item[world.engaged], minlength=ITEMS)
    assert 0.04 < (users == 0).mean() < 0.25
    assert 0.08 < (users < 5).mean() < 0.35
    assert users.max() > 100
    fresh = world.items.released > DAYS - 4
    assert fresh.any()
    assert items[fresh].mean() < 0.2 * items.mean()
    assert 0 < (~world.items.available).mean() < 0.05


def test_sold_out_items_sell_no_more(world):
    pages = world.of("view")
    assert (world.log.time[pages] < world.items.gone[world.log.item[pages]] + 1.5).all()


def test_opinions_agree_with_taste(world):
    ratings = world.of("rating")
    assert np.corrcoef(world.taste(ratings), world.log.value[ratings])[0, 1] > 0.2
    assert np.corrcoef(world.items.quality[world.log.item[ratings]], world.log.value[ratings])[0, 1] > 0.2
    shares = np.bincount(world.log.value[ratings].astype(int), minlength=6)[1:] / len(ratings)
    assert shares.min() > 0.002
    assert shares.max() < 0.6
    view, like, dislike = (world.taste(world.of(name)).mean() for name in ("view", "like", "dislike"))
    assert dislike < view < like


def test_the_price_decides_between_cart_and_purchase(world):
    carts, purchases = world.of("cart"), world.of("purchase")
    once = ~np.array([leaf.consumable for leaf in LEAVES])[world.items.leaf]  # refills skip the deliberation
    group = np.where(once, np.where(world.items.cheapness > 0, 2, 1), 0)
    bought, put = (np.bincount(group[world.log.item[rows]], minlength=3) for rows in (purchases, carts))
    dear, cheap = (bought / put)[1:]
    assert 0.2 < dear < cheap / 1.25 < 0.8


def test_consumables_are_bought_again_after_about_four_weeks(world):
    rows = world.of("purchase")
    pair = world.log.user[rows].astype(np.int64) * ITEMS + world.log.item[rows]
    refill = np.array([leaf.consumable for leaf in LEAVES])[world.items.leaf[world.log.item[rows]]]
    again = {}
    for kind in (True, False):
        _, counts = np.unique(pair[refill == kind], return_counts=True)
        again[kind] = (counts > 1).mean()
    assert again[True] > 0.3
    assert again[True] > 4 * again[False]
    order = np.lexsort((world.log.time[rows], pair))
    same = (pair[order][1:] == pair[order][:-1]) & refill[order][1:]
    assert 18 < np.median(np.diff(world.log.time[rows][order])[same]) < 32


def test_weekends_evenings_and_devices_are_a_context_worth_knowing(world):
    pages = world.of("view")
    category = np.array([leaf.category for leaf in LEAVES])[world.items.leaf[world.log.item[pages]]]
    time = world.log.time[pages]
    weekend = time.astype(int) % 7 >= 5
    hour = (time % 1) * 24
    leisure = np.isin(category, ("garden", "toys", "outdoor"))
    assert leisure[weekend].mean() > 1.15 * leisure[~weekend].mean()
    assert (category[weekend] == "computing").mean() < 0.8 * (category[~weekend] == "computing").mean()
    assert weekend.mean() > 2 / 7
    assert ((hour > 18) & (hour < 22)).mean() > 4 * ((hour > 1) & (hour < 5)).mean()
    phone_people = world.users.device[world.log.user[pages]] == 0  # so that who they are does not tell
    desk, phone = (category[phone_people & (world.log.device[pages] == code)] for code in (1, 0))
    assert (desk == "computing").mean() > 1.3 * (phone == "computing").mean()
    assert (phone == "beauty").mean() > 1.2 * (desk == "beauty").mean()


def test_a_session_stays_with_its_intent(world):
    pages = world.of("view")
    pages = pages[np.lexsort((world.log.time[pages], world.log.session[pages]))]
    leaf = world.items.leaf[world.log.item[pages]]
    same = world.log.session[pages][1:] == world.log.session[pages][:-1]
    within = (leaf[1:] == leaf[:-1])[same].mean()
    shuffled = np.random.default_rng(0).permutation(leaf)
    assert within > 4 * (shuffled[1:] == shuffled[:-1]).mean()


def test_tags_repeat_what_the_columns_say(world):
    for i in range(0, ITEMS, 97):
        assert world.items.material[i] in tags(world.items, i)
        assert len(set(tags(world.items, i))) == len(tags(world.items, i))
