"""What happened to an item as of a moment, counted anew from the list of all events."""

import numpy as np

HOUR, MOMENTS, NO_TIME = 3_600_000_000, 10**14, np.iinfo(np.int64).min


def values(events, item, now, t, since, windows, half_life):
    """`events`: (item, time, flags, amount) that count; `now`: the moment reached, `t`: the moment asked for."""
    hour = now // HOUR
    ever = [(f, a) for i, _, f, a in events if i == item]
    own = [(time // HOUR, f) for i, time, f, _ in events if i == item and time >= MOMENTS]
    engaged = [h for h, f in own if f & 1]
    converted = [h for h, f in own if f & 4]
    w1, w2, w3 = ([sum(hour - w < h <= hour for h in hours) for hours in (engaged, converted)] for w in windows)
    days = [w / 24 for w in windows]
    everyone = sum(f & 1 for _, _, f, _ in events)
    rate = sum((f & 4) // 4 for _, _, f, _ in events) / everyone if everyone else np.nan
    decayed = sum(2.0**-k * sum(h // half_life == hour // half_life - k for h in engaged) for k in range(8))
    known = [h for h, _ in own] + ([since // HOUR] if since != NO_TIME and since <= t else [])
    all_ratings = [a / 1024 for _, _, f, a in events if f & 16]
    mean = sum(all_ratings) / len(all_ratings) if all_ratings else np.nan
    ratings = [a / 1024 for f, a in ever if f & 16]
    windowed = [
        *(w1[0], w2[0], w3[0], w2[1], w3[1], (w3[1] + 20 * rate) / (w3[0] + 20)),
        w2[0] / days[1] - (w3[0] - w2[0]) / (days[2] - days[1]),
        decayed,
        (hour - min(known)) / 24 if known else np.nan,
        (hour - max(engaged)) / 24 if engaged else np.nan,
    ]
    if now < MOMENTS or (events and not any(time >= MOMENTS for _, time, _, _ in events)):
        windowed = [np.nan] * 10
    e1, e2, e3, c2, c3, *rest = windowed
    timeless = ((sum(ratings) + 5 * mean) / (len(ratings) + 5), len(ratings))
    return np.array([e1, e2, e3, sum(f & 1 for f, _ in ever), c2, c3, *rest, *timeless], np.float64).astype(np.float32)


def counting(events, now):
    """Those of `events` whose hour is reached; what has no moment counts at once."""
    return [e for e in events if e[1] < MOMENTS or e[1] // HOUR <= now // HOUR]


def before(events, t):
    """Those of `events` before `t`."""
    return [e for e in events if e[1] < t]
