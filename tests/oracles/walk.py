"""The walk, from its definition: filter each order by the mask, cut at n, pad."""

import numpy as np


def walk(orders, which, mask, n):
    out = np.full((len(which), which.shape[1] * n), -1, dtype=np.int32)
    for b, row in enumerate(which):
        for c, order in enumerate(row):
            if not 0 <= order < len(orders):
                continue
            items = orders[order]
            end = np.flatnonzero(items < 0)
            items = items[: end[0]] if len(end) else items
            items = items[items < mask.shape[1]]
            kept = items[mask[b][items] == 1][:n]
            out[b, c * n : c * n + len(kept)] = kept
    return out
