"""Transforms of features, by their formulas."""

import numpy as np

AFFINE, LOG, CURVE, TABLE, CYCLIC = range(5)
KNOTS = 256


def transform(values, constant, steps, numbers, tables, seen, width):
    """Return the matrix, rows missing by step, rows unseen by step."""
    n = values.shape[1]
    out = np.empty((n, width), np.float32)
    missing, unseen = np.zeros(len(steps), np.int64), np.zeros(len(steps), np.int64)
    for s, (op, column, columns, at, length, known) in enumerate(steps):
        default, center, scale, low, high, absent = numbers[s]
        x = np.full(n, values[s, 0]) if constant[s] and n else values[s]
        missing[s] = np.isnan(x).sum()
        x = np.where(np.isnan(x), default, x)
        if op == TABLE:
            row = np.array([length + 1 if not v >= 0 else length if v >= length else int(v) for v in x], np.int64)
            flags = seen[known : known + length + 2] if known >= 0 else np.append(np.ones(length), [0, 1])
            unseen[s] = (flags[row] == 0).sum()
            out[:, column : column + columns] = tables[at : at + (length + 2) * columns].reshape(-1, columns)[row]
            continue
        with np.errstate(all="ignore"):
            y = [curve(x, tables[at:], length)] if op == CURVE else turn(x, scale) if op == CYCLIC else None
            if y is None:
                x = np.log1p(np.clip(x, 0, np.finfo(np.float32).max).astype(np.float64)).astype(np.float32) if op == LOG else x
                y = [np.clip((x - center) * scale, low, high)]
        for c, one in enumerate(y):
            out[:, column + c] = np.where(np.isnan(x) | np.isnan(one), absent, one)
    return out, missing, unseen


def turn(x, scale):
    t = np.where(np.abs(x * scale) < 1e6, x * scale, np.nan).astype(np.float64)
    return np.sin(2 * np.pi * t), np.cos(2 * np.pi * t)


def curve(x, table, length):
    knots, ranks, slopes = table[:length], table[KNOTS : KNOTS + length], table[2 * KNOTS : 2 * KNOTS + length]
    inside = np.clip(x, knots[0], knots[-1])
    k = np.clip(np.searchsorted(knots, inside, "right") - 1, 0, length - 1)
    return ranks[k] + (inside - knots[k]) * slopes[k]
