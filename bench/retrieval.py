"""Ask how fast the 100 best of 1 M vectors of 64 factors are found, at which recall, with how many bytes a vector.

Vectors are clustered and normed as ALS learns them (`bench.vectors`). Beside ours in the same process, in turns, one
query at a time: faiss `IndexFlatIP` beside the exact scans; hnswlib itself, by inner product, beside our graph at equal
recall; `IndexPQ` (16 x 8 bits) and `IndexPQFastScan` (32 x 4 bits) beside our quantizer, all at 16 bytes and with the
same number of candidates scored again in float32. Limit of a scan: its bytes, by a plain sum.

    python -m bench.retrieval --json
    python -m bench.retrieval --json --graph 0      without the graphs, whose building takes minutes
    python -m bench.retrieval --json --keep DIR     vectors and graphs stay in DIR for the next run
"""

import json
import time
from pathlib import Path

import faiss
import hnswlib
import msgspec
import numpy as np

from bench import harness
from bench.vectors import generate
from recengine.config import Index as IndexConfig
from recengine.index import projected
from recengine.index.hnsw import Hnsw
from recengine.index.int8 import Int8
from recengine.index.making import RERANKS, WIDTHS, best_of_all, load, recall
from recengine.index.narrowing import rescored
from recengine.index.pq import Pq
from recengine.kernels import quantized
from recengine.kernels.dot import dot_topk, pack

N, FACTORS = 100, 64
LINKS, EFFORT = 16, 100


def one_by_one(search, queries):
    return lambda: [search(queries[q : q + 1]) for q in range(len(queries))]


def milliseconds(runs, queries, repeats):
    timed = harness.interleaved(*(one_by_one(run, queries) for run in runs), repeats=repeats)
    return [round(1e3 * min(times) / len(queries), 4) for times in timed]


def exact(vectors, queries, truth, args):
    """Float32 and bytes, on one thread and on all."""
    packed = pack(vectors)
    plain = msgspec.structs.replace(packed, sketch=None)  # every row, every factor
    codes, flat = Int8.build(vectors), faiss.IndexFlatIP(FACTORS)
    flat.add(vectors)
    found = {"int8_recall": recall(codes.search(queries, N).items, truth)}
    for threads in sorted({1, args.threads}):
        faiss.omp_set_num_threads(threads)
        full, sketched, ours, peer = milliseconds(
            (
                lambda q, t=threads: dot_topk(q, plain, N, threads=t),
                lambda q, t=threads: dot_topk(q, packed, N, threads=t),
                lambda q, t=threads: codes.search(q, N, threads=t),
                lambda q: flat.search(q, N),
            ),
            queries[:8],
            args.repeats,
        )
        found[f"threads_{threads}"] = {
            "float32_ms": full,
            "float32_with_sketch_ms": sketched,
            "int8_ms": ours,
            "faiss_flat_ms": peer,
            "int8_times_faster_than_float32": full / ours,
            "int8_times_faster_than_faiss_flat": peer / ours,
        }
    return found


def refined(scan, vectors, many):
    """Score the candidates of a peer again, as ours are."""
    return lambda q: rescored(q, vectors, scan(q, many).astype(np.int32), N)


def quantizers(vectors, queries, truth, args):
    """16 bytes a vector: the scan alone, and recall after scoring 20 candidates for each that is wanted again."""
    start = time.perf_counter()
    ours = Pq.build(vectors, 20, threads=args.threads)
    seconds = {"ours": time.perf_counter() - start}
    peers = {"pq": faiss.IndexPQ(FACTORS, 16, 8, faiss.METRIC_INNER_PRODUCT)}
    peers["fastscan"] = faiss.IndexPQFastScan(FACTORS, 32, 4, faiss.METRIC_INNER_PRODUCT)
    sample = vectors[np.random.default_rng(0).choice(len(vectors), min(40_000, len(vectors)), replace=False)]
    faiss.omp_set_num_threads(args.threads)
    for name, peer in peers.items():
        start = time.perf_counter()
        peer.train(sample)
        peer.add(vectors)
        seconds[name] = time.perf_counter() - start
    found = {"build_seconds": seconds, "recall_by_rerank": {}}
    for rerank in [r for r in RERANKS if r <= 40]:
        many = min(N * rerank, len(vectors))
        found["recall_by_rerank"][rerank] = {
            "ours": recall(ours.with_effort(rerank).search(queries, N).items, truth),
            **{
                name: recall(refined(lambda q, k, p=peer: p.search(q, k)[1], vectors, many)(queries).items, truth)
                for name, peer in peers.items()
            },
        }
    many = min(N * 20, len(vectors))
    for threads in sorted({1, args.threads}):
        faiss.omp_set_num_threads(threads)
        names = ("ours", "pq", "fastscan")
        scans = (
            lambda q, t=threads: quantized.adc_topm(q, ours._codes, len(vectors), many, threads=t),  # noqa: SLF001
            lambda q: peers["pq"].search(q, many),
            lambda q: peers["fastscan"].search(q, many),
        )
        found[f"scan_ms_threads_{threads}"] = dict(
            zip(names, milliseconds(scans, queries[:8], args.repeats), strict=True)
        )
    return found


