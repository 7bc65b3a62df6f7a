"""The law of features: what training was told of a past moment is what serving said at that moment, to the bit.

Serving is replayed: events go through the fold in the order of time, and the feature store is asked between them.
"""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from recengine import Engine
from recengine.config import Config, FeatureConfig, Features, Serving
from recengine.demo import generate
from recengine.features.attributes import labels_of
from recengine.offline.featuring import defined
from recengine.offline.featuring.history import read_past
from recengine.offline.featuring.table import Probes, fill
from recengine.online.feature_store import FeatureStore
from recengine.online.frames import Group, ItemsFrame, UsersFrame
from recengine.online.state import State
from recengine.online.user_rows import Asked
from recengine.store.catalog import read_items, read_users
from recengine.store.events import read_events
from recengine.store.vocab import Vocabularies, Vocabulary
from recengine.types import NO_TIME
from recengine.types.frames import EventFrame

HOUR = 3_600_000_000
OWN = Config(
    features=Features(history=20, windows=("6h", "3d", "20d"), half_life="2d"),
    feature=(
        FeatureConfig(name="sold", entity="item", sql="SELECT item_id AS entity, time, row_number() OVER (PARTITION BY item_id ORDER BY time) AS value FROM events"),
        FeatureConfig(name="last_type", entity="user", dtype="category", every="6h", sql="SELECT user_id AS entity, time, type AS value FROM events"),
        FeatureConfig(name="busy", entity="context", every="1h", sql="SELECT time, count(*) OVER (ORDER BY time) AS value FROM events"),
        FeatureConfig(name="busy_price", entity="derived", op="product", of=("busy", "item_price")),
    ),
)
"""Other lengths, and queries of all three kinds."""


def asked(database, config, probes, labels=None):
    """Offline: all features of all probes, as the training table has them."""
    features = defined(database, config)
    past = read_past(database, config, features)
    parts = {"category": config.serving.category, "brand": config.features.brand}
    labels = labels_of(features.features, read_items(database).columns, read_users(database).columns, parts, past.told)
    return features, past, labels, fill(database, past, config, features, probes, labels, threads=2)


def replayed(database, config, probes, features, past, labels):
    """Online: a state that sees one event after the other, and a store that is asked at every moment."""
    events = read_events(database)
    users = Vocabulary(f"u{k}" for k in range(past.n_users))
    items = Vocabulary(f"i{k}" for k in range(past.n_items))
    empty = [msgspec.structs.replace(read(database, as_of=NO_TIME + 2)) for read in (read_items, read_users)]
    state = State(config, Vocabularies(users, items, Vocabulary(events.types)), *empty, frozenset())
    store = FeatureStore(state, config, features, labels, past.told)
    order = np.lexsort((events.seq, events.time))
    columns = (events.user, events.item, events.type, events.value, events.time)
    named = [
        EventFrame(f"u{u}", f"i{i}", events.types[k], None if np.isnan(v) else v, t, at=t)
        for u, i, k, v, t in zip(*(column[order].tolist() for column in columns), strict=True)
    ]
    times = events.time[order]
    changes = np.unique(np.concatenate((past.items.begins, past.users.begins)))
    values = np.empty((len(features.names), len(probes.items)), np.float32)
    at, moment = 0, NO_TIME
    for probe in np.argsort(probes.times, kind="stable").tolist():
        t = int(probes.times[probe])
        upto = int(np.searchsorted(times, t))
        if upto > at:
            state.apply(upto, Group(named[at:upto]))
            at = upto
        if moment == NO_TIME or np.searchsorted(changes, t, "right") > np.searchsorted(changes, moment, "right"):
            state.apply(upto, ItemsFrame(read_items(database, as_of=t)))
            state.apply(upto, UsersFrame(read_users(database, as_of=t)))
        moment = t
        user = int(probes.users[probe])
        wish = Asked(user, store.trail(user), t, {})
        values[:, probe] = store.values(wish, probes.items[probe : probe + 1], state.items)[:, 0]
    return values, store


def drawn(past, m, seed):
    """Random users, items and moments, some of them the moments of events; one in fifty is nobody."""
    rng = np.random.default_rng(seed)
    times = past.signals.time
    moments = rng.integers(times.min() - HOUR, times.max() + 40 * 24 * HOUR, m)
    exact = rng.random(m) < 0.5
    picked = rng.integers(0, len(times), m)
    users = np.where(rng.random(m) < 0.5, past.signals.user[picked], rng.integers(0, past.n_users, m))
    users[rng.random(m) < 0.02] = -1
    items = np.where(rng.random(m) < 0.5, past.signals.item[picked], rng.integers(0, past.n_items, m))
    return Probes(users.astype(np.int32), items.astype(np.int32), np.where(exact, times[picked], moments))


def compare(engine, config, m, seed):
    database = engine._database
    past = read_past(database, config, defined(database, config))
    probes = drawn(past, m, seed)
    features, past, labels, offline = asked(database, config, probes)
    online, store = replayed(database, config, probes, features, past, labels)
    differ = {
        name: (int(bad.sum()), offline[k][bad][:3].tolist(), online[k][bad][:3].tolist())
        for k, name in enumerate(features.names)
        if (bad := offline[k].view(np.uint32) != online[k].view(np.uint32)).any()
        if not (np.isnan(offline[k][bad]).all() and np.isnan(online[k][bad]).all())
    }
    assert differ == {}
    assert len(features.names) > 40
    told = [name for k, name in enumerate(features.names) if not np.isnan(offline[k]).all()]
    return told, store


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    files = generate(folder / "files", seed=5, users=300, items=200, events=6_000, images=False)
    with Engine.open(folder / "shop", create=True) as engine:
        engine.ingest(events=files.events, items=files.items, users=files.users, columns=files.columns)
        past = read_past(engine._database, engine.config, defined(engine._database, engine.config))
        half = int(np.median(past.signals.time)) // 1_000_000
        rows = [
            {"item_id": name, "category": ["Bags", "Shoes"][k % 2], "brand": "new", "price": 10.0 + k, "valid_from": datetime.fromtimestamp(half + 3600 * k, UTC)}
            for k, name in enumerate(engine._ids.items.ids(np.arange(0, 40, dtype=np.int32)))
        ]
        engine.ingest(items=rows)
        yield engine


def test_of_the_demo_shop(shop):
    told, store = compare(shop, shop.config, 10_000, 1)
    assert {"item_engaged_7d", "user_price", "session_position", "pair_covisits", "price_ratio", "item_price"} <= set(told)
    assert store.users.hits > 0


def test_of_features_of_ones_own(shop):
    told, _ = compare(shop, OWN, 2_000, 3)
    assert {"sold", "last_type", "busy", "busy_price", "item_engaged_6h"} <= set(told)


def test_of_ml100k(data_path, tmp_path):
    config = Config(serving=Serving(category="class"))
    with Engine.open(tmp_path / "ml", create=True, config=config) as engine:
        engine.ingest(
            events=data_path("ml100k/ratings.parquet"),
            items=data_path("ml100k/items.parquet"),
            users=data_path("ml100k/users.parquet"),
        )
        told, _ = compare(engine, config, 10_000, 2)
    assert {"item_rating", "user_rating", "user_diversity", "pair_events"} <= set(told)
