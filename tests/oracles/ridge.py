"""Ridge regression of items on items, from the formulas, on dense float64 matrices."""

import numpy as np


def gram(matrix):
    return matrix.T @ matrix


def ease(matrix, ridge):
    """Solve in closed form (Steck 2019, equation 8): B = I - P / diag(P), with a zero diagonal."""
    inverse = np.linalg.inv(gram(matrix) + ridge * np.eye(matrix.shape[1]))
    out = -inverse / np.diag(inverse)
    np.fill_diagonal(out, 0)
    return out


def regress(matrix, target, near, ridge):
    """Regress one column on the columns `near`."""
    some = matrix[:, near]
    return np.linalg.solve(some.T @ some + ridge * np.eye(len(near)), some.T @ matrix[:, target])


def sums(entries, matrix):
    """Add weighted rows; entries out of range, or not > 0, count nothing."""
    out = np.zeros((entries.n, matrix.shape[1]))
    for r in range(entries.n):
        for t in range(entries.indptr[r], entries.indptr[r + 1]):
            if 0 <= entries.cols[t] < len(matrix) and entries.values[t] > 0:
                out[r] += float(entries.values[t]) * matrix[entries.cols[t]].astype(np.float64)
    return out
