"""Sources of kind `models`: what each model of the blend would recommend by itself, under the model's name."""

from recengine.retrieval.deployment import Member
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32

__all__ = ("best_of",)


def best_of(member: Member, n: int) -> Find:
    """Prepare the source of one model."""

    def find(asked: Asked) -> I32:
        return member.scorer.recommend(asked.query, n, asked.mask, threads=asked.threads).items

    return find
