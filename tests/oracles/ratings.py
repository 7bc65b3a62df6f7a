"""One pass of gradient steps over ratings, one after the other, diagonal by diagonal of blocks."""

import numpy as np


def descend(users, items, values, x, y, *, blocks, factors, mean, rate, ridge):
    """`users` ... in any order that keeps that of each cell; x (n, factors + 1) and y: vectors, then the bias; float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    for shift in range(blocks):
        for block in range(blocks):
            for j in np.flatnonzero((users % blocks == block) & (items % blocks == (block + shift) % blocks)):
                u, i = users[j], items[j]
                error = values[j] - mean - x[u, factors] - y[i, factors] - x[u, :factors] @ y[i, :factors]
                step_x, step_y = np.append(y[i, :factors], 1.0), np.append(x[u, :factors], 1.0)
                x[u] += rate * (error * step_x - ridge * x[u])
                y[i] += rate * (error * step_y - ridge * y[i])
    return x, y
