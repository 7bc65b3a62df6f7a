"""The features of a deployment on disk: read back whole and bit-equal, refused where damaged or defined otherwise now."""

import json

import numpy as np
import pytest

from recengine.config import TransformKind, parse
from recengine.errors import BadArtifact, FeaturesChanged
from recengine.features.builtin import feature_set
from recengine.features.deployed import DeployedFeatures, agree, load, save
from recengine.features.selection import SelectionReport
from recengine.features.transforms import cooccurrences, fit_transforms
from recengine.types import Column

NUMBERS = ("none", "standard", "robust", "minmax", "log", "quantile", "cyclic")
CATEGORIES = ("ordinal", "onehot", "hashing", "target", "embedding")
NONE = np.empty(0, np.int32)
ITEMS = {"category": Column("string", NONE, labels=("a", "b", "c")), "price": Column("number", np.empty(0))}
LABELS = {"item.category": ("a", "b", "c")}


def deployed(config, kept=None):
    """Fit a program on drawn values; every number is filled with numbers, every category with codes."""
    features = feature_set(config, ITEMS, {})
    kept = kept or features.names
    chosen = tuple(features[name] for name in kept)
    rng = np.random.default_rng(3)
    values = rng.normal(5, 4, (len(chosen), 400)).astype(np.float32)
    codes = rng.integers(0, 3, (len(chosen), 400)).astype(np.float32)
    of_category = np.array([feature.dtype == "category" for feature in chosen])[:, None]
    values = np.where(rng.random(values.shape) < 0.1, np.nan, np.where(of_category, codes, values)).astype(np.float32)
    outcomes = rng.integers(0, 2, 400).astype(np.float32)
    together = {"item.category": cooccurrences(np.repeat(np.arange(20, dtype=np.int32), 5), rng.integers(0, 3, 100).astype(np.int32), 3)}
    labels = {feature.domain: ("a", "b", "c") for feature in chosen if feature.domain}
    program = fit_transforms(chosen, values, labels, outcomes, (np.arange(400) % 5).astype(np.int32), together)
    report = SelectionReport(kept=tuple(kept), dropped={"x": "why"}, judged={}, auc=None, rows=400, later=120)
    return DeployedFeatures(features.only(frozenset(kept)), tuple(kept), labels, program, report), values


@pytest.mark.parametrize("kind", NUMBERS + CATEGORIES)
def test_every_transform_is_read_back_and_gives_the_same_bits(tmp_path, kind):
    name = "item_price" if kind in NUMBERS else "item_category"
    made, values = deployed(parse(f'[features.transforms]\n{name} = "{kind}"'), ("item_engaged_7d", "item_category", "item_price"))
    assert made.features[name].transform == kind
    save(made, tmp_path)
    read = load(tmp_path)
    assert read.features == made.features
    assert read.kept == made.kept
    assert read.labels == made.labels
    assert read.versions == made.versions
    assert read.selection == made.selection
    assert read.program.columns == made.program.columns
    np.testing.assert_array_equal(read.program.apply(values), made.program.apply(values))
    assert not list(tmp_path.rglob("*.pkl"))


def test_no_transform_is_left_out_here():
    assert {*NUMBERS, *CATEGORIES} == {*TransformKind.__args__}


def test_parents_of_what_is_derived_are_computed_and_not_shown_to_the_model():
    made, _ = deployed(parse(""), ("price_ratio", "context_hour"))
    assert made.features.names == ("item_price", "user_price", "context_hour", "price_ratio")
    assert made.rows.tolist() == [3, 2]
    assert "item_price" not in made.program.features


def test_a_deployment_is_refused_where_a_definition_is_another_one_or_gone(tmp_path):
    made, _ = deployed(parse(""))
    agree(made, parse('[features.transforms]\nitem_price = "log"'), ITEMS, {})
    with pytest.raises(FeaturesChanged, match=r"feature 'item_engaged_1d' was trained as version \w{12} and is not defined any more"):
        agree(made, parse('[features]\nwindows = ["2d", "7d", "30d"]'), ITEMS, {})
    with pytest.raises(FeaturesChanged, match=r"feature 'user_events_1d' was trained as version \w{12} and is version \w{12} now"):
        agree(made, parse("[features]\nhistory = 100"), ITEMS, {})
    with pytest.raises(FeaturesChanged, match="features cannot be told: .*no feature 'nothing'"):
        agree(made, parse('[features]\ndrop = ["nothing"]'), ITEMS, {})
    save(made, tmp_path)
    file = tmp_path / "features.json"
    written = json.loads(file.read_text())
    written["versions"]["item_price"] = "0" * 12
    file.write_text(json.dumps(written))
    with pytest.raises(FeaturesChanged, match="feature 'item_price' was trained as version 000000000000") as caught:
        load(tmp_path)
    assert "train again" in caught.value.hint


def test_labels_that_many_values_have_since_are_no_change():
    made, _ = deployed(parse(""))
    grown = {**ITEMS, "category": Column("string", NONE, labels=tuple(f"c{k}" for k in range(5000)))}
    agree(made, parse(""), grown, {"age": Column("number", np.empty(0))})


@pytest.mark.parametrize("damage", ["gone", "text", "other", "cut"])
def test_a_damaged_folder_is_refused(tmp_path, damage):
    made, _ = deployed(parse(""), ("item_engaged", "item_category"))
    save(made, tmp_path)
    file = tmp_path / "features.json"
    if damage == "gone":
        file.unlink()
    elif damage == "text":
        file.write_bytes(b"\xff{")
    elif damage == "other":
        file.write_text(file.read_text().replace('"item_engaged"', '"item_idle"'))
    else:
        next(tmp_path.glob("transform*.npy")).write_bytes(b"\x93NUMPY")
    with pytest.raises(BadArtifact):
        load(tmp_path)
