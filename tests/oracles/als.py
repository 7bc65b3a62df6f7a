"""ALS from its normal equations, dense and in float64 (Hu, Koren, Volinsky 2008; Rendle, Krichene, Zhang, Koren 2021, eq. 4)."""

import numpy as np


def confidences(weights, confidence):
    w = np.asarray(weights, dtype=np.float64)
    return np.where(w > 0, np.maximum(1 + confidence * (w - 1), 1e-3), -w), (w > 0).astype(np.float64)


def solve_rows(fixed, indptr, items, weights, unobserved, confidence, regularization, unseen, exponent, cold=np.nan):
    """Solve every row against the plain (unrotated) `fixed`; entries whose factor is NaN or absent are left out."""
    fixed = np.asarray(fixed, dtype=np.float64)
    gram = np.nan_to_num(fixed).T @ np.nan_to_num(fixed)
    out = np.full((len(indptr) - 1, fixed.shape[1]), cold)
    for row in range(len(indptr) - 1):
        mine, w = items[indptr[row] : indptr[row + 1]], weights[indptr[row] : indptr[row + 1]]
        usable = (mine >= 0) & (mine < len(fixed)) & (w != 0)
        usable[usable] &= ~np.isnan(fixed[mine[usable], 0])
        z, (c, p) = fixed[mine[usable]], confidences(w[usable], confidence)
        if p.any():
            ridge = regularization * (len(z) + unseen) ** exponent
            a = unobserved * gram + ridge * np.eye(len(gram)) + z.T @ (z * c[:, None])
            out[row] = np.linalg.solve(a, z.T @ (c * p))
    return out


def objective(users, items, matrix, unobserved, confidence, regularization, exponent):
    """The loss over a dense `matrix` of weights (0 = not observed); rows and columns without entries do not count in the scaling."""
    scores = users @ items.T
    seen = matrix != 0
    c, p = confidences(np.where(seen, matrix, 1.0), confidence)
    loss = (np.where(seen, c, 0.0) * (scores - p) ** 2).sum() + unobserved * (scores**2).sum()
    for side, n, others in ((users, seen.sum(1), seen.any(0).sum()), (items, seen.sum(0), seen.any(1).sum())):
        loss += regularization * ((n + unobserved * others) ** exponent * (side**2).sum(1)).sum()
    return loss
