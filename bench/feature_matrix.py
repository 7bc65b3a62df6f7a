"""What does it cost to turn one user and 1,000 candidates into the model's matrix, live?

CPU microseconds of one thread (`thread_time`), median over users drawn at random, on the demo shop (5,000 users, 2,000
items, 200,000 events), trained.

all        the 40 features that selection keeps by default, as `FeatureService.matrix` gives them to a model: `hit`
           where the user's row was kept from a request before, `miss` where it had to be computed.
few        the same of a deployment trained with `features.keep = 12`.
baseline   a matrix put together from a dict an item of values that are computed already, as the client of a feature
           store in Python does it: the assembly alone, without counts, pairs or transforms.
limit      writing the matrix: a copy of as many bytes.
fold       what an event costs the fold besides, in groups of 1 and of 32.

    python -m bench.feature_matrix --json
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from bench import harness, shops
from recengine import Engine, Request
from recengine.config import Config
from recengine.features.state import EventState
from recengine.types import EventColumns, Pool

CANDIDATES = 1_000
BUDGET = {"live": 40, "all": 150}
"""Microseconds, by the design."""
START = 1_780_000_000_000_000


def timed(runs: Sequence[Callable[[], Any]]) -> float:
    """Median CPU microseconds of a call."""
    times = []
    for run in runs:
        start = time.thread_time_ns()
        run()
        times.append((time.thread_time_ns() - start) / 1e3)
    return round(statistics.median(times), 1)


def matrices(engine: Engine, requests: int) -> dict[str, float]:
    """Measure the whole way, and its rivals."""
    spine = engine.spine()
    users = shops.some(engine.users(), requests)
    contexts = [spine.context.one(Request(user_id=user)) for user in users]
    rng, n_items = np.random.default_rng(0), contexts[0].items.n
    size = min(CANDIDATES, n_items)
    drawn = [np.sort(rng.choice(n_items, size, replace=False)).astype(np.int32) for _ in range(16)]
    pools = [Pool(np.array([0, size], np.int64), items, np.zeros(size, np.uint32), ()) for items in drawn]
    runs = [partial(spine.features.matrix, context, pools[k % 16]) for k, context in enumerate(contexts)]
    spine.features.matrix(contexts[0], pools[0])
    found = {"miss_us": timed(runs[1:]), "hit_us": timed(runs)}

    names = spine.features.fitted().features.names
    values = spine.features.values(contexts[0], drawn[0])
    rows = [dict(zip(names, column, strict=True)) for column in values.T.tolist()]
    matrix = spine.features.matrix(contexts[0], pools[0])
    found["baseline_us"] = timed([lambda: np.array([[row[name] for name in names] for row in rows], np.float32)] * 30)
    found["limit_us"] = timed([matrix.copy] * 200)
    return found | {"features": len(names), "width": matrix.shape[1], "candidates": size}


def folds(config: Config, events: int) -> dict[str, float]:
    """CPU microseconds an event of what the fold does for features."""
    rng, out = np.random.default_rng(1), {}
    for group in (1, 32):
        counted, blocks = EventState(config), []
        for at in range(0, events, group):
            user = np.sort(rng.integers(0, 5_000, group)).astype(np.int32)
            item = rng.integers(0, 2_000, group).astype(np.int32)
            code, value = np.zeros(group, np.int16), np.full(group, np.nan, np.float32)
            moment = np.full(group, START + 1_000_000 * at, np.int64)
            blocks.append(EventColumns(np.arange(at, at + group), user, item, code, value, moment, ("view",)))
        start = time.thread_time_ns()
        for block in blocks:
            counted.apply(block, now=int(block.time[0]))
        out[f"fold_of_{group}_us"] = round((time.thread_time_ns() - start) / 1e3 / events, 2)
    return out


def main() -> None:
    """Run the bench."""
    args = harness.arguments(__doc__, keep="")
    requests, events = (30, 640) if args.small else (600, 12_800)
    with shops.demo(args.keep, small=args.small) as engine:
        every, fold = matrices(engine, requests), folds(engine.config, events)
        few = other(engine, requests)
    harness.report("feature_matrix", args, budget_us=BUDGET, all=every, few=few, **fold)


def other(engine: Engine, requests: int) -> dict[str, float]:
    """Train once more with few features, measure, and go back."""
    features = msgspec.structs.replace(engine.config.features, keep=12)
    engine.close()
    with Engine.open(engine.path, config=msgspec.structs.replace(engine.config, features=features)) as again:
        again.train(force=True)
        found = matrices(again, requests)
        again.rollback()
    return found


if __name__ == "__main__":
    main()
