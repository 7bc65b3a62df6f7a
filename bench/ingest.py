"""How fast are a million Parquet events ingested, against DuckDB's own INSERT ... SELECT FROM read_parquet.

The peer does less: it copies four columns into a plain table of the same kind of file, on disk, commit included. Ingest
also screens every row, maps ids to rows, decides what the order column means, and numbers the events. The physical
limit is the peer itself: nothing on this stack writes a DuckDB file faster. Both start from an empty database every
time, and rounds alternate. Beside the wall clock stands the CPU time, which a busy machine does not blur.
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

        wall: dict[str, list[float]] = {"peer": [], "ours": []}
        cpu: dict[str, list[float]] = {"peer": [], "ours": []}

        def note(who: str, start: tuple[float, float]) -> None:
            wall[who].append(time.perf_counter() - start[0])
            cpu[who].append(time.process_time() - start[1])

        def peer() -> None:
            (home / "plain.duckdb").unlink(missing_ok=True)
            connection = duckdb.connect(str(home / "plain.duckdb"), config={"threads": args.threads})
            connection.execute('CREATE TABLE plain ("user" BIGINT, item BIGINT, rating DOUBLE, "timestamp" BIGINT)')
            start = time.perf_counter(), time.process_time()
            connection.execute("INSERT INTO plain SELECT * FROM read_parquet($path)", {"path": str(source)})
            note("peer", start)
            connection.close()

        def ours() -> None:
            shutil.rmtree(home / "shop", ignore_errors=True)
            directory.create(home / "shop")
            with Database.open(home / "shop" / FILE, Storage(threads=args.threads)) as database:
                ids = load_vocabularies(database)
                start = time.perf_counter(), time.process_time()
                done = ingest(database, ids, events=source, quarantine=home / "aside", types=Config().event)
                note("ours", start)
            assert done.sources[0].stored == n  # noqa: S101

        interleaved(peer, ours, repeats=2 if args.small else 9)
        walls, cpus = ({who: summary(times[1:]) for who, times in of.items()} for of in (wall, cpu))
        report(
            "ingest",
            args,
            events=n,
            ours_seconds=walls["ours"],
            duckdb_insert_select_seconds=walls["peer"],
            ours_cpu_seconds=cpus["ours"],
            duckdb_insert_select_cpu_seconds=cpus["peer"],
            ours_events_per_second=round(n / walls["ours"]["median"]),
            share_of_duckdb_speed=_share(wall),
            share_of_duckdb_speed_by_cpu=_share(cpu),
        )


def _share(times: dict[str, list[float]]) -> float:
    """Compare neighbours in time, round by round, and take the median."""
    return round(float(np.median([p / o for p, o in zip(times["peer"][1:], times["ours"][1:], strict=True)])), 3)


if __name__ == "__main__":
    main()
