"""How fast are a million Parquet events ingested, against DuckDB's own INSERT ... SELECT FROM read_parquet?

The peer does less: it copies four columns into a plain table of the same file format, on disk, commit and close
included. Ingest also screens every row, maps ids to rows, decides what the order column means, and keeps nine columns.
The physical limit beside them is the peer itself: nothing on this stack writes a DuckDB file faster. Both start from an
empty database every time; rounds alternate.
"""

import shutil
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.harness import arguments, interleaved, report, summary
from recengine.config import Config, Storage
from recengine.offline.ingest import ingest
from recengine.store import directory
from recengine.store.database import FILE, Database
from recengine.store.vocab import load_vocabularies


def write_events(path: Path, n: int) -> None:
    """Draw n events: 50,000 users, 40,000 items with a long tail, ratings, seconds."""
    rng = np.random.default_rng(0)
    columns = {
        "user": rng.integers(0, 50_000, n),
        "item": (rng.zipf(1.3, n) % 40_000).astype(np.int64),
        "rating": rng.integers(1, 6, n).astype(np.float64),
        "timestamp": rng.integers(1_500_000_000, 1_600_000_000, n),
    }
    pq.write_table(pa.table(columns), path)


def main() -> None:
    args = arguments(__doc__)
    n = 20_000 if args.small else 1_000_000
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        source = home / "events.parquet"
        write_events(source, n)

        def peer() -> None:
            (home / "plain.duckdb").unlink(missing_ok=True)
            connection = duckdb.connect(str(home / "plain.duckdb"), config={"threads": args.threads})
            connection.execute('CREATE TABLE plain ("user" BIGINT, item BIGINT, rating DOUBLE, "timestamp" BIGINT)')
            start = time.perf_counter()
            connection.execute("INSERT INTO plain SELECT * FROM read_parquet($path)", {"path": str(source)})
            inside["peer"].append(time.perf_counter() - start)
            connection.close()

        def ours() -> None:
            shutil.rmtree(home / "shop", ignore_errors=True)
            directory.create(home / "shop")
            with Database.open(home / "shop" / FILE, Storage(threads=args.threads)) as database:
                ids = load_vocabularies(database)
                start = time.perf_counter()
                done = ingest(database, ids, events=source, quarantine=home / "aside", types=Config().event)
                inside["ours"].append(time.perf_counter() - start)
            assert done.sources[0].stored == n  # noqa: S101

        inside: dict[str, list[float]] = {"peer": [], "ours": []}
        interleaved(peer, ours, repeats=2 if args.small else 7)
        rivals = {name: summary(times[1:]) for name, times in inside.items()}
        ratios = [ours / peer for ours, peer in zip(inside["ours"][1:], inside["peer"][1:], strict=True)]
        report(
            "ingest",
            args,
            events=n,
            ours_seconds=rivals["ours"],
            duckdb_insert_select_seconds=rivals["peer"],
            ours_events_per_second=round(n / rivals["ours"]["median"]),
            share_of_duckdb_speed=round(1 / float(np.median(ratios)), 3),
        )


if __name__ == "__main__":
    main()
