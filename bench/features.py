"""How long does a training table of 40 features as of each row take for a million events, against polars.

A row an engaged event, 41 columns: what happened to the item, the user, the visit, the pair, each before the row's own
moment. The rival (`bench/features_polars.py`) computes the same columns by running sums and `join_asof`; both start
from columns in memory, and the values are compared before anything is timed. Beside them: three windows of one count as
DuckDB finds them by an ASOF join each, against the kernel that sweeps all thirteen values of the item; and a child
process that makes the table from a store on disk, for its peak memory.

The physical limit: every event is read once and every value written once (164 MB at a million rows), about 0.1 s.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench.features_polars import features as by_polars
from bench.harness import arguments, interleaved, report, summary
from recengine.config import DEFAULT_EVENTS, Config, Storage
from recengine.features.builtin import feature_set
from recengine.features.definition import Counted
from recengine.features.item import ITEM_VALUES, ItemTallies
from recengine.features.signals import BUCKET, CONVERTED, ENGAGED, RATED, VIEWED, Signals, signals
from recengine.offline.featuring.history import Past, read_past
from recengine.offline.featuring.table import Probes, fill
from recengine.offline.featuring.training import defined
from recengine.offline.ingest import ingest
from recengine.store import directory
from recengine.store.catalog import VersionsOverTime
from recengine.store.database import FILE, Database
from recengine.store.vocab import load_vocabularies
from recengine.types import NO_TIME, Column, EventColumns

DAY = 86_400_000_000
START = 1_700_000_000_000_000
N_ITEMS, N_CATEGORIES, N_BRANDS = 10_000, 40, 300
NOT_COMPARED = {"item_decayed", "pair_covisits"}
"""Eight more joins each in the rival; and co-visits, which have no form there that ends."""


def compared() -> tuple[str, ...]:
    """Name the columns that both compute: what is counted of items, users, visits and pairs."""
    counted = (feature for feature in feature_set(Config(), {}, {}).features if isinstance(feature.how, Counted))
    return tuple(f.name for f in counted if f.entity != "context" and f.name not in NOT_COMPARED)


def draw(n: int) -> tuple[EventColumns, dict[str, np.ndarray]]:
    """Draw n events of a shop: users in visits, items with a long tail, half a year; and what the items are."""
    rng = np.random.default_rng(0)
    n_users = max(n // 50, 10)
    visits = np.sort(rng.integers(0, 180 * DAY, n // 4 + 1))
    of_visit = rng.integers(0, len(visits), n)
    who = rng.integers(0, n_users, len(visits))[of_visit]
    when = START + visits[of_visit] + (rng.random(n) * 20 * 60e6).astype(np.int64)
    item = ((rng.pareto(1.1, n) * 20).astype(np.int64) % N_ITEMS).astype(np.int32)
    kind = rng.choice(3, n, p=(0.7, 0.1, 0.2)).astype(np.int16)
    value = np.where(kind == 1, rng.integers(1, 400, n) / 4, np.where(kind == 2, rng.integers(1, 6, n), np.nan))
    order = np.lexsort((np.arange(n), when, who))
    events = EventColumns(
        np.arange(n)[order],
        who[order].astype(np.int32),
        item[order],
        kind[order],
        value[order].astype(np.float32),
        when[order],
        ("view", "purchase", "rating"),
    )
    items = {
        "category": (np.arange(N_ITEMS) % N_CATEGORIES).astype(np.int32),
        "brand": (np.arange(N_ITEMS) * 7 % N_BRANDS).astype(np.int32),
        "price": np.round(rng.lognormal(3, 1, N_ITEMS), 2).astype(np.float32).astype(np.float64),
    }
    return events, items


def in_memory(
    events: EventColumns, items: dict[str, np.ndarray], said: Signals
) -> tuple[Past, dict[str, tuple[str, ...]]]:
    """Give ours what it would read from a store."""
    labels = {"category": _words("c", N_CATEGORIES), "brand": _words("b", N_BRANDS)}
    columns = {name: Column("string", items[name], labels=labels[name]) for name in labels}
    columns["price"] = Column("number", items["price"])
    rows = np.arange(N_ITEMS, dtype=np.int32)
    ever = VersionsOverTime(rows, np.full(N_ITEMS, NO_TIME), columns)
    nobody = VersionsOverTime(rows[:0], ever.begins[:0], {})
    n_users = int(events.user.max()) + 1
    past = Past(said, True, n_users, N_ITEMS, ever.begins, ever.begins, ever, nobody, {}, None)
    return past, {f"item.{name}": found for name, found in labels.items()}


def _words(letter: str, n: int) -> tuple[str, ...]:
    return tuple(f"{letter}{k:04}" for k in range(n))


def framed(
    events: EventColumns, items: dict[str, np.ndarray], said: Signals, probes: Probes
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the rival its columns, with the meaning of every event worked out."""
    bits = {"engaged": ENGAGED, "viewed": VIEWED, "converted": CONVERTED, "rated": RATED}
    flags = {name: ((said.flags & bit) > 0).astype(np.int64) for name, bit in bits.items()}
    of_item = {name: column[events.item] for name, column in items.items()}
    columns = {"user": said.user, "item": said.item, "time": said.time, "amount": said.amount}
    frame = pl.DataFrame({**columns, **flags, **of_item})
    whole = ("category", "brand")
    frame = frame.sort("time", maintain_order=True).with_columns(pl.col(whole).cast(pl.Int64))
    asked = {"user": probes.users, "item": probes.items, "time": probes.times}
    beside = {name: items[name][probes.items].astype(np.int64) for name in whole}
    return frame, pl.DataFrame({**asked, **beside}).with_row_index("row")


