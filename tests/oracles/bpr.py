"""BPR step by step (Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009, figure 4), in float64, one entry after another."""

import numpy as np

BITS = (1 << 64) - 1
TRIES = 16
FOLD_KEY = 0x5851F42D4C957F2D


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & BITS
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & BITS
    return x ^ (x >> 31)


def negative(key, user, item, k, items, keep, other, taken):
    """Draw number k for (user, item) among `items`, none of `taken`; -1 after too many tries."""
    start = mix(key ^ (user << 32 | item))
    for t in range(TRIES):
        r = mix((start + 0x9E3779B97F4A7C15 * (k * TRIES + t + 1)) & BITS)
        slot = (r >> 32) * len(items) >> 32
        if len(keep) and (r & 0xFFFFFFFF) >= keep[slot]:
            slot = other[slot]
        if items[slot] not in taken:
            return int(items[slot])
    return -1


def probabilities(keep, other):
    """The chance of every slot of one alias table."""
    n = len(keep)
    out = keep / 2**32
    np.add.at(out, other, 1 - keep / 2**32)
    return out / n


def epoch(entries, users, items, tables, parts, vectors, rate, regularization, key, draws, hardest=1):
    """Step `vectors` (x, y, bias), round by round; `entries[user]` is its ascending list of (item, weight)."""
    x, y, bias = vectors
    cut = lambda rows, b: slice(len(rows) * b // parts, len(rows) * (b + 1) // parts)  # noqa: E731
    keep, other = tables
    for s in range(parts):
        for b in range(parts):
            mine = cut(items, (b + s) % parts)
            for u in users[cut(users, b)].tolist():
                for i, weight in [e for e in entries[u] if e[0] in items[mine]]:
                    for k in range(draws):
                        drawn = [negative(key, u, i, k * hardest + h, items[mine], keep[mine], other[mine], {e[0] for e in entries[u]}) for h in range(hardest)]
                        j = max((d for d in drawn if d >= 0), key=lambda d: x[u] @ y[d] + bias[d], default=-1)
                        if j < 0:
                            continue
                        a = rate * weight / (1 + np.exp(x[u] @ (y[i] - y[j]) + bias[i] - bias[j]))
                        shrink, old = 1 - rate * regularization, x[u].copy()
                        x[u] = shrink * x[u] + a * (y[i] - y[j])
                        y[i], y[j] = shrink * y[i] + a * old, shrink * y[j] - a * old
                        bias[i], bias[j] = shrink * bias[i] + a, shrink * bias[j] - a


def fold(y, bias, row, sold, tables, passes, rate, regularization, hardest=1):
    """Step one new row [(item, weight)] from zero against fixed items, by a rate that falls to 0."""
    row = sorted((i, w) for i, w in row if w > 0 and 0 <= i < len(y) and not np.isnan(y[i, 0]))
    x = np.zeros(y.shape[1]) if row else np.full(y.shape[1], np.nan)
    for q in range(passes * len(row)):
        i, weight = row[q % len(row)]
        drawn = [negative(FOLD_KEY, 0, i, q // len(row) * hardest + h, sold, *tables, {e[0] for e in row}) for h in range(hardest)]
        j = max((d for d in drawn if d >= 0), key=lambda d: x @ y[d] + bias[d], default=-1)
        if j >= 0:
            now = rate * (1 - q / (passes * len(row)))
            a = now * weight / (1 + np.exp(x @ (y[i] - y[j]) + bias[i] - bias[j]))
            x = (1 - now * regularization) * x + a * (y[i] - y[j])
    return x
