"""Fit the transforms of features on training rows.

Offline only: `offline/featuring.py` calls it. In: the training table, a row a feature. Out: a `Program`.
"""

from collections.abc import Mapping

import numpy as np

from recengine.errors import ShapeError
from recengine.features.definition import Feature
from recengine.features.transforms.categorical import CATEGORICAL
from recengine.features.transforms.embedding import Cooccurrences, embedding
from recengine.features.transforms.numeric import NUMERIC, untouched
from recengine.features.transforms.program import Program
from recengine.features.transforms.steps import Step, codes, refused
from recengine.features.transforms.target import target
from recengine.types import F32, I32

__all__ = ("fit_transforms",)


def fit_transforms(
    features: tuple[Feature, ...],
    values: F32,
    labels: Mapping[str, tuple[str, ...]],
    outcomes: F32 | None,
    folds: I32,
    together: Mapping[str, Cooccurrences] | None = None,
    *,
    seed: int = 0,
) -> Program:
    """Fit each feature's own transform (`Feature.transform`) and put them together.

    Parameters
    ----------
    features : S of them.
    values : (S, m) float32, NaN = missing; a category is its code.
    labels : by domain, the vocabulary.
    outcomes : (m,) float32, what target encodings predict; None = there are none.
    folds : (m,) int32 from 0 on: target encodings of a row's fold are fitted without it.
    together : by domain, for embeddings.
    seed : of the start of the embeddings.

    Raises
    ------
    ConfigInvalid : a transform does not fit its feature: a number's for a category, a category's for a number that is
        none, an embedding of a domain that nobody counted, a target encoding without outcomes.
    ShapeError : arrays of the wrong shape or dtype.

    Cost: a sort of the rows for each quantile and robust transform, else a few passes.
    """
    m = len(folds)
    if values.shape != (len(features), m) or values.dtype != np.float32:
        raise ShapeError(f"values: expected float32 ({len(features)}, {m}), got {values.dtype} {values.shape}")
    if outcomes is not None and outcomes.shape != (m,):
        raise ShapeError(f"outcomes: expected ({m},), got {outcomes.shape}")
    if m and folds.min() < 0:
        raise ShapeError(f"folds: expected numbers from 0 on, got {folds.min()}")
    steps = [
        _fit(feature, row, labels.get(feature.domain), outcomes, folds, (together or {}).get(feature.domain), seed)
        for feature, row in zip(features, values, strict=True)
    ]
    return Program.of(features, steps)


def _fit(
    feature: Feature,
    values: F32,
    labels: tuple[str, ...] | None,
    outcomes: F32 | None,
    folds: I32,
    together: Cooccurrences | None,
    seed: int,
) -> Step:
    if feature.transform == "none":
        return untouched(feature)
    if feature.default is not None:
        values = np.where(np.isnan(values), np.float32(feature.default), values)
    if feature.transform in NUMERIC:
        if feature.dtype == "category":
            raise refused(feature, "a number", "a category")
        return NUMERIC[feature.transform](feature, values)
    found, known = codes(feature, values, labels)
    if feature.transform in CATEGORICAL:
        return CATEGORICAL[feature.transform](feature, found, known)
    if feature.transform == "target":
        if outcomes is None:
            raise refused(feature, "outcomes to predict", "none")
        return target(feature, found, known, outcomes, folds)
    if together is None or feature.dtype != "category":
        raise refused(feature, "categories of items, which users' events relate", f"domain {feature.domain!r}")
    return embedding(feature, found, known, together, seed=seed)
