"""Make item and user vectors as ALS learns them, of any number: clustered, with a few long ones; not Gaussian noise.

Made to these statistics of real factors (Gowalla, 40,981 items, 64 factors, the defaults of `als`), and what comes out
at the same size (`statistics` describes both alike): the norms by quantiles; directions
in regions, districts within them, and items within these, so that the cosine to the neighbours of rank 1, 10, 100 and
1,000 is .93 .89 .83 .40; the norms of users; and how near a user's direction is to its best 100 (.38 .70 .97 by the
quantiles .05 .5 .95).

Where they are harder at equal size: lengths are drawn without regard to place (the logarithms of neighbours' norms
correlate by .00, Gowalla's by .58), directions within a district by noise in all factors (the intrinsic dimension of
ten neighbours is 30, Gowalla's 15), and .24 of the rows are nobody's near neighbour (Gowalla .06). One graph by padded
distance finds .70 of the best 100 here at width 200, .89 of Gowalla's.
"""

import numpy as np

AT = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)
ITEM_NORMS = (0.074, 0.408, 0.537, 0.600, 0.685, 0.818, 1.003, 1.523, 2.116, 2.89)
USER_NORMS = (0.316, 0.404, 0.473, 0.541, 0.664, 0.853, 1.07, 1.617, 2.05, 2.653)
REGIONS, DISTRICT = 64, 160
"""Regions whatever the number of items, and items of a district: more items fill regions, and districts cover them."""


def _noise(rng, n, d, lengths):
    lengths = np.asarray(lengths, np.float32) / np.float32(d**0.5)
    return rng.standard_normal((n, d), dtype=np.float32) * lengths[:, None]


def _unit(x):
    return x / np.linalg.norm(x, axis=1)[:, None]


def generate(n_items, n_queries, d=64, seed=0):
    """Return items (n_items, d) and queries (n_queries, d), float32."""
    rng = np.random.default_rng(seed)
    regions = np.linalg.qr(_noise(rng, max(REGIONS, d), d, np.ones(max(REGIONS, d))))[0][:REGIONS]
    shares = rng.lognormal(0, 0.4, REGIONS)
    n_districts = max(n_items // DISTRICT, 1)
    of_district = rng.choice(REGIONS, n_districts, p=shares / shares.sum())
    districts = _unit(regions[of_district] + _noise(rng, n_districts, d, 0.5 * rng.lognormal(0, 0.5, n_districts)))
    sizes = rng.lognormal(0, 0.8, n_districts)
    own = rng.choice(n_districts, n_items, p=sizes / sizes.sum())
    items = _unit(districts[own] + _noise(rng, n_items, d, 0.36 * rng.lognormal(0, 0.5, n_items)))
    items *= np.interp(rng.random(n_items), AT, ITEM_NORMS).astype(np.float32)[:, None]
    home = rng.choice(n_districts, n_queries, p=sizes / sizes.sum())
    away = rng.choice(n_districts, n_queries, p=sizes / sizes.sum())
    second = (rng.random(n_queries) ** 2)[:, None].astype(np.float32)
    own = _noise(rng, n_queries, d, 0.4 * rng.lognormal(0, 0.5, n_queries))
    queries = _unit(districts[home] + second * districts[away] + own)
    queries *= np.interp(rng.random(n_queries), AT, USER_NORMS).astype(np.float32)[:, None]
    return items.astype(np.float32), queries.astype(np.float32)


def statistics(items, queries, seed=0):
    """Describe them as the docstring does."""
    rng = np.random.default_rng(seed)
    norms, directions = np.linalg.norm(items, axis=1), _unit(items)
    near = -np.sort(-(directions[rng.choice(len(items), 200)] @ directions.T), axis=1)
    some = queries[rng.choice(len(queries), min(200, len(queries)), replace=False)]
    scores = some @ items.T
    best = np.argsort(-scores, axis=1)[:, :100]
    rank = norms.argsort().argsort() / len(norms)
    spectrum = np.linalg.eigvalsh(items.T @ items)[::-1]
    towards = np.einsum("qd,qkd->qk", _unit(some), directions[best])
    ranked = -np.sort(-scores, axis=1) / np.linalg.norm(some, axis=1)[:, None]
    return {
        "norms": np.quantile(norms, (0.1, 0.5, 0.9, 0.99)),
        "spectrum_of_1_8_22_64": (spectrum / spectrum.sum())[[0, 7, 21, -1]],
        "cosine_of_neighbours_1_10_100_1000": np.median(near[:, [1, 10, 100, 1000]], axis=0),
        "norm_rank_of_best_100": np.quantile(rank[best], (0.01, 0.1, 0.5, 0.9)),
        "cosine_to_best_100": np.quantile(towards, (0.05, 0.5, 0.95)),
        "score_of_1_10_100_1000": np.median(ranked[:, [0, 9, 99, 999]], axis=0),
    }
