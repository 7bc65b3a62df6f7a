"""Every registered algorithm against every law, on two fixed data sets and on whatever hypothesis draws."""

import typing

import pytest
from hypothesis import given, settings

from recengine import config
from recengine.algorithms.base import Scorer, Trainable
from recengine.algorithms.registry import ALGORITHMS
from tests import strategies as make_data
from tests.laws import learning, likeness, lists
from tests.laws.asking import arrays
from tests.laws.neural import MAKERS

LAWS = lists.LAWS | learning.LAWS | likeness.LAWS
CONFIGS = {str(c.__struct_config__.tag): c for c in typing.get_args(config.ModelConfig)}

VARIANTS = [
    ("popularity", {}),
    ("popularity", {"trending_share": 1.0, "half_life_days": 0.5}),
    ("item_knn", {}),
    ("item_knn", {"neighbors": 2, "weighting": "bm25", "shrinkage": 0.0}),
    ("item_knn", {"history_limit": 2, "weighting": "plain"}),
    ("user_knn", {}),
    ("user_knn", {"neighbors": 2, "weighting": "bm25", "shrinkage": 0.0}),
    ("user_knn", {"history_limit": 2, "weighting": "plain"}),
    ("ease", {"regularization": 3.0}),
    ("ease", {"inverse": "sparse", "neighbors": 4, "regularization": 3.0}),
    ("graph_filter", {}),
    ("graph_filter", {"neighbors": 2, "exponent": -1.0}),
    ("graph_filter", {"exponent": 1.0, "history_limit": 2}),
    ("neural_cf", {"factors": 16, "layers": (16, 8), "epochs": 2}),
    ("neural_cf", {"factors": 5, "layers": (8,), "epochs": 2, "validation_share": 0.0, "batch": 32, "learning_rate": 0.05}),
    ("als", {"factors": 16, "epochs": 4}),
    ("als", {"factors": 5, "epochs": 3, "solver": "cg", "regularization_exponent": 0.0}),
    ("als", {"factors": 7, "epochs": 3, "solver": "exact", "confidence": 3.0}),
    ("bpr", {"epochs": 20}),
    ("bpr", {"factors": 5, "epochs": 5, "negatives": 3, "hardest_of": 1, "popularity_exponent": 0.5}),
    ("svd", {"factors": 8}),
    ("svd", {"factors": 100, "weighting": "plain", "oversampling": 0}),
    ("svd", {"factors": 3, "weighting": "bm25", "iterations": 0}),
    ("funk_svd", {"factors": 8, "epochs": 10}),
    ("funk_svd", {"factors": 20, "epochs": 3, "regularization": 0.0}),
    ("nmf", {"factors": 8}),
    ("nmf", {"factors": 20, "weighting": "plain", "l1": 0.01, "l2": 0.1}),
    ("nmf", {"factors": 3, "weighting": "tfidf", "epochs": 5}),
]
MISSING = [(kind, {}) for kind in ALGORITHMS if kind not in {k for k, _ in VARIANTS}]
PRESENT = [(kind, how) for kind, how in [*VARIANTS, *MISSING] if kind in ALGORITHMS]

DIAGONAL = "the_withheld_diagonal_comes_first"
"""Brings its own data, and asks for all neighbours and the whole history: only the default settings have them."""

EMPTY = "users_and_items_without_entries_change_no_score"

OPT_OUTS: dict[tuple[str, str], str] = {
    ("popularity", DIAGONAL): "popularity gives everybody the same order",
    ("funk_svd", DIAGONAL): "it predicts ratings, and all ratings on the board are the same",
    ("funk_svd", EMPTY): "the numbers that an item starts from are drawn after those of all users",
    ("nmf", EMPTY): "the numbers that an item starts from are drawn after those of all users",
    ("bpr", EMPTY): "the numbers that an item starts from are drawn after those of all users",
    ("neural_cf", EMPTY): "its layers start from numbers drawn after as many as all users and items have",
}
"""(kind, law): why this algorithm need not obey it."""

DATA = {"communities": make_data.communities(), "one": make_data.training_data([[(0, 1.0, make_data.EPOCH)]], 1)}
DRAWN = ("answers_are_well_formed", "picks_are_the_best_of_score", "a_batch_is_its_single_rows", "fewer_are_the_first_of_more")
"""Laws that are worth data nobody thought of."""


def maker(kind, how):
    return lambda: MAKERS.get(kind, ALGORITHMS[kind])(CONFIGS[kind](**how))


def ids(variant):
    kind, how = variant
    return "-".join([kind, *(f"{value}" for value in how.values())])


@pytest.mark.parametrize("name", [name for name in LAWS if name != DIAGONAL])
@pytest.mark.parametrize("variant", PRESENT, ids=ids)
@pytest.mark.parametrize("data", DATA)
def test_the_algorithm_obeys(name, variant, data):
    hold(name, variant, DATA[data])


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_the_withheld_diagonal_comes_first(kind):
    hold(DIAGONAL, (kind, {}), DATA["communities"])


def hold(name, variant, data):
    if (variant[0], name) in OPT_OUTS:
        pytest.skip(f"opt-out: {OPT_OUTS[variant[0], name]}")
    before = [array.tobytes() for array in arrays(data)]
    LAWS[name](maker(*variant), data)
    assert [array.tobytes() for array in arrays(data)] == before, "it changed the data that all models learn from"


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("variant", PRESENT, ids=ids)
def test_the_algorithm_obeys_on_drawn_data(name, variant):
    @given(make_data.small_data())
    @settings(max_examples=max(8, settings.get_profile(settings.get_current_profile_name()).max_examples // 4))
    def on_drawn(data):
        hold(name, variant, data)

    on_drawn()


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_an_algorithm_keeps_the_protocols(kind):
    model = maker(kind, {})()
    assert isinstance(model, Scorer)
    assert isinstance(model, Trainable)
    assert model.kind == kind
    assert model.config == CONFIGS[kind]()


def test_opt_outs_are_few_and_real():
    assert len(OPT_OUTS) <= 6
    for (kind, name), reason in OPT_OUTS.items():
        assert name in LAWS
        assert len(reason) > 10
        if kind in ALGORITHMS:
            with pytest.raises(AssertionError):
                LAWS[name](maker(kind, {}), DATA["communities"])


def test_every_configured_kind_is_registered():
    assert set(ALGORITHMS) == set(CONFIGS)
