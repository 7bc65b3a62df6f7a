"""A forest of decision trees, row by row."""

import numpy as np


def predict(x, roots, feature, threshold, left, right, default_left, value):
    out = np.zeros(len(x))
    for r, row in enumerate(x):
        for root in roots:
            node = root
            while node >= 0:
                at = row[feature[node]]
                goes_left = default_left[node] if np.isnan(at) else float(at) <= threshold[node]
                node = left[node] if goes_left else right[node]
            out[r] += value[~node]
    return out
