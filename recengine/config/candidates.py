"""`[[candidates]]`: where the items that are worth scoring come from, one tagged Struct a kind of source.

The precomputed orders (popular, trending, latest, category) have no `time_budget_ms`: walking one costs microseconds.
The old form, one table `[candidates]` with a key a source, is translated in the error it gives (`translated`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

__all__ = (
    "DEFAULT_CANDIDATES",
    "Alike",
    "BestOfModels",
    "CandidateConfig",
    "FactorNeighbors",
    "InCategories",
    "LatestItems",
    "MostPopular",
    "OfSimilarUsers",
    "SimilarToLast",
    "TrendingItems",
    "favourites",
    "translated",
)

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="what found an item, in traces and reports")]
Budget = Annotated[float, Meta(gt=0, description="a request leaves the source out when it takes longer")]
Count = Annotated[int, Meta(ge=1, le=100_000)]
Most = Annotated[Count, Meta(description="items at most")]


class OfSimilarUsers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="similar_users"):
    """Latest items of similar users, those of many and of the most similar first; needs a model `user_knn`."""

    name: Name = "similar_users"
    n: Most = 100
    users: Annotated[Count, Meta(description="similar users that count; at most the model's `neighbors` are known")] = 50
    similarity: Annotated[float, Meta(ge=0, lt=1, description="a user counts who is more similar than this")] = 0.1
    per_user: Annotated[Count, Meta(description="latest items of each similar user")] = 20
    time_budget_ms: Budget = 50.0


class SimilarToLast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="similar_items"):
    """Items similar to the last ones that the user liked; needs a model `item_knn`."""

    name: Name = "similar_items"
    n: Most = 100
    last: Annotated[Count, Meta(description="latest liked items that count")] = 10
    per_item: Annotated[Count, Meta(description="most similar items of each")] = 20
    time_budget_ms: Budget = 50.0


class FactorNeighbors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="factors"):
    """Nearest items to the user in the vectors of the first model that has factors, through `[index]`."""

    name: Name = "factors"
    n: Most = 100
    time_budget_ms: Budget = 50.0


class BestOfModels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="models"):
    """Best items of every personal model; each is a source under its own name, with the model's own `time_budget_ms`."""

    name: Name = "models"
    per_model: Annotated[Count, Meta(description="best items of each model")] = 100


class InCategories(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="category"):
    """Most popular items in each of the categories that the user likes most."""

    name: Name = "category"
    per_category: Annotated[Count, Meta(description="items of each category")] = 30
    categories: Annotated[int, Meta(ge=1, le=1000, description="categories of the user that count")] = 5


class MostPopular(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="popular"):
    """All-time popular items."""

    name: Name = "popular"
    n: Most = 100


class TrendingItems(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="trending"):
    """Items that are popular lately."""

    name: Name = "trending"
    n: Most = 50


class LatestItems(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="latest"):
    """Newest items."""

    name: Name = "latest"
    n: Most = 20


class Alike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="demographic"):
    """Liked by users with the same attributes; for cold users."""

    name: Name = "demographic"
    n: Most = 200
    time_budget_ms: Budget = 50.0


CandidateConfig: TypeAlias = (
    OfSimilarUsers | SimilarToLast | FactorNeighbors | BestOfModels | InCategories | MostPopular | TrendingItems | LatestItems | Alike
)

DEFAULT_CANDIDATES = (BestOfModels(), Alike(), MostPopular(), TrendingItems(), LatestItems(), InCategories())

_FORMER = {
    "per_model": (BestOfModels, "per_model"),
    "demographic": (Alike, "n"),
    "popular": (MostPopular, "n"),
    "trending": (TrendingItems, "n"),
    "latest": (LatestItems, "n"),
    "per_category": (InCategories, "per_category"),
}
"""Keys of the old `[candidates]`: each said how many items a source brings, 0 = none."""


def favourites(candidates: tuple[CandidateConfig, ...]) -> int:
    """Return how many of the user's categories any source looks at."""
    return max((config.categories for config in candidates if isinstance(config, InCategories)), default=0)


def translated(former: Mapping[str, Any]) -> str:
    """Say what to write today instead of the old table `[candidates]`."""
    entries = []
    for key, (kind, name) in _FORMER.items():
        value = former.get(key, msgspec.structs.asdict(kind())[name])  # what was left out takes today's default
        if value != 0:
            more = f", categories = {former['categories']}" if kind is InCategories and "categories" in former else ""
            entries.append(f'{{kind = "{kind.__struct_config__.tag}", {name} = {value}{more}}}')
    pool = f"; and `pool = {former['limit']}` under `[serving]`" if "limit" in former else ""
    return f"above all tables `candidates = [{', '.join(entries)}]`{pool}"
