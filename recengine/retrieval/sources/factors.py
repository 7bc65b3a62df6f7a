"""Source `factors`: the items nearest to the user's vector, by inner product.

In factor space that is what the model itself finds best.
"""

from recengine.retrieval.deployment import Member
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32

__all__ = ("nearest_to",)


def nearest_to(member: Member, n: int) -> Find:
    """Prepare the source over a model of factors."""

    def find(asked: Asked) -> I32:
        return member.scorer.recommend(asked.query, n, asked.mask, threads=asked.threads).items

    return find
