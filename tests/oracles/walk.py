"""The walk, from its definition: filter each order by the mask, cut at n, pad."""

import numpy as np


def walk(indptr, items, which, mask, n):
    out = np.full((len(which), which.shape[1] * n), -1, dtype=np.int32)
    for b, row in enumerate(which):
        for c, order in enumerate(row):
            if 0 <= order < len(indptr) - 1:
                mine = items[indptr[order] : indptr[order + 1]]
                mine = mine[(mine >= 0) & (mine < mask.shape[1])]
                kept = mine[mask[b][mine] == 1][:n]
                out[b, c * n : c * n + len(kept)] = kept
    return out
