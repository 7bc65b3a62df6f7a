"""The list of features: what stands in it, and that what is wrong in a definition is named with its place."""

from pathlib import Path

import numpy as np
import pytest

from recengine.config import parse
from recengine.errors import ConfigInvalid
from recengine.features.attributes import labels_of
from recengine.features.builtin import feature_set, places
from recengine.features.context import CONTEXT_VALUES
from recengine.features.counted import FAMILIES
from recengine.features.covisits import COVISIT_VALUES
from recengine.features.definition import Derived
from recengine.features.item import ITEM_VALUES
from recengine.features.pairs import PAIR_VALUES
from recengine.features.session import SESSION_VALUES
from recengine.features.user import USER_VALUES
from recengine.types import Column

NONE = np.empty(0, np.int32)
ITEMS = {
    "category": Column("strings", NONE, labels=("a", "b"), indptr=np.zeros(1, np.int64)),
    "brand": Column("string", NONE, labels=("x",)),
    "price": Column("number", np.empty(0)),
    "title": Column("string", NONE, labels=tuple(f"t{i:05}" for i in range(2000))),
    "text": Column("text", np.empty(0, object)),
    "engaged": Column("number", np.empty(0)),
    "In Stock": Column("bool", np.empty(0, np.uint8)),
}
USERS = {"age": Column("number", np.empty(0)), "country": Column("string", NONE, labels=("de", "fr"))}


def listed(text="", items=ITEMS, users=USERS, **options):
    return feature_set(parse(text), items, users, **options)


def declared(lines, head="x"):
    return f'[[feature]]\nname = "{head}"\n{lines}\n'


def test_what_kernels_count_stands_first_and_attributes_follow():
    names = listed().names
    assert names[:4] == ("item_engaged_1d", "item_engaged_7d", "item_engaged_30d", "item_engaged")
    assert len(set(names)) == len(names)
    assert {"item_category", "item_brand", "item_price", "item_category_count", "item_text_length", "item_in_stock"} <= {*names}
    assert {"user_age", "user_country", "price_ratio", "category_match", "brand_match", "trend_ratio"} <= {*names}
    assert "item_title" not in names, "two thousand titles sort nothing"
    assert "item_title" in listed(many=10_000).names
    counts = sum(len(lines) for lines in FAMILIES.values())
    assert sum(f.how.__class__.__name__ == "Counted" for f in listed().features) == counts
    assert listed()["item_engaged"].how.__class__.__name__ == "Counted", "an attribute does not take the name of a count"


def test_what_is_listed_is_what_kernels_count_in_their_order():
    kernels = {"item": ITEM_VALUES, "user": USER_VALUES, "session": SESSION_VALUES, "context": CONTEXT_VALUES}
    kernels["pair"] = (*PAIR_VALUES, *COVISIT_VALUES)
    assert {family: tuple(line.value for line in lines) for family, lines in FAMILIES.items()} == kernels


def test_without_attributes_nothing_rests_on_them():
    bare = listed(items={}, users={})
    assert not any(isinstance(f.how, Derived) and f.name != "trend_ratio" for f in bare.features)
    assert "user_price" in bare.names, "it is missing then, and defined all the same"


def test_the_version_tells_what_a_value_rests_on():
    old = {f.name: f.version for f in listed().features}
    changed = lambda text: {f.name for f in listed(text).features if old.get(f.name) != f.version}  # noqa: E731
    assert changed('[features.transforms]\nitem_price = "standard"') == set()
    assert changed('[features]\nwindows = ["1d", "7d", "28d"]') == {
        *("item_engaged_28d", "item_converted_28d", "item_conversion_28d", "user_events_28d", "user_spend_28d"),
        *("item_trend", "trend_ratio"),
    }
    assert {"user_price"} == changed('[features]\nprice = "cost"') - {"item_cost"} - {"price_ratio"}
    everything = changed('[[event]]\ntype = "view"\nrole = "convert"')
    assert "pair_events" in everything
    assert "context_hour" not in everything
    heavier = '[[event]]\ntype = "view"\nrole = "convert"\nweight = 3.0'
    assert {f.version for f in listed(heavier).features} == {f.version for f in listed('[[event]]\ntype = "view"\nrole = "convert"').features}