def agree(ours: np.ndarray, names: tuple[str, ...], theirs: pl.DataFrame) -> float:
    """See that both mean the same; returns the share of values that are equal to 1 in 10,000."""
    alike = []
    for name in theirs.columns:
        mine = ours[names.index(name)]
        other = theirs[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        same = np.isclose(mine, other, rtol=1e-4, atol=1e-3, equal_nan=True)
        alike.append(float(same.mean()))
        if alike[-1] < 0.999:
            at = np.flatnonzero(~same)[:3]
            raise SystemExit(f"{name}: {alike[-1]:.4f} alike; {mine[at]} against {other[at]}")
    return min(alike)


def three_windows(said: Signals, probes: Probes, threads: int) -> np.ndarray:
    """Count an item's events in three windows by DuckDB: running counts, and an ASOF join for each end of a window."""
    connection = duckdb.connect(config={"threads": threads})
    taken = (said.flags & ENGAGED) > 0
    connection.register("events", pa.table({"item": said.item[taken], "time": said.time[taken]}))
    edges = {f"edge_{days}": (probes.times // BUCKET - 24 * days + 1) * BUCKET for days in (1, 7, 30)}
    probed = pa.table({"k": np.arange(len(probes.items)), "item": probes.items, "time": probes.times, **edges})
    connection.register("probes", probed)
    connection.execute(
        "CREATE TEMP TABLE running AS SELECT item, time, max(n) AS n FROM (SELECT item, time, "
        "row_number() OVER (PARTITION BY item ORDER BY time) AS n FROM events) GROUP BY item, time"
    )
    found = []
    for moment in ("time", *edges):
        rows = connection.sql(
            f"SELECT k, n FROM probes p ASOF JOIN running r ON p.item = r.item AND p.{moment} > r.time"
        ).to_arrow_table()
        column = np.zeros(len(probes.items))
        column[rows["k"].to_numpy()] = rows["n"].to_numpy()
        found.append(column)
    return found[0] - np.stack(found[1:])


def tallied(past: Past, probes: Probes) -> np.ndarray:
    out = np.empty((len(ITEM_VALUES), len(probes.items)), np.float32)
    ItemTallies((24, 168, 720), 168).sweep(past.signals, probes.items, probes.times, past.since, out)
    return out


def store(folder: Path, events: EventColumns, items: dict[str, np.ndarray]) -> None:
    """Keep the same shop in a store on disk."""
    order = np.argsort(events.seq)
    names = np.array(events.types)
    columns = {
        "user": pa.array(np.char.add("u", events.user[order].astype(str))),
        "item": pa.array(np.char.add("i", events.item[order].astype(str))),
        "type": pa.array(names[events.type[order]]),
        "value": pa.array(events.value[order].astype(np.float64), from_pandas=True),
        "order": pa.array(events.time[order], pa.timestamp("us")),
    }
    pq.write_table(pa.table(columns), folder / "events.parquet")
    described = {
        "item": [f"i{k}" for k in range(N_ITEMS)],
        "category": [f"c{k:04}" for k in items["category"]],
        "brand": [f"b{k:04}" for k in items["brand"]],
        "price": items["price"].tolist(),
    }
    directory.create(folder / "shop")
    with Database.open(folder / "shop" / FILE, Storage(threads=2)) as database:
        ids = load_vocabularies(database)
        aside = folder / "shop" / directory.QUARANTINE
        ingest(database, ids, events=folder / "events.parquet", items=described, quarantine=aside, types=DEFAULT_EVENTS)


def child(folder: Path, threads: int) -> None:
    """Make the table from the store, in a process of its own, and say how much memory that took."""
    config = Config()
    start = time.perf_counter()
    with Database.open(folder / "shop" / FILE, Storage(threads=threads, memory_limit="1GB")) as database:
        wanted = defined(database, config).only(frozenset(compared()))
        past = read_past(database, config, wanted)
        read = time.perf_counter()
        taken = np.flatnonzero(past.signals.flags & ENGAGED)
        probes = Probes(past.signals.user[taken], past.signals.item[taken], past.signals.time[taken])
        labels = {"item.category": _words("c", N_CATEGORIES), "item.brand": _words("b", N_BRANDS)}
        fill(database, past, config, wanted, probes, labels, threads=threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"read": read - start, "table": time.perf_counter() - read, "peak_mb": round(peak)}))


def main() -> None:
    args = arguments(__doc__, child="", repeats=3)
    if args.child:
        child(Path(args.child), args.threads)
        return
    n = 20_000 if args.small else 1_000_000
    events, items = draw(n)
    said = signals(events, DEFAULT_EVENTS)
    past, labels = in_memory(events, items, said)
    taken = np.flatnonzero(said.flags & ENGAGED)
    probes = Probes(said.user[taken], said.item[taken], said.time[taken])
    frame, asked = framed(events, items, said, probes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store(folder, events, items)
        told = [sys.executable, "-m", "bench.features", "--child", temporary, "--threads", str(args.threads)]
        alone = json.loads(subprocess.run(told, capture_output=True, check=True, text=True).stdout)  # noqa: S603
        with Database.open(folder / "shop" / FILE) as database:
            rivals = by_polars(frame, asked)
            wanted = feature_set(Config(), past.items.columns, {}).only(frozenset(compared()))

            def ours() -> np.ndarray:
                return fill(database, past, Config(), wanted, probes, labels, threads=args.threads)

            alike = agree(ours(), wanted.names, rivals)
            del rivals
            mine, theirs = interleaved(ours, lambda: by_polars(frame, asked), repeats=args.repeats, warmup=0)
    windows = three_windows(said, probes, args.threads)
    if not np.array_equal(windows, tallied(past, probes)[:3]):
        raise SystemExit("the windows of DuckDB and of the kernel differ")
    sweep, asof = interleaved(
        lambda: tallied(past, probes), lambda: three_windows(said, probes, args.threads), repeats=args.repeats, warmup=0
    )
    report(
        "a point-in-time training table",
        args,
        events=n,
        rows=len(taken),
        columns=len(wanted.names),
        alike=alike,
        ours=summary(mine),
        polars=summary(theirs),
        faster=round(summary(theirs)["median"] / summary(mine)["median"], 2),
        item_sweep_13_values=summary(sweep),
        item_asof_3_windows=summary(asof),
        from_store=alone,
    )


if __name__ == "__main__":
    main()