def directions(vectors, queries, truth, args):
    """Bytes over the principal directions, scored again whole: the fewest rows again that reach the recall."""
    found = []
    for keep in (32, 48):
        basis = projected.directions(vectors, keep)
        base = Int8.build(projected.projected(vectors, basis))
        for rerank in RERANKS:
            index = projected.Projected(vectors, basis, base, rerank)
            reached = recall(index.search(queries, N).items, truth)
            if reached >= 0.95 or rerank == RERANKS[-1]:
                break
        ms = milliseconds((lambda q, i=index: i.search(q, N),), queries[:8], args.repeats)[0]
        found.append({"directions": keep, "rerank": rerank, "recall": reached, "ms": ms, "bytes": index.bytes})
    return found


def kept(place, make, write, read):
    """Return what stands at `place` and the seconds that making it took, or make it; None = nothing is kept."""
    told = None if place is None else place.with_name(f"{place.name}.json")
    if told is not None and told.exists():
        return read(place), json.loads(told.read_text())
    start = time.perf_counter()
    made = make()
    cost = {"seconds": time.perf_counter() - start}
    if told is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        write(made, place)
        told.write_text(json.dumps(cost))
    return made, cost


def graph_of_ours(place, vectors, threads):
    def write(graph, folder):
        folder.mkdir()
        graph.save(folder)

    def make():
        return Hnsw.build(vectors, links=LINKS, effort=EFFORT, threads=threads)

    return kept(place, make, write, lambda folder: load(IndexConfig(), folder))


def graph_of_hnswlib(place, vectors, threads):
    def make():
        peer = hnswlib.Index("ip", FACTORS)
        peer.init_index(len(vectors), M=LINKS, ef_construction=EFFORT, random_seed=1)
        peer.add_items(vectors, num_threads=threads)
        return peer

    def read(file):
        peer = hnswlib.Index("ip", FACTORS)
        peer.load_index(str(file))
        return peer

    return kept(place, make, lambda peer, file: peer.save_index(str(file)), read)


def graphs(vectors, queries, truth, args):
    """Ours and hnswlib by inner product: build, then the narrowest search that reaches the recall."""
    places = [
        Path(args.keep) / f"graph-{name}-{len(vectors)}-{LINKS}-{EFFORT}" if args.keep else None
        for name in ("ours", "hnswlib")
    ]
    ours, cost = graph_of_ours(places[0], vectors, args.threads)
    peer, theirs_cost = graph_of_hnswlib(places[1], vectors, args.threads)
    found = {"links": LINKS, "effort": EFFORT, "build": {"ours": cost, "hnswlib_ip": theirs_cost}}
    found |= {"ours_bytes": ours.bytes, "ours": [], "hnswlib_ip": []}
    for width in WIDTHS:
        mine = ours.with_effort(width)
        peer.set_ef(width)
        reached = recall(mine.search(queries, N).items, truth)
        theirs = recall(peer.knn_query(queries, N)[0].astype(np.int32), truth)
        searches = (lambda q, m=mine: m.search(q, N), lambda q: peer.knn_query(q, N, num_threads=1))
        a, b = milliseconds(searches, queries[:50], args.repeats)
        found["ours"].append({"width": width, "recall": reached, "ms": a})
        found["hnswlib_ip"].append({"width": width, "recall": theirs, "ms": b})
        if min(reached, theirs) > 0.99:
            break
    for name in ("ours", "hnswlib_ip"):
        found[f"{name}_at_recall_95"] = next((one for one in found[name] if one["recall"] >= 0.95), None)
    return found


def measure(args):
    n, asked = (20_000, 50) if args.small else (args.items, 200)
    place = Path(args.keep) / f"vectors-{n}.npz" if args.keep else None

    def write(made, file):
        np.savez(file, items=made[0], queries=made[1])

    def read(file):
        arrays = np.load(file)
        return arrays["items"], arrays["queries"]

    (vectors, queries), _ = kept(place, lambda: generate(n, asked, FACTORS), write, read)
    truth = best_of_all(vectors, queries, N)
    start = time.perf_counter()
    vectors.sum()
    found = {"items": n, "factors": FACTORS, "n": N, "limit_float32_pass_ms": 1e3 * (time.perf_counter() - start)}
    found["exact"] = exact(vectors, queries, truth, args)
    found["quantized"] = quantizers(vectors, queries, truth, args)
    found["projected"] = directions(vectors, queries, truth, args)
    if args.graph:
        found["graph"] = graphs(vectors, queries, truth, args)
    return found


def main():
    args = harness.arguments(__doc__, items=1_000_000, graph=1, keep="", repeats=3)
    harness.report("retrieval", args, **measure(args))


if __name__ == "__main__":
    main()
