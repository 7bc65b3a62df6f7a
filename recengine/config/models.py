"""`[[model]]`: what is trained and blended, one tagged Struct an algorithm.

The Structs live here and not beside the algorithms, so that the tagged union needs no import upwards and one file is the manual.
"""

import math
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ("Als", "Bpr", "Ease", "FunkSvd", "GraphFilter", "ItemKnn", "ModelConfig", "NeuralCf", "Nmf", "Popularity", "Svd", "UserKnn")

Weight = Annotated[float, Meta(ge=0, le=100, description="share in the blend; training overrides it when `training.tune_blend`")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="name in replies, reports and artifacts")]
Budget = Annotated[float, Meta(gt=0, description="a request drops the model when it takes longer")]
Confidence = Annotated[float, Meta(ge=0, lt=1, description="below this P(engaged) the model abstains; items that no model wants only fill replies up")]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Epochs = Annotated[int, Meta(ge=1, le=10_000)]
Factors = Annotated[int, Meta(ge=1, le=2048, description="length of the vectors")]


class Finite(msgspec.Struct, frozen=True):
    """Settings that refuse infinity, which TOML can write and no range of a type excludes."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, got {value}")


class Als(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="als"):
    """Implicit matrix factorisation (Hu, Koren, Volinsky 2008; Rendle et al. 2021)."""

    name: Name = "als"
    weight: Weight = 0.4
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    epochs: Annotated[Epochs, Meta(description="sweeps over users and items")] = 16
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


class Bpr(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="bpr"):
    """Matrix factorisation that ranks pairs (Rendle et al. 2009), by gradient steps over disjoint blocks of users and items."""

    name: Name = "bpr"
    weight: Weight = 0.2
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    epochs: Annotated[Epochs, Meta(description="passes over the entries")] = 100
    learning_rate: Annotated[float, Meta(gt=0, le=10, description="length of the first gradient steps; it falls to 0 over the epochs")] = 0.1
    regularization: Annotated[float, Meta(ge=0, description="L2 on the vectors that a step touches")] = 0.01
    negatives: Annotated[int, Meta(ge=1, le=100, description="negatives of a positive")] = 1
    hardest_of: Annotated[int, Meta(ge=1, le=64, description="a negative is the best scored of so many draws; 1 = the plain loss")] = 16
    popularity_exponent: Annotated[float, Meta(ge=0, le=1, description="negatives are drawn by popularity ** this; 0 = uniform")] = 0.0


class Svd(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="svd"):
    """Truncated singular value decomposition: PureSVD (Cremonesi et al. 2010), randomized (Halko, Martinsson, Tropp 2011)."""

    name: Name = "svd"
    weight: Weight = 0.2
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    weighting: Annotated[Literal["plain", "tfidf", "bm25", "normalized"], Meta(description="how entries are weighted before; normalized = by the degrees of user and item")] = "normalized"
    oversampling: Annotated[int, Meta(ge=0, le=1000, description="random directions beyond `factors`")] = 16
    iterations: Annotated[int, Meta(ge=0, le=100, description="power iterations")] = 4


class FunkSvd(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="funk_svd"):
    """Explicit ratings: biases and factors by gradient descent (Funk 2006; Koren, Bell, Volinsky 2009). It predicts ratings; it is not made to rank."""

    name: Name = "funk_svd"
    weight: Weight = 0.0
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    epochs: Annotated[Epochs, Meta(description="passes over the ratings")] = 60
    learning_rate: Annotated[float, Meta(gt=0, le=10, description="length of the first gradient steps; it falls to 0 along a line")] = 0.02
    regularization: Annotated[float, Meta(ge=0, description="L2 on vectors and biases, a rating")] = 0.1


class Nmf(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="nmf"):
    """Non-negative matrix factorisation by coordinate descent (Cichocki and Phan 2009; Hsieh and Dhillon 2011)."""

    name: Name = "nmf"
    weight: Weight = 0.2
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    weighting: Annotated[Literal["plain", "tfidf", "bm25", "normalized"], Meta(description="as for svd")] = "normalized"
    epochs: Annotated[Epochs, Meta(description="sweeps over both sides")] = 50
    l2: Annotated[float, Meta(ge=0, description="L2 on the vectors")] = 0.0
    l1: Annotated[float, Meta(ge=0, description="L1 on the vectors: sparser parts")] = 0.0
    tolerance: Annotated[float, Meta(ge=0, description="stop when a sweep lowers the loss by less than this share")] = 1e-4


class Ease(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ease"):
    """Linear item-item weights in closed form (Steck 2019); sparse approximate inverse for large catalogues (after Spisak et al. 2023, SANSA)."""

    name: Name = "ease"
    weight: Weight = 0.3
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    regularization: Annotated[float, Meta(gt=0, description="lambda on the diagonal of the Gram matrix")] = 250.0
    inverse: Annotated[Literal["auto", "exact", "sparse"], Meta(description="auto = exact up to `exact_up_to` items")] = "auto"
    exact_up_to: Annotated[Positive, Meta(description="items whose weights are solved and kept dense: 6,000 take 144 MB, and 430 MB while they are made")] = 6_000
    neighbors: Annotated[Positive, Meta(description="weights kept of every item in the sparse form")] = 50
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 1000


class GraphFilter(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="graph_filter"):
    """Low-pass filter on the normalised graph of users and items, without training (Shen et al. 2021, GF-CF)."""

    name: Name = "graph_filter"
    weight: Weight = 0.4
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    exponent: Annotated[float, Meta(ge=-1, le=1, description="popular items weigh degree ** this in the answer")] = 0.2
    history_exponent: Annotated[float, Meta(ge=0, le=1, description="popular items of a history weigh degree ** -this")] = 0.2
    user_exponent: Annotated[float, Meta(ge=0, le=2, description="busy users weigh degree ** -this; 1 = the normalised graph")] = 0.7
    neighbors: Annotated[Positive, Meta(description="weights kept of every item")] = 500
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 1000


class ItemKnn(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="item_knn"):
    """Cosine neighbours of items over sparse rows (Sarwar et al. 2001; Deshpande and Karypis 2004)."""

    name: Name = "item_knn"
    weight: Weight = 0.3
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    neighbors: Annotated[Positive, Meta(description="neighbours kept for every item")] = 100
    shrinkage: Annotated[float, Meta(ge=0, description="added to the denominator of the cosine, in entries of mean square weight")] = 25.0
    weighting: Annotated[Literal["plain", "tfidf", "bm25"], Meta(description="how entries are weighted before the cosine")] = "tfidf"
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 500


class UserKnn(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="user_knn"):
    """Cosine neighbours of users over sparse rows (Resnick et al. 1994)."""

    name: Name = "user_knn"
    weight: Weight = 0.2
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    neighbors: Annotated[Positive, Meta(description="neighbours kept for every user")] = 50
    shrinkage: Annotated[float, Meta(ge=0, description="added to the denominator of the cosine, in entries of mean square weight")] = 0.5
    weighting: Annotated[Literal["plain", "tfidf", "bm25"], Meta(description="how entries are weighted before the cosine")] = "tfidf"
    history_limit: Annotated[Positive, Meta(description="latest items of a user that count, in training and serving")] = 500


class NeuralCf(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="neural_cf"):
    """Product of embeddings and a perceptron (He et al. 2017), started from ALS; trained with the extra `train`, scored by ONNX Runtime."""

    name: Name = "neural_cf"
    weight: Weight = 0.2
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.5
    factors: Factors = 64
    layers: Annotated[tuple[Annotated[int, Meta(ge=1, le=4096)], ...], Meta(min_length=1, max_length=8, description="widths of the hidden layers")] = (128, 64, 32)
    dropout: Annotated[float, Meta(ge=0, lt=1, description="share of units left out in training")] = 0.2
    regularization: Annotated[float, Meta(ge=0, description="L2: of layers towards 0, of embeddings towards their start")] = 0.001
    batch: Annotated[Positive, Meta(description="positives of one step")] = 1024
    epochs: Annotated[Epochs, Meta(description="passes at most; training stops early")] = 100
    learning_rate: Annotated[float, Meta(gt=0, le=10, description="of Adam")] = 0.001
    validation_share: Annotated[float, Meta(ge=0, lt=0.9, description="share of the users held out for early stopping; 0 = all epochs")] = 0.2
    patience: Annotated[int, Meta(ge=1, le=1000, description="epochs without a better NDCG of the held-out users before it stops")] = 3
    negatives: Annotated[int, Meta(ge=1, le=100, description="negatives of a positive")] = 5
    shortlist: Annotated[Positive, Meta(description="candidates it scores, the best by the dot products it started from; the others are not scored")] = 200


class Popularity(Finite, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="popularity"):
    """All-time, trending, latest and per-category popularity."""

    name: Name = "popularity"
    weight: Weight = 0.1
    time_budget_ms: Budget = 50.0
    confidence_threshold: Confidence = 0.3
    half_life_days: Annotated[float, Meta(gt=0, description="an event counts half in trending after so many days")] = 7.0
    trending_share: Annotated[float, Meta(ge=0, le=1, description="share of trending in the score, the rest is all-time")] = 0.3


ModelConfig: TypeAlias = Als | Bpr | Ease | FunkSvd | GraphFilter | ItemKnn | NeuralCf | Nmf | Popularity | Svd | UserKnn
