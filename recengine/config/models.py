"""`[[model]]`: what is trained and blended, one tagged Struct an algorithm.

The Structs live here and not beside the algorithms, so that the tagged union needs no import upwards and one file is the manual.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ("Als", "ItemKnn", "ModelConfig", "Popularity", "UserKnn")

Weight = Annotated[float, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]


class Als(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="als"):
    """Implicit matrix factorisation (Hu, Koren, Volinsky 2008; Rendle et al. 2021)."""

    name: Annotated[Name, Meta(description="name in replies, reports and artifacts")] = "als"
    weight: Annotated[Weight, Meta(description="share in the blend; training overrides it when `training.tune_blend`")] = 0.4
    time_budget_ms: Annotated[float, Meta(gt=0, description="a request drops the model when it takes longer")] = 50.0
    factors: Annotated[int, Meta(ge=1, le=2048, description="length of the vectors")] = 64
    epochs: Annotated[int, Meta(ge=1, le=1000, description="sweeps over users and items")] = 16
    regularization: Annotated[float, Meta(gt=0, description="lambda, scaled by frequency ** regularization_exponent")] = 0.004
    regularization_exponent: Annotated[float, Meta(ge=0, le=2, description="nu of Rendle et al. 2021; 0 = constant, 1 = ALS-WR")] = 1.0
    unobserved_weight: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="alpha_0, the weight of what was not seen; none = 20 x density of the data, at most 0.3"),
    ] = None
    confidence: Annotated[float, Meta(gt=0, description="an entry of weight w has confidence 1 + confidence * (w - 1) for w > 0")] = 1.0
    solver: Annotated[Literal["auto", "cg", "exact"], Meta(description="auto = exact dual for short rows, CG else")] = "auto"
    cg_steps: Annotated[int, Meta(ge=1, le=100, description="conjugate gradient steps a row")] = 2
    init_std: Annotated[float, Meta(gt=0, description="spread of the start; divided by sqrt(factors)")] = 0.1


class ItemKnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="item_knn"):
    """Cosine neighbours of items over sparse rows (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

    name: Annotated[Name, Meta(description="name in replies, reports and artifacts")] = "item_knn"
    weight: Annotated[Weight, Meta(description="share in the blend")] = 0.3
    time_budget_ms: Annotated[float, Meta(gt=0, description="a request drops the model when it takes longer")] = 50.0
    neighbors: Annotated[Positive, Meta(description="neighbours kept for every item")] = 100
    shrinkage: Annotated[float, Meta(ge=0, description="added to the denominator of the cosine, in entries of mean square weight")] = 25.0
    weighting: Annotated[Literal["plain", "tfidf", "bm25"], Meta(description="how entries are weighted before the cosine")] = "tfidf"
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 500


class UserKnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="user_knn"):
    """Cosine neighbours of users over sparse rows (Resnick et al. 1994)."""

    name: Annotated[Name, Meta(description="name in replies, reports and artifacts")] = "user_knn"
    weight: Annotated[Weight, Meta(description="share in the blend")] = 0.2
    time_budget_ms: Annotated[float, Meta(gt=0, description="a request drops the model when it takes longer")] = 50.0
    neighbors: Annotated[Positive, Meta(description="neighbours kept for every user")] = 50
    shrinkage: Annotated[float, Meta(ge=0, description="added to the denominator of the cosine, in entries of mean square weight")] = 0.5
    weighting: Annotated[Literal["plain", "tfidf", "bm25"], Meta(description="how entries are weighted before the cosine")] = "tfidf"
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 500


class Popularity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="popularity"):
    """All-time, trending, latest and per-category popularity."""

    name: Annotated[Name, Meta(description="name in replies, reports and artifacts")] = "popularity"
    weight: Annotated[Weight, Meta(description="share in the blend")] = 0.1
    time_budget_ms: Annotated[float, Meta(gt=0, description="a request drops the model when it takes longer")] = 50.0
    half_life_days: Annotated[float, Meta(gt=0, description="an event counts half in trending after so many days")] = 7.0
    trending_share: Annotated[float, Meta(ge=0, le=1, description="share of trending in the score, the rest is all-time")] = 0.3


ModelConfig: TypeAlias = Als | ItemKnn | UserKnn | Popularity
