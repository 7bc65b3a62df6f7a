"""The only door to LightGBM: train, read the model's structure, and answer from arrays of our own.

Floor 2: selection probes with it, the meta-learner learns with it. In: a matrix and outcomes. Out: a `Forest`.

Why our own arrays: LightGBM's parser crashes or hangs on damaged models (13 of 40), and its `predict` takes 1.3 ms for
200 rows. Here a model is read once, right after training, from LightGBM's own text; what is kept are arrays whose
structure is checked, and nothing of LightGBM is needed to serve. Why it is imported late: it takes 0.3 s and more, and
only training needs it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recengine.errors import EmptyData, ShapeError, TrainingFailed
from recengine.kernels.forest import Trees, predict
from recengine.types import F32, F64, I64

__all__ = ("Forest", "permutation_importance", "train")

_INDEXES = ("roots", "feature", "left", "right")
_DEFAULT_LEFT, _MISSING = 2, 12  # bits of LightGBM's decision_type
_MISSING_ZERO, _MISSING_NAN = 4, 8


class Forest:
    """Decision trees whose structure was checked; a row's score is the sum of the leaves it reaches.

    Parameters
    ----------
    n_features : columns of the matrix.

    Raises
    ------
    ShapeError : arrays of the wrong shape or dtype, a node that names what does not exist, a NaN or infinity.
    """

    def __init__(self, n_features: int, trees: Trees) -> None:
        self.n_features = n_features
        self.trees = trees
        self.predict(np.zeros((0, n_features), np.float32))
        if np.isnan(trees.threshold).any() or not np.isfinite(trees.value).all():
            raise ShapeError("threshold, value: expected numbers, got NaN or infinity")

    def predict(self, x: F32, *, threads: int = 1) -> F64:
        """Score rows: (n, n_features) float32 -> (n,) float64, the sum over trees (log-odds where trained so).

        Cost: about 2 ns a row, tree and level.
        """
        if x.ndim == 2 and x.shape[1] != self.n_features:
            raise ShapeError(f"x: expected {self.n_features} columns, got {x.shape[1]}")
        return predict(x, self.trees, threads=threads)


def train(
    x: F32,
    y: F32,
    groups: I64 | None = None,
    params: Mapping[str, float | str | bool] | None = None,
    *,
    rounds: int = 100,
    seed: int = 0,
    threads: int = 1,
) -> Forest:
    """Train boosted trees with LightGBM.

    Parameters
    ----------
    x : (n, F) float32, NaN = missing; every column is a number.
    y : (n,) float32; 0 or 1, or a grade where `groups` are given.
    groups : rows of each query, in order; with them the objective is lambdarank, without them binary.
    params : of LightGBM, by its names; they win over those here.
    rounds : trees at most.
    seed, threads : the same seed and data give the same forest, whatever the threads.

    Raises
    ------
    EmptyData : no rows or no columns.
    TrainingFailed : LightGBM refuses, or came to what is no forest of sums over numbers.

    Cost: about 1 s for 50,000 rows x 60 columns x 60 trees on 2 threads, and 0.3 s once for the import.
    """
    import lightgbm  # noqa: PLC0415 - 0.3 s that serving need not pay

    if x.size == 0:
        raise EmptyData(f"trees: nothing to learn from in a matrix of {x.shape}", hint="ingest more events")
    if len(y) != len(x) or not np.isfinite(y).all():
        finite = int(np.isfinite(y).sum())
        raise TrainingFailed(f"trees: expected {len(x)} finite outcomes, got {finite} of {len(y)}")
    settings: dict[str, Any] = {
        "objective": "binary" if groups is None else "lambdarank",
        "num_leaves": 31,
        "learning_rate": 0.1,
        **(params or {}),
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    try:
        data = lightgbm.Dataset(x, y, group=groups, params={"verbosity": -1}, free_raw_data=True)
        text = lightgbm.train(settings, data, num_boost_round=rounds).model_to_string()
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as err:
        raise TrainingFailed(f"trees: LightGBM refuses: {err}", hint="look at its parameters") from err
    return _read(text, x.shape[1])


def permutation_importance(
    forest: Forest, x: F32, y: F32, score: Callable[[F32, F64], float], *, seed: int = 0, threads: int = 1
) -> F64:
    """Measure how much `score(y, predicted)` falls where one column is shuffled (Breiman 2001, section 10).

    Returns
    -------
    (F,) float64; 0 for columns that no tree asks. On rows that were not trained on, else it flatters.

    Cost: a prediction of all rows for each column that is asked.
    """
    rng = np.random.default_rng(seed)
    whole = score(y, forest.predict(x, threads=threads))
    fall = np.zeros(x.shape[1])
    shuffled = x.copy()
    for column in range(x.shape[1]):
        order = rng.permutation(len(x))  # drawn for every column, so that the others' do not depend on what is asked
        if not (forest.trees.feature == column).any():
            continue
        shuffled[:, column] = x[order, column]
        fall[column] = whole - score(y, forest.predict(shuffled, threads=threads))
        shuffled[:, column] = x[:, column]
    return fall


def _read(text: str, n_features: int) -> Forest:
    """Read LightGBM's own text of a model: flat arrays over all trees."""
    head, *parts = text.split("\nTree=")
    if "\naverage_output" in head:
        raise TrainingFailed("trees: expected a sum of trees, got an average", hint="boosting = gbdt or dart")
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [np.zeros(0)] for name in ("roots", "threshold", "value")}
    for name in ("feature", "left", "right", "decision"):
        columns[name] = [np.zeros(0, np.int64)]
    nodes = leaves = 0
    for part in parts:
        said = dict(line.split("=", 1) for line in part.split("\n\n", 1)[0].splitlines() if "=" in line)
        if said.get("num_cat", "0") != "0" or said.get("is_linear", "0") != "0":
            raise TrainingFailed("trees: expected splits of numbers and constant leaves", hint="check the parameters")
        value = np.array(said["leaf_value"].split(), np.float64)
        split = len(value) - 1
        columns["roots"].append(np.array([nodes if split else ~leaves], np.int64))
        columns["value"].append(value)
        if split:
            columns["feature"].append(np.array(said["split_feature"].split(), np.int64))
            columns["threshold"].append(np.array(said["threshold"].split(), np.float64))
            columns["decision"].append(np.array(said["decision_type"].split(), np.int64))
            for side in ("left", "right"):
                child = np.array(said[f"{side}_child"].split(), np.int64)
                columns[side].append(np.where(child >= 0, child + nodes, child - leaves))
            nodes += split
        leaves += len(value)
    flat = {name: np.concatenate(some) for name, some in columns.items()}
    decision, threshold = flat.pop("decision"), flat["threshold"]
    if ((decision & _MISSING) == _MISSING_ZERO).any():
        raise TrainingFailed("trees: expected NaN to be what is missing, got 0", hint="leave zero_as_missing out")
    by_default = (decision & _DEFAULT_LEFT) != 0
    as_zero = (decision & _MISSING) != _MISSING_NAN  # LightGBM takes NaN for 0 where training had none
    arrays: dict[str, npt.NDArray[Any]] = {name: flat[name].astype(np.int32) for name in _INDEXES}
    arrays["default_left"] = np.where(as_zero, threshold >= 0, by_default).astype(np.uint8)
    try:
        return Forest(n_features, Trees(threshold=threshold, value=flat["value"], **arrays))
    except ShapeError as err:
        raise TrainingFailed(f"trees: LightGBM came to no forest: {err}") from err
