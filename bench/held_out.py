"""Cut a validation part out of training data, for choices that the test part must not see.

Gowalla's published test part is no random part of its users' items: popularity alone finds Recall@20 .0412 of it, and
.0278 of a random quarter of the training data. What wins on random parts loses there. A quarter whose items are drawn
by degree ** 0.2 is as near as popularity can tell (.0404 to .0423 by seed). That one number is not blind: it follows
from a published figure of the test part, popularity's.
"""

import numpy as np
import pyarrow as pa

SHARE = 0.25
EXPONENT = 0.2


def by_popularity(
    rows: pa.Table, share: float = SHARE, exponent: float = EXPONENT, seed: int = 5
) -> tuple[pa.Table, pa.Table]:
    """Hold out `share` of every user's rows, drawn without replacement by the item's degree ** `exponent`.

    Rows are `user`, `item`; a user of one row keeps it. Returns what is left, and what is held out.
    """
    rng = np.random.default_rng(seed)
    user, item = (np.asarray(rows[name]) for name in ("user", "item"))
    key = exponent * np.log(np.bincount(item)[item]) + rng.gumbel(size=len(item))  # Efraimidis and Spirakis 2006
    order = np.lexsort((key, user))
    counts = np.bincount(user)
    held = np.where(counts > 1, np.maximum(1, np.rint(share * counts)), 0).astype(np.int64)
    last = np.empty(len(user), np.bool_)
    last[order] = np.arange(len(user)) >= (np.cumsum(counts) - held)[user[order]]
    return rows.filter(pa.array(~last)), rows.filter(pa.array(last))


def without_last(log: pa.Table, user: str, order: str) -> pa.Table:
    """Leave out the last row of every user: what leave-last-out judges by."""
    ranked = log.append_column("row", pa.array(np.arange(len(log)))).sort_by(
        [(user, "ascending"), (order, "ascending"), ("row", "ascending")]
    )
    who = np.asarray(ranked[user])
    kept = np.append(who[1:] == who[:-1], False) if len(who) else np.empty(0, np.bool_)
    return ranked.filter(pa.array(kept)).drop_columns(["row"])
