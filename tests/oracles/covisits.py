"""Co-visits from their definition: a dense symmetric matrix of counts, and history replayed probe by probe."""

import numpy as np


def counts(pairs, n_items):
    """`pairs`: (a, b, sign)."""
    out = np.zeros((n_items, n_items), np.int64)
    for a, b, sign in pairs:
        if a != b:
            out[a, b] += sign
            out[b, a] += sign
    return out


def strength(counted, anchors, items):
    """sum of c / sqrt(d d'), the root of the item taken out of the sum."""
    degree = counted.sum(axis=1).astype(np.float64)
    known = len(counted)
    out = np.zeros(len(items), np.float64)
    for j, item in enumerate(items):
        for x in anchors:
            if 0 <= x < known and 0 <= item < known and counted[x, item]:
                out[j] += counted[x, item] * (1 / np.sqrt(degree[x]))
        if out[j]:
            out[j] *= 1 / np.sqrt(degree[item])
    return out.astype(np.float32)


def sweep(event_users, event_items, event_times, users, items, times, n_anchors, span):
    n_items = max([*event_items, *items], default=-1) + 1
    order = sorted(range(len(event_times)), key=lambda e: event_times[e])
    out = np.zeros(len(users), np.float32)
    for p, (user, item, time) in enumerate(zip(users, items, times, strict=True)):
        trails, pairs = {}, []
        for e in order:
            if event_times[e] < time:
                trail = trails.setdefault(event_users[e], [])
                pairs += [(event_items[e], before, 1) for before in trail[-span:]]
                trail.append(event_items[e])
        anchors = dict.fromkeys(reversed(trails.get(user, [])[-n_anchors:]))
        out[p] = strength(counts(pairs, n_items), list(anchors), [item])[0]
    return out
