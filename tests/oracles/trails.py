"""What a user's events say at a moment, from the definitions, one value after the other."""

import math
from collections import Counter

HOUR, DAY = 3_600_000_000, 86_400_000_000
ENGAGED, VIEWED, CONVERTED, RATED = 1, 2, 4, 16
NONE = (-1, -1, math.nan)


def lane(versions, item, t):
    """(category, brand, price) of the last version that counts at t; `versions[item]` = [(time, category, brand, price)] in order."""
    held = [v[1:] for v in versions.get(item, ()) if v[0] <= t]
    return held[-1] if held else NONE


def share(part, whole):
    return part / whole if whole else math.nan


def commonest(codes):
    counts = Counter(codes)
    return min(counts, key=lambda code: (-counts[code], code)) if counts else math.nan


def visits(times, session):
    """Runs of events no more than `session` apart."""
    runs = []
    for time in times:
        if runs and time - runs[-1][-1] <= session:
            runs[-1].append(time)
        else:
            runs.append([time])
    return runs


def user(events, versions, t, timed, windows, history, session):
    """`events`: [(item, time, flags, amount)] of one user, oldest first."""
    ever = [e for e in events if e[1] < t]
    seen = ever[-history:]
    engaged = [e for e in seen if e[2] & ENGAGED]
    bought = [e for e in engaged if e[2] & CONVERTED]
    rated = [e[3] for e in seen if e[2] & RATED]
    lanes = [lane(versions, e[0], t) for e in engaged]
    categories, brands, prices = [x[0] for x in lanes if x[0] >= 0], [x[1] for x in lanes if x[1] >= 0], [x[2] for x in lanes if x[2] == x[2]]
    entropy = [n / len(categories) for n in Counter(categories).values()]
    within = [[e for e in engaged if t // HOUR - w < e[1] // HOUR] for w in windows]
    runs = visits([e[1] for e in seen], session)
    out = {
        **{f"events{k}": len(some) for k, some in enumerate(within)},
        "events": sum(1 for e in ever if e[2] & ENGAGED),
        "idle": (t // HOUR - ever[-1][1] // HOUR) / 24 if ever else math.nan,
        "tenure": (t // HOUR - ever[0][1] // HOUR) / 24 if ever else math.nan,
        "spend2": sum(e[3] for e in within[2] if e[2] & CONVERTED) / 1024,
        "spend": sum(e[3] for e in ever if e[2] & CONVERTED) / 1024,
        "conversion": share(len(bought), len(engaged)),
        "diversity": -sum(p * math.log2(p) for p in entropy) if entropy else math.nan,
        "category": commonest(categories),
        "category_share": share(categories.count(commonest(categories)), len(categories)),
        "brand": commonest(brands),
        "price": share(sum(prices), len(prices)),
        "rating": share(sum(rated) / 1024, len(rated)),
        "hours": share(sum(1 for e in engaged if e[1] // HOUR % 24 // 6 == t // HOUR % 24 // 6), len(engaged)),
        "bounce": share(sum(1 for run in runs if len(run) == 1), len(runs)),
    }
    needs_time = {"events0", "events1", "events2", "idle", "tenure", "spend2", "hours", "bounce"}
    return [math.nan if not timed and name in needs_time else value for name, value in out.items()]


def session(events, t, timed, history, length):
    """The current visit: from its first event on; none when its last event is too old."""
    if not timed:
        return [math.nan] * 5
    seen = [e for e in events if e[1] < t][-history:]
    runs = visits([e[1] for e in seen], length)
    if not runs or t - runs[-1][-1] > length:
        return [0] * 5
    own = [e[2] for e in seen[-len(runs[-1]) :] if e[2] & ENGAGED]
    views, conversions = sum(1 for f in own if f & VIEWED), sum(1 for f in own if f & CONVERTED)
    return [(t - runs[-1][0]) / HOUR, views, len(own) - sum(1 for f in own if f & (VIEWED | CONVERTED)), conversions, len(runs[-1])]


def pair(events, versions, t, timed, history, item):
    """The user with one item."""
    engaged = [e for e in [e for e in events if e[1] < t][-history:] if e[2] & ENGAGED]
    category, brand, _ = lane(versions, item, t)
    categories = [lane(versions, e[0], t)[0] for e in engaged]
    met = [e[1] for e in engaged if e[0] == item]
    like = [e[1] for e, c in zip(engaged, categories, strict=True) if c == category >= 0]
    made = [e[1] for e in engaged if lane(versions, e[0], t)[1] == brand >= 0]
    days = [(t - times[-1]) / DAY if times and timed else math.nan for times in (met, like, made)]
    known = sum(1 for c in categories if c >= 0)
    out = [len(met), days[0], len(like), share(len(like), known), days[1], len(made), days[2]]
    return [math.nan if (k in (2, 3) and category < 0) or (k == 5 and brand < 0) else value for k, value in enumerate(out)]
