"""A small shop for the tests of the offline spine: users of three tastes, three weeks of events, attributes, a category."""

import numpy as np

from recengine.types import NO_TIME, Catalogue, Column, EventColumns

DAY = 86_400_000_000
START = 1_700_000_000_000_000


def shop(n_users=150, n_items=60, per_user=14, seed=0, days=21):
    """Make (events, users, items): each user likes one of three categories, and some items are popular with all."""
    rng = np.random.default_rng(seed)
    category = np.arange(n_items) % 3
    taste = np.arange(n_users) % 3
    rows = []
    for user in range(n_users):
        liking = np.where(category == taste[user], 1.0, 0.05)
        liking[: n_items // 10] += 1.0
        chosen = rng.choice(n_items, per_user, replace=False, p=liking / liking.sum())
        rows += [(user, int(item), START + int(rng.random() * days * DAY)) for item in chosen]
    rows.sort(key=lambda r: r[2])  # numbers go by time of arrival
    order = sorted(range(len(rows)), key=lambda k: (rows[k][0], rows[k][2], k))
    events = EventColumns(
        np.array(order, np.int64),
        np.array([rows[k][0] for k in order], np.int32),
        np.array([rows[k][1] for k in order], np.int32),
        np.zeros(len(rows), np.int16),
        np.full(len(rows), np.nan, np.float32),
        np.array([rows[k][2] for k in order], np.int64),
        ("interaction",),
    )
    groups = Column("string", taste.astype(np.int32), labels=("a", "b", "c"))
    users = Catalogue(n_users, {"group": groups}, np.ones(n_users, np.uint8), np.full(n_users, NO_TIME, np.int64))
    kinds = Column("string", category.astype(np.int32), labels=("x", "y", "z"))
    items = Catalogue(n_items, {"category": kinds}, np.ones(n_items, np.uint8), np.full(n_items, NO_TIME, np.int64))
    return events, users, items
