"""What the configuration says of event types and values reaches the models that weigh their entries.

Asked at the scientist's door, from files to metrics: users with one item of each of two communities are shown the rest
of the one that counts more for them, and of the other one when the configuration, or the value, is turned round.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from recengine.config import Config, EventType
from recengine.jobs.evaluate import evaluate_split

COLUMNS = {"user": "user", "item": "item", "type": "type", "value": "value"}
SETTINGS = {
    "als": {"factors": 4, "epochs": 8, "regularization": 0.01},
    "bpr": {"factors": 8, "epochs": 100, "hardest_of": 1, "regularization": 0.05},
}


def events(rows):
    """Rows of (user, item, type, value)."""
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=["user", "item", "type", "value"])


def shop(left, right):
    """Two communities of twelve users and six items, and six users asked: `left` and `right` are (type, value) of what they did in each.

    The test side asks for the rest of the left community.
    """
    rows = [(f"{side}{u}", f"{side}{i}", "look", 3.0) for side in "lr" for u in range(12) for i in range(6) if (u + i) % 6]
    for u in range(6):
        rows += [(f"a{u}", f"l{u}", *left), (f"a{u}", f"r{u}", *right)]
    return events(rows), events([(f"a{u}", f"l{i}", "look", 3.0) for u in range(6) for i in range(6) if i != u])


def led_left(kind, train, test, types):
    config = msgspec.structs.replace(Config(), event=types)
    found = evaluate_split(train, test, COLUMNS, kind, SETTINGS[kind], at=1, config=config, threads=1)
    return found["metrics"]["hit_rate@1"]


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("heavy", ["buy", "look"])
def test_the_weight_of_an_event_type_decides(kind, heavy):
    light = {"buy": "look", "look": "buy"}[heavy]
    types = (EventType(type=heavy, weight=8.0), EventType(type=light, weight=1.0))
    train, test = shop(("buy", 3.0), ("look", 3.0))
    assert abs(led_left(kind, train, test, types) - (heavy == "buy")) < 0.25


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(("left", "right"), [(5.0, 2.6), (2.6, 5.0)])
def test_the_value_of_an_event_decides_between_neutral_and_full(kind, left, right):
    types = (EventType(type="rate", weight=8.0, value_neutral=2.5, value_full=5.0), EventType(type="look", weight=1.0))
    train, test = shop(("rate", left), ("rate", right))
    assert abs(led_left(kind, train, test, types) - (left > right)) < 0.25


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_value_below_neutral_is_no_liking(kind):
    types = (EventType(type="rate", weight=8.0, value_neutral=2.5, value_full=5.0), EventType(type="look", weight=1.0))
    liked, disliked = (led_left(kind, *shop(("rate", value), ("look", 3.0)), types) for value in (5.0, 1.0))
    assert liked > 0.75
    assert disliked == 0.0


def test_the_same_values_without_a_scale_decide_nothing():
    """The control: where values do not count, turning them round changes no number."""
    types = (EventType(type="rate", weight=8.0), EventType(type="look", weight=1.0))
    one, other = (led_left("als", *shop(("rate", a), ("rate", b)), types) for a, b in ((5.0, 2.6), (2.6, 5.0)))
    assert np.isclose(one, other)
