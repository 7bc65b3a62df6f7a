"""Sources of kind `models`: what each model of the blend would recommend by itself, under the model's name."""

from recengine.algorithms.base import costly
from recengine.retrieval.deployment import Member
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32

__all__ = ("best_of",)


def best_of(member: Member, n: int) -> Find:
    """Prepare the source of one model; a costly one says what it would score."""
    model = member.scorer
    pick = model.candidates if costly(model) else member.scorer.recommend

    def find(asked: Asked) -> I32:
        return pick(asked.query, n, asked.mask, threads=asked.threads).items

    return find
