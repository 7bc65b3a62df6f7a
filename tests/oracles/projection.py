"""Principal directions from the singular value decomposition, and a search in them, written from the formulas."""

import numpy as np


def directions(rows, keep):
    """The first right singular vectors (d, keep): the projection of least squared residual (Eckart and Young 1936)."""
    return np.linalg.svd(rows.astype(np.float64), full_matrices=False)[2][:keep].T


def search(rows, queries, keep, n, many):
    """The n best by whole inner product among the `many` best by projected inner product; ties to the lower row."""
    basis = directions(rows, keep)
    near = (queries @ basis) @ (rows @ basis).T
    found = []
    for q, scores in enumerate(near):
        some = np.argsort(-scores, kind="stable")[:many]
        whole = rows[some] @ queries[q]
        found.append(some[np.lexsort((some, -whole))][:n])
    return np.array(found)
