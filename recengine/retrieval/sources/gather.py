"""Asking all sources and uniting what they found: what the online stage and its offline twin call."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from recengine.kernels.pool import merge
from recengine.retrieval.sources.asked import Asked, Source
from recengine.retrieval.sources.orders import Orders
from recengine.types import I32, Mask, Pool

__all__ = ("CELLS", "Guard", "Lists", "gather", "union")

CELLS = 16_000_000
"""Cells of the mask (requests x items) that one batch may hold: 16 MB."""

Lists: TypeAlias = list[tuple[str, I32]]
"""(source name, (B, n) int32 items best first, -1 = none)."""
Guard: TypeAlias = Callable[[Source, Asked], I32 | None]
"""Asks one source; None = it has nothing, or it failed."""


def ask(source: Source, asked: Asked) -> I32 | None:
    """Ask one source; what it raises goes up."""
    return source.find(asked)


def gather(
    sources: Sequence[Source],
    asked: Asked,
    *,
    limit: int,
    needed: int = 0,
    extra: Sequence[tuple[str, I32]] = (),
    guard: Guard = ask,
) -> Pool:
    """Collect the candidates of B requests.

    Parameters
    ----------
    limit : items a row at most; where there are `extra` lists, of all that the sources found.
    needed : every row gets at least so many candidates when so many items are eligible.
    extra : lists that come first, such as pins; what is asked for by name is never cut.
    guard : asks one source.
    """
    lists: Lists = list(extra)
    for source in sources:
        found = guard(source, asked)
        if found is not None:
            lists.append((source.name, found))
    limit = max(limit, needed)
    if extra:
        limit = max(limit, sum(found.shape[1] for _, found in lists))
    return union(lists, asked.orders, asked.mask, limit=limit, needed=needed, threads=asked.threads)


def union(lists: Lists, orders: Orders, mask: Mask, *, limit: int, needed: int, threads: int = 1) -> Pool:
    """Merge lists into a pool.

    Where a row has fewer than `needed`, fill it up along the popular order, which holds every item; so it is where no
    source had anything at all, as `demographic` alone has nothing for users with a history.
    """
    if not lists:
        lists = [("fill", orders.first(orders.POPULAR, mask, needed))]
    indptr, items, sources = merge([found for _, found in lists], limit=limit, n_items=mask.shape[1], threads=threads)
    if len(indptr) > 2 or indptr[-1] < needed:  # one row that has enough, the rule, costs one comparison
        short = np.flatnonzero(np.diff(indptr) < needed)
    else:
        short = np.empty(0, np.int64)
    if len(short):
        fill = np.full((len(mask), needed), -1, np.int32)
        fill[short] = orders.first(orders.POPULAR, mask[short], needed)  # only those rows, or a batch would differ
        lists = [*lists, ("fill", fill)]
        indptr, items, sources = merge([f for _, f in lists], limit=limit, n_items=mask.shape[1], threads=threads)
    names = tuple(name for name, _ in lists)
    return Pool(indptr, items, sources, names)
