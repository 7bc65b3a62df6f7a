"""Source `factors`: the items nearest to the user's vector, by inner product.

In factor space that is what the model itself finds best. Where the deployment has an index it is asked in place of the
model, which would score every item.
"""

from recengine.algorithms.base import Factors
from recengine.index import Index
from recengine.retrieval.deployment import Member
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32

__all__ = ("nearest_to",)


def nearest_to(member: Member, n: int, index: Index | None) -> Find:
    """Prepare the source over a model of factors; `index` is over its items, None = it scans them itself."""
    scorer = member.scorer

    def find(asked: Asked) -> I32:
        return scorer.recommend(asked.query, n, asked.mask, threads=asked.threads).items

    if index is None or not isinstance(scorer, Factors):
        return find
    factors, neighbours = scorer, index

    def search(asked: Asked) -> I32:
        vectors = factors.query_vectors(asked.query, threads=asked.threads)
        return neighbours.search(vectors, n, asked.mask, threads=asked.threads).items

    return search
