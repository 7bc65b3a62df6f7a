"""`[[tune]]`: which settings of a model `recengine tune` tries, and between which bounds.

Of a model for which `[[tune]]` says nothing the ranges of `RANGES` are tried: a decade or two around the defaults.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from recengine.config.models import ModelConfig

__all__ = ("FIXED", "KINDS", "RANGES", "Tune", "checked")

KINDS: Mapping[str, type[msgspec.Struct]] = {str(kind.__struct_config__.tag): kind for kind in get_args(ModelConfig)}
"""The configuration Struct of every kind of model."""
FIXED = frozenset(("kind", "name", "weight", "time_budget_ms", "confidence_threshold"))
"""What does not change what a model learns."""

Choice = bool | int | float | str


class Tune(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setting that `recengine tune` tries values of: between low and high, or one of choices."""

    model: Annotated[str, Meta(min_length=1, max_length=40, description="kind or name of a `[[model]]`")]
    key: Annotated[str, Meta(min_length=1, max_length=40, description="of that model")]
    low: float | None = None
    high: float | None = None
    scale: Annotated[Literal["linear", "log"], Meta(description="log = every factor between low and high is as likely")] = "linear"
    choices: Annotated[tuple[Choice, ...] | None, Meta(description="instead of low and high")] = None

    def __post_init__(self) -> None:
        where = f"tune of {self.model}.{self.key}"
        if self.choices is not None:
            if self.low is not None or self.high is not None or not self.choices:
                raise ValueError(f"{where}: give low and high, or at least one of choices")
            return
        if self.low is None or self.high is None or not self.low < self.high < float("inf"):
            raise ValueError(f"{where}: expected low < high, or choices")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"{where}: a log scale begins above 0, got low {self.low:g}")


def _between(model: str, key: str, low: float, high: float, scale: Literal["linear", "log"] = "log") -> Tune:
    return Tune(model=model, key=key, low=low, high=high, scale=scale)


def _among(model: str, key: str, *choices: Choice) -> Tune:
    return Tune(model=model, key=key, choices=choices)


RANGES: tuple[Tune, ...] = (
    _among("als", "factors", 32, 64, 128),
    _between("als", "regularization", 5e-4, 0.05),
    _between("als", "regularization_exponent", 0.0, 1.2, "linear"),
    _between("als", "unobserved_weight", 2e-3, 1.0),
    _among("bpr", "factors", 32, 64, 128),
    _between("bpr", "learning_rate", 0.01, 0.3),
    _between("bpr", "regularization", 1e-4, 0.1),
    _among("bpr", "hardest_of", 1, 4, 16, 32),
    _between("bpr", "popularity_exponent", 0.0, 1.0, "linear"),
    _among("svd", "factors", 16, 32, 64, 128, 256),
    _among("svd", "weighting", "plain", "tfidf", "bm25", "normalized"),
    _among("nmf", "factors", 16, 32, 64, 128),
    _among("nmf", "l2", 0.0, 1e-3, 0.01, 0.1, 1.0, 10.0),
    _among("nmf", "l1", 0.0, 1e-3, 0.01, 0.1, 1.0, 10.0),
    _among("funk_svd", "factors", 16, 32, 64, 128),
    _between("funk_svd", "learning_rate", 2e-3, 0.05),
    _between("funk_svd", "regularization", 0.01, 0.3),
    _between("ease", "regularization", 10.0, 5000.0),
    _between("graph_filter", "exponent", -0.5, 1.0, "linear"),
    _between("graph_filter", "neighbors", 50, 2000),
    _between("graph_filter", "history_exponent", 0.0, 1.0, "linear"),
    _between("graph_filter", "user_exponent", 0.0, 1.5, "linear"),
    _between("item_knn", "neighbors", 20, 500),
    _between("item_knn", "shrinkage", 0.1, 100.0),
    _among("item_knn", "weighting", "plain", "tfidf", "bm25"),
    _between("user_knn", "neighbors", 20, 500),
    _between("user_knn", "shrinkage", 0.01, 10.0),
    _among("user_knn", "weighting", "plain", "tfidf", "bm25"),
    _between("neural_cf", "learning_rate", 1e-4, 1e-2),
    _between("neural_cf", "regularization", 1e-6, 1e-2),
    _between("neural_cf", "dropout", 0.0, 0.5, "linear"),
    _between("neural_cf", "negatives", 1, 10),
    _between("popularity", "half_life_days", 1.0, 90.0),
    _between("popularity", "trending_share", 0.0, 1.0, "linear"),
)
"""Tried where `[[tune]]` says nothing of a model."""


def checked(tune: Tune, kind: type[msgspec.Struct]) -> Tune:
    """See that every value that `tune` may give fits `kind`, the Struct of its model; returns it.

    Raises
    ------
    ValueError : there is no such key, or a bound is out of its range.
    """
    keys = [key for key in kind.__struct_fields__ if key not in FIXED]
    if tune.key not in keys:
        raise ValueError(f"tune of {tune.model}: no setting {tune.key!r}; known: {', '.join(sorted(keys))}")
    for value in (tune.low, tune.high) if tune.choices is None else tune.choices:
        settings: dict[str, Any] = {"kind": kind.__struct_config__.tag, tune.key: value}
        try:
            msgspec.convert(settings, kind)
        except msgspec.ValidationError as err:
            raise ValueError(f"tune of {tune.model}.{tune.key}: {value!r} cannot be tried: {err}") from err
    return tune