def test_dropped_features_are_gone_with_what_is_derived_from_them_and_their_names_are_free():
    text = '[features]\ndrop = ["item_price", "item_idle"]\n' + declared('entity = "item"\nattribute = "price"', "item_idle")
    names = listed(text).names
    assert "item_price" not in names
    assert "price_ratio" not in names
    assert listed(text)["item_idle"].how.attribute == "price"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('entity = "shelf"\nsql = "SELECT 1"', "expected an entity of user, item, context, got 'shelf'"),
        ('entity = "item"\nattribute = "weight"', "expected an attribute 'weight' .*: no item has it"),
        ('entity = "item"\nattribute = "text"', "it is of kind text"),
        ('entity = "item"\nsource = "weather"\ncolumn = "c"', r"no `\[\[source\]\]` 'weather' into a table"),
        ('entity = "derived"\nop = "ratio"\nof = ["item_price", "nothing"]', "`of` names 'nothing'"),
        ('entity = "derived"\nop = "ratio"\nof = ["item_price", "item_brand"]', "item_brand is a category"),
        ('entity = "derived"\nop = "same"\nof = ["item_category", "item_brand"]', "not of one kind"),
        ('entity = "item"\nsql = "SELECT 1"\nevery = "30m"', "`every` is whole hours"),
        ('entity = "item"\nattribute = "price"\ntransform = "onehot"', "is a number, and onehot is not for it"),
        ('entity = "item"\nattribute = "brand"\ndtype = "number"', "the attribute 'brand' is a category, not a number"),
        ('entity = "item"\nattribute = "price"\ndtype = "category"', "the attribute 'price' is a number, not a category"),
    ],
)
def test_a_bad_definition_is_named_with_file_and_line(tmp_path, lines, message):
    file = tmp_path / "recengine.toml"
    fine = declared('entity = "item"\nsql = """\nSELECT\n[[feature]] no header inside a text\n"""', "fine")
    file.write_text(f"# a comment\n{fine}\n{declared(lines)}")
    where = places(file)
    assert where == ("recengine.toml:2", "recengine.toml:10")
    with pytest.raises(ConfigInvalid, match=f"recengine.toml:10: feature 'x'.*{message}"):
        listed(file.read_text(), where=where)
    with pytest.raises(ConfigInvalid, match="number 2: feature 'x'"):
        listed(file.read_text())


def test_a_name_that_is_taken_and_names_that_are_none_are_refused():
    with pytest.raises(ConfigInvalid, match="a feature of that name is built in"):
        listed(declared('entity = "item"\nattribute = "price"', "item_price"))
    with pytest.raises(ConfigInvalid, match=r"features\.drop: no feature 'nothing'"):
        listed('[features]\ndrop = ["nothing"]')
    with pytest.raises(ConfigInvalid, match=r"features\.transforms: no feature 'nothing'"):
        listed('[features.transforms]\nnothing = "log"')
    assert places(Path("/nowhere/recengine.toml")) == ()


def test_sources_and_derivations_of_ones_own_are_features():
    text = '[[source]]\nname = "weather"\ninto = "table"\nuri = "weather.csv"\ncolumns = {time = "day"}\n'
    text += declared('entity = "context"\nsource = "weather"\ncolumn = "degrees"', "warmth")
    text += declared('entity = "derived"\nop = "product"\nof = ["warmth", "item_price"]', "crossed")
    found = listed(text, where=("f:6", "f:11"))
    assert found.names[-2:] == ("warmth", "crossed")
    assert found["crossed"].where == "f:11"
    assert found.only(frozenset({"crossed"})).names == ("item_price", "warmth", "crossed")
    with pytest.raises(ConfigInvalid, match="source 'weather' has no column that is the item"):
        listed(text.replace('entity = "context"', 'entity = "item"'))


def test_an_attribute_that_is_called_category_and_is_none_has_labels_of_its_own():
    items = {"genre": Column("string", NONE, labels=("x", "y")), "category": Column("string", NONE, labels=("a", "b"))}
    features = listed('[serving]\ncategory = "genre"\n' + declared('entity = "item"\nattribute = "category"'), items, {})
    labels = labels_of(features.features, items, {}, {"category": "genre", "brand": "brand"}, {})
    assert labels[features["item_category"].domain] == ("x", "y")
    assert labels[features["x"].domain] == ("a", "b")
