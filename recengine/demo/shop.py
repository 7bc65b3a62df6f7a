"""The door of the demo shop: `generate` writes the files that `recengine ingest` reads.

Stands on the top floor beside the command line. In: a folder, a seed and sizes. Out: `events.parquet`,
`items.parquet`, `users.parquet`, `images/<item_id>.jpg`, and `ShopFiles`, which tells where they are. Nothing else of
the package depends on it.

The same seed writes the same tables, value for value; the window is fixed in the calendar so that the clock of the
machine does not matter. Truth that only the simulation knows (mixtures, vectors, appeal) is not written: `describe`
says in words what there is to find.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recengine.demo.catalogue import Items, draw_items, tags
from recengine.demo.events import TYPES, Log, simulate
from recengine.demo.pictures import require_pillow, write_pictures
from recengine.demo.taste import COUNTRIES, DEVICES, GENDERS, Users, draw_personas, draw_users
from recengine.demo.tree import CATEGORIES, LEAVES
from recengine.demo.truth import TRUTH
from recengine.demo.words import BRANDS, COLOURS, STYLES
from recengine.errors import ConfigInvalid, DirectoryInvalid
from recengine.types import F64, I64, Bools

__all__ = ("COLUMNS", "DAYS", "START", "ShopFiles", "describe", "generate")

START = datetime(2026, 3, 2)  # noqa: DTZ001 - a Monday; the files hold naive UTC
DAYS = 180
COLUMNS = {
    "user": "user_id",
    "item": "item_id",
    "type": "type",
    "value": "value",
    "order": "timestamp",
    "session_id": "session_id",
    "event_id": "event_id",
}
"""The column mapping to ingest the events with."""
_DAY_US = 86_400_000_000

_WORLD, _EVENTS, _TABLES = 5, 60, 100
"""Progress in units of one picture's time: how far the work is after the world, the events, the tables."""


class ShopFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where a generated shop lies, and how large it is; `images` is None where none were drawn."""

    folder: Path
    events: Path
    items: Path
    users: Path
    images: Path | None
    seed: int
    n_events: int
    n_items: int
    n_users: int
    warm_user: str
    """A user with a long history: busier than 95 % of those who came."""
    cold_user: str
    """A user with the fewest events, as a rule none, of whom all demographics are known."""
    columns: dict[str, str]


def generate(
    folder: Path,
    *,
    seed: int = 0,
    users: int = 5_000,
    items: int = 2_000,
    events: int = 200_000,
    images: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> ShopFiles:
    """Write a seeded shop into `folder`, which is made where it is missing; files of the same names are replaced.

    Parameters
    ----------
    folder : where to write.
    seed : >= 0; the same seed and sizes give the same tables, value for value.
    users, items : >= 1. Items are written with their category tree, which grows to 12 categories at 480 items.
    events : >= 0, exactly so many.
    images : draw a JPEG an item; needs Pillow, the extra `demo`.
    progress : called with (done, total); a unit is about one picture's time.

    Raises
    ------
    ConfigInvalid : a size or the seed is out of range, or images are wanted and Pillow is absent; nothing is written.
    DirectoryInvalid : the folder cannot be written.

    Cost: about 2 s of CPU and 300 MB at the defaults, and as much time again for the images.
    """
    for name, value, least in (("seed", seed, 0), ("users", users, 1), ("items", items, 1), ("events", events, 0)):
        if value < least:
            raise ConfigInvalid(
                f"{name}: expected an integer >= {least}, got {value}", hint=f"pass {name}={least} or more"
            )
    if images:
        require_pillow()
    total = _TABLES + (items if images else 0)

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, total)

    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]

    tell(0)
    personas = draw_personas(streams[0])
    shoppers = draw_users(streams[1], users, personas, DAYS)
    goods = draw_items(streams[2], items, DAYS)
    tell(_WORLD)
    log = simulate(streams[3], events, shoppers, personas, goods, DAYS)
    tell(_EVENTS)

    user_ids, item_ids = _ids("u", users), _ids("i", items)
    tables = {
        "events": _event_table(log, user_ids, item_ids),
        "items": _item_table(goods, item_ids, streams[4], images=images),
        "users": _user_table(shoppers, user_ids, streams[4]),
    }
    warm, cold = _examples(log, tables["users"])
    files = ShopFiles(
        folder=folder,
        events=folder / "events.parquet",
        items=folder / "items.parquet",
        users=folder / "users.parquet",
        images=folder / "images" if images else None,
        seed=seed,
        n_events=events,
        n_items=items,
        n_users=users,
        warm_user=user_ids[warm].as_py(),
        cold_user=user_ids[cold].as_py(),
        columns=dict(COLUMNS),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            draft = folder / f".{name}.parquet.part"
            pq.write_table(table, draft, compression="zstd")
            draft.replace(folder / f"{name}.parquet")
        tell(_TABLES)
        if files.images is not None:
            write_pictures(files.images, goods, item_ids.to_pylist(), seed=seed, tell=lambda done: tell(_TABLES + done))
    except OSError as err:
        raise DirectoryInvalid(
            f"{folder}: cannot write the demo shop: {err}", hint="choose a folder that you may write to"
        ) from err
    return files


def describe(files: ShopFiles) -> dict[str, Any]:
    """Say what a shop holds and what is true of it, so that a reader knows what a model can find. Reads the tables."""
    types = pq.read_table(files.events, columns=["type"])["type"].value_counts().to_pylist()
    return {
        "users": files.n_users,
        "items": files.n_items,
        "events": files.n_events,
        "types": {row["values"]: row["counts"] for row in sorted(types, key=lambda row: -row["counts"])},
        "window": (START.date().isoformat(), DAYS),
        "categories": len(CATEGORIES),
        "leaves": len(LEAVES),
        "brands": len(BRANDS),
        "truth": TRUTH,
    }


def _examples(log: Log, users: pa.Table) -> tuple[int, int]:
    """Choose whom to show: the 95th percentile of the busy users, and the idlest of known demographics."""
    counts = np.bincount(log.user, minlength=len(users))
    busy = np.flatnonzero(counts) if len(log.user) else np.arange(len(users))
    order = busy[np.argsort(counts[busy], kind="stable")]
    missing = np.array([users[name].is_null().to_numpy() for name in users.column_names]).any(axis=0)
    return int(order[(len(order) - 1) * 95 // 100]), int(np.lexsort((np.arange(len(users)), counts, missing))[0])


def _ids(letter: str, n: int) -> pa.Array:
    """Write n ids, wide enough to sort as text."""
    width = max(5, len(str(n)))
    return pa.array([f"{letter}{row:0{width}d}" for row in range(n)], pa.string())


def _moments(days: F64, *, to_day: bool = False) -> I64:
    """Turn days since the window's start into microseconds since 1970, in whole milliseconds or whole days."""
    epoch = round((START - datetime(1970, 1, 1)).total_seconds()) * 1_000_000  # noqa: DTZ001
    scaled = np.floor(days) * _DAY_US if to_day else np.floor(days * (_DAY_US // 1000)) * 1000
    return np.asarray(scaled.astype(np.int64) + epoch)


def _stamps(days: F64, *, to_day: bool = False) -> pa.Array:
    return pa.array(_moments(days, to_day=to_day), pa.timestamp("us"))


def _words(labels: tuple[str, ...], codes: np.ndarray, missing: Bools | None = None) -> pa.Array:
    return pa.array(labels, pa.string()).take(pa.array(codes, pa.int32(), mask=missing))


def _event_table(log: Log, user_ids: pa.Array, item_ids: pa.Array) -> pa.Table:
    n = len(log.user)
    sessions = int(log.session.max(initial=-1)) + 1
    return pa.table(
        {
            "event_id": _ids("e", n),
            "user_id": user_ids.take(pa.array(log.user)),
            "item_id": item_ids.take(pa.array(log.item)),
            "type": _words(TYPES, log.type),
            "value": pa.array(log.value, pa.float32(), mask=np.isnan(log.value)),
            "timestamp": _stamps(log.time),
            "session_id": _ids("s", sessions).take(pa.array(log.session)),
            "device": _words(DEVICES, log.device),
        }
    )


def _item_table(items: Items, item_ids: pa.Array, rng: np.random.Generator, *, images: bool) -> pa.Table:
    n = len(items.leaf)
    known = (items.released < 0) & (rng.random(n) < 0.85)
    rating = np.clip(items.quality + rng.normal(0, 0.15, n), 1, 5).round(1)
    return pa.table(
        {
            "item_id": item_ids,
            "title": pa.array(items.title, pa.string()),
            "description": pa.array(items.text, pa.string()),
            "category": pa.array([LEAVES[row].category for row in items.leaf], pa.string()),
            "subcategory": pa.array([LEAVES[row].name for row in items.leaf], pa.string()),
            "brand": _words(BRANDS, items.brand),
            "style": _words(tuple(style.name for style in STYLES), items.style, rng.random(n) < 0.1),
            "colour": _words(tuple(name for name, _ in COLOURS), items.colour),
            "material": pa.array(items.material, pa.string()),
            "tags": pa.array([tags(items, i) for i in range(n)], pa.list_(pa.string())),
            "price": pa.array(items.price, pa.float64()),
            "rating_average": pa.array(rating, pa.float64(), mask=~known),
            "released": _stamps(items.released, to_day=True),
            "available": pa.array(items.available),
            "image": pa.array([f"images/{name}.jpg" if images else None for name in item_ids.to_pylist()], pa.string()),
        }
    )


def _user_table(users: Users, user_ids: pa.Array, rng: np.random.Generator) -> pa.Table:
    n = len(users.age)
    regions = tuple(region for names in COUNTRIES.values() for region in names)
    nowhere = rng.random(n) < 0.03
    return pa.table(
        {
            "user_id": user_ids,
            "age": pa.array(users.age, pa.int32(), mask=rng.random(n) < 0.07),
            "gender": _words(GENDERS, users.gender, rng.random(n) < 0.09),
            "country": _words(tuple(COUNTRIES), users.country, nowhere),
            "region": _words(regions, users.region, nowhere | (rng.random(n) < 0.06)),
            "device": _words(DEVICES, users.device),
            "member": pa.array(users.member),
            "joined": _stamps(users.joined, to_day=True),
        }
    )
