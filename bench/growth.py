"""Measure how the time and the memory of a fit grow with the interactions, and draw it: log-log, one line a model.

Synthetic data with real degrees: users and items are drawn, with replacement, from the degrees of Gowalla's training
side, so twice the interactions are twice the users and items, as busy and as popular as there. Every fit has a process
of its own. The time is that of the processor, all threads together: on a shared machine it is the steadier figure.
The memory is the peak of the process less what it held before the fit. Limit: slope 1 is a pass over the entries.

    python -m bench.growth --json --most 10000000 --out growth.svg
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from scipy import sparse

from bench import data, harness
from recengine import config
from recengine.algorithms.registry import create
from recengine.types import Catalogue, Interactions, TrainingData

KINDS = {
    "als": lambda: config.Als(epochs=4),
    "item_knn": config.ItemKnn,
    "graph_filter": config.GraphFilter,
}
INKS = {"als": "#0072b2", "item_knn": "#d55e00", "graph_filter": "#009e73"}
"""Colours that the colour-blind tell apart (Okabe and Ito 2008); each line also has its name at its end."""
WIDE, HIGH, LEFT, TOP, INSIDE = 900, 396, 70, 46, 300


def training(rows):
    """See sparse rows as training data."""
    n_users, n_items = rows.shape
    entries = rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data, np.zeros(rows.nnz, np.int64)
    found = Interactions(n_users, n_items, *entries)
    return TrainingData(
        found, *(Catalogue(n, {}, np.ones(n, np.uint8), np.zeros(n, np.int64)) for n in (n_items, n_users)), 0
    )


def degrees(small):
    """Return the degrees of real users and items."""
    if small:
        rng = np.random.default_rng(0)
        return rng.zipf(1.7, 500).clip(5, 300), rng.zipf(1.6, 700).clip(3, 900)
    table = pq.read_table(data.require("gowalla/train.parquet"), columns=["user", "item"])
    return tuple(np.bincount(table[name].to_numpy()) for name in ("user", "item"))


def drawn(entries, of_users, of_items):
    """Draw about so many interactions: users with real degrees meet items by real popularity, each pair once."""
    rng = np.random.default_rng(entries)
    n_users = max(round(entries / of_users.mean()), 2)
    n_items = max(round(entries / of_items.mean()), 2)
    lengths = rng.choice(of_users, n_users).astype(np.int64)
    ends = np.cumsum(rng.choice(of_items, n_items).astype(np.float64))
    items = np.searchsorted(ends, rng.random(lengths.sum()) * ends[-1], side="right")
    pairs = np.unique(np.repeat(np.arange(n_users), lengths) * n_items + items)
    users, items = np.divmod(pairs, n_items)
    return sparse.csr_matrix((np.ones(len(pairs), np.float32), (users, items)), shape=(n_users, n_items))


def fitted(kind, folder, threads):
    """Fit in this process; print what it cost."""
    parts = [np.load(Path(folder) / f"{name}.npy") for name in ("values", "cols", "indptr", "shape")]
    learned_from = training(sparse.csr_matrix(tuple(parts[:3]), shape=tuple(parts[3])))
    model = create(KINDS[kind]())
    before = psutil.Process().memory_info().rss
    start, spent = time.perf_counter(), time.process_time()
    model.fit(learned_from, threads=threads)
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - spent}
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(took | {"bytes": max(peak - before, 1)}))


def measure(args):
    """Fit every model at every size; returns the points and the slopes."""
    of_users, of_items = degrees(args.small)
    sizes = [n for n in (3_000, 10_000, 30_000) if args.small] or [
        n for n in (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000) if n <= args.most
    ]
    points = {kind: [] for kind in KINDS}
    for size in sizes:
        rows = drawn(size, of_users, of_items)
        with tempfile.TemporaryDirectory() as folder:
            parts = {"values": rows.data, "cols": rows.indices, "indptr": rows.indptr, "shape": np.array(rows.shape)}
            for name, array in parts.items():
                np.save(Path(folder) / f"{name}.npy", array)
            for kind in KINDS:
                call = [sys.executable, "-m", "bench.growth", "--kind", kind, "--folder", folder]
                call += ["--threads", str(args.threads)]
                said = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
                points[kind].append({"entries": rows.nnz} | json.loads(said.stdout))
    slopes = {kind: {what: slope(found, what) for what in ("cpu_seconds", "bytes")} for kind, found in points.items()}
    return {"slopes": slopes, "points": points}


def slope(found, what):
    """Fit a straight line through the logarithms."""
    return float(np.polyfit(np.log([p["entries"] for p in found]), np.log([p[what] for p in found]), 1)[0])


def drawing(points, slopes):
    """Draw both plots as one SVG."""
    panels = [("processor seconds of a fit", "cpu_seconds", 1.0), ("peak memory of a fit, MB", "bytes", 1e6)]
    size = f'viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, (title, what, unit) in enumerate(panels):
        parts += panel(LEFT + place * (WIDE - LEFT + 30) / 2, title, points, slopes, what, unit)
    return "".join([*parts, "</svg>\n"])


def panel(left, title, points, slopes, what, unit):
    """Draw one plot: decades, a line of slope 1 to compare with, and a line a model."""
    across = [p["entries"] for found in points.values() for p in found]
    up = [p[what] / unit for found in points.values() for p in found]
    decades = [(math.floor(math.log10(min(v))), math.ceil(math.log10(max(v)))) for v in (across, up)]
    (x0, x1), (y0, y1) = [(low, max(high, low + 1)) for low, high in decades]

    def at(x, y):
        return left + INSIDE * (math.log10(x) - x0) / (x1 - x0), TOP + INSIDE * (1 - (math.log10(y) - y0) / (y1 - y0))

    yield f'<text x="{left}" y="{TOP - 22}" font-size="14">{title}</text>'
    for power in range(x0, x1 + 1):
        x, _ = at(10**power, 10**y0)
        yield f'<path d="M{x:.1f} {TOP}V{TOP + INSIDE}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{TOP + INSIDE + 17}" text-anchor="middle">1e{power}</text>'
    for power in range(y0, y1 + 1):
        _, y = at(10**x0, 10**power)
        yield f'<path d="M{left} {y:.1f}h{INSIDE}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>'
    steps = min(x1 - x0, y1 - y0)
    (ax, ay), (bx, by) = at(10**x0, 10**y0), at(10 ** (x0 + steps), 10 ** (y0 + steps))
    yield f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" stroke="#999" stroke-dasharray="4 4"/>'
    middle = f'x="{left + INSIDE / 2}" y="{TOP + INSIDE + 33}" text-anchor="middle"'
    yield f"<text {middle}>interactions (dashed: slope 1)</text>"
    for row, (kind, found) in enumerate(points.items()):
        ink, spots = INKS[kind], [at(p["entries"], p[what] / unit) for p in found]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ink}"/>' for x, y in spots)
        told = f"{kind}: slope {slopes[kind][what]:.2f}"
        yield f'<text x="{left + 10}" y="{TOP + 16 + 16 * row}" fill="{ink}">{told}</text>'


def main():
    """Run and print; or, for one model in a process of its own, fit it."""
    args = harness.arguments(__doc__, most=3_000_000, out="", kind="", folder="")
    if args.kind:
        fitted(args.kind, args.folder, args.threads)
        return
    answer = measure(args)
    if args.out:
        Path(args.out).write_text(drawing(answer["points"], answer["slopes"]), encoding="utf-8")
    harness.report("growth", args, threads=args.threads, **answer)


if __name__ == "__main__":
    main()
