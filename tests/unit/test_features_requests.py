"""What requests tell of device, location and referrer: recorded, learned from, served; one engine from end to end."""

import msgspec
import numpy as np
import pytest

from recengine import Engine, Request
from recengine.config import Config, Features, Training
from recengine.features.context import labels_told
from recengine.offline.featuring import training_table
from recengine.store.decisions import read_answered
from recengine.types import Response
from tests.laws.world import patient
from tests.unit.test_featuring import rows

CONFIG = Config(
    model=patient(Config().model)[-1:],
    training=Training(tune_blend=False),
    features=Features(rows=2_000, negatives=3, keep=1000, duplicate=1.0),
)
DEVICES, REFERRERS = ("phone", "desktop", "tablet"), ("search", "mail")


class Answered(msgspec.Struct):
    """An event that answers a reply."""

    user: str
    item: str
    context: dict
    position: int
    """1 = first."""
    live: dict
    """What the feature store said just before the event, of `item`."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """An engine that was trained once, answered 120 users on three devices, and learned of what they did."""
    with Engine.open(tmp_path_factory.mktemp("requests") / "shop", create=True, config=CONFIG) as engine:
        engine.ingest(**rows(n_users=60))
        engine.train(force=True)
        answered, repeated = [], 0
        for k in range(120):
            user = f"u{k % 60}"
            context = {"device": [DEVICES[k % 3]], "referrer": REFERRERS[k % 2], "gender": "f"}
            key = str(k).encode()
            first = engine.reply(Request(user_id=user, n=5, context=context, diversity=0), key)
            kept = engine.cached(key)  # the kept reply, sent again; None where an event came in between
            again = msgspec.json.decode(kept or first, type=Response)
            repeated += kept is not None
            place = k % 5
            item = again.items[place].item_id
            engine.record({"user_id": user, "item_id": item, "type": "interaction", "request_id": again.request_id})
            answered.append(Answered(user, item, context, place + 1, {}))
        assert repeated
        other = engine.recommend("u1", n=2, context={"device": "phone"})
        unseen = next(f"i{i}" for i in range(60) if f"i{i}" not in {shown.item_id for shown in other.items})
        engine.record({"user_id": "u1", "item_id": unseen, "type": "interaction", "request_id": other.request_id})
        engine.record({"user_id": "u2", "item_id": "i1", "type": "interaction", "request_id": "no reply of ours"})
        engine.train(force=True)
        last = answered[-1]
        last.live = engine.features(last.user, [last.item], context={**last.context, "position": last.position})
        engine.answered = answered
        yield engine


def table_of(engine, **how):
    table = training_table(engine._database, CONFIG, **how)
    return table, {name: table.values[k] for k, name in enumerate(table.features.names)}


def test_the_training_table_has_what_requests_told_and_all_rows_of_an_event_share_it(shop):
    table, values = table_of(shop)
    assert table.labels["context.device"] == tuple(sorted(DEVICES))
    assert table.labels["context.referrer"] == tuple(sorted(REFERRERS))
    assert table.labels["context.location"] == ()
    wide = {name: values[f"context_{name}"].reshape(-1, 4) for name in ("device", "referrer", "location", "position")}
    for name, of_groups in wide.items():
        np.testing.assert_array_equal(of_groups, np.repeat(of_groups[:, :1], 4, axis=1), err_msg=name)
    names = shop._ids.items.ids(table.drawn.probes.items[::4])
    users = shop._ids.users.ids(table.drawn.probes.users[::4])
    for at, answered in enumerate(shop.answered, start=len(names) - 122):  # the latest rows, in the order of the events
        assert (users[at], names[at]) == (answered.user, answered.item)
        assert table.labels["context.device"][int(wide["device"][at, 0])] == answered.context["device"][0]
        assert table.labels["context.referrer"][int(wide["referrer"][at, 0])] == answered.context["referrer"]
        assert wide["position"][at, 0] == answered.position
    assert table.labels["context.device"][int(wide["device"][-2, 0])] == "phone"
    assert np.isnan(wide["position"][-2, 0]), "the item was not in the reply"
    for of_groups in wide.values():
        assert np.isnan(of_groups[-1]).all(), "the reply is not ours"
        assert np.isnan(of_groups[:-122]).all(), "these events answer no reply"


def test_the_deployment_has_the_labels_and_serving_codes_by_them(shop):
    deployed = shop.spine().deployment.features
    assert {"context_device", "context_referrer"} <= set(deployed.kept)
    assert deployed.selection.dropped["context_location"].startswith("constant")
    assert deployed.labels["context.device"] == tuple(sorted(DEVICES))
    assert shop.features("u1", ["i1", "i2"], context={"device": "phone"})["context_device"] == ["phone"] * 2
    assert shop.features("u1", ["i1"], context={"device": "fridge"})["context_device"] == [None]
    spine = shop.spine()
    place = spine.deployment.features.program.columns.index("context_device=phone")
    items = np.arange(3, dtype=np.int32)

    def matrix(context):
        service = spine.features
        who = spine.context.one(Request(user_id="u1", context=context))
        return service.fitted().matrix(service.asked(who, 0), items, who.items)

    before = spine.features.fitted().program.missing["context_device"]
    assert matrix({"device": "phone"})[:, place].tolist() == [1, 1, 1]
    assert spine.features.fitted().program.missing["context_device"] == before
    assert matrix({"device": "fridge"})[:, place].tolist() == [0, 0, 0]
    assert spine.features.fitted().program.missing["context_device"] == before + 3


def test_a_recorded_moment_is_what_serving_says_of_it(shop):
    table, values = table_of(shop)
    at = (len(table.drawn.taken) // 4 - 122 + 119) * 4
    last = shop.answered[-1]
    then = int(table.drawn.probes.times[at])
    context = {**last.context, "position": last.position}
    told = shop.features(last.user, [last.item], at=then, context=context)
    assert {"context_device", "context_referrer", "context_position", "context_hour"} <= set(told)
    for feature in shop.spine().deployment.features.features.features:
        value = values[feature.name][at]
        if feature.dtype == "category":
            said = None if np.isnan(value) else table.labels[feature.domain][int(value)]
        else:
            said = None if np.isnan(value) else float(value)
        assert told[feature.name] == [said], feature.name
    for name in ("context_device", "context_referrer", "context_position"):
        assert last.live[name] == told[name]


def test_a_table_as_of_a_moment_knows_no_request_of_later_events(shop):
    first = int(table_of(shop)[0].drawn.probes.times[-122 * 4])
    seq, told = read_answered(shop._database, as_of=first)
    assert len(seq) == 1
    assert [told[name].labels for name in ("device", "location", "referrer")] == [("phone",), (), ("search",)]
    assert told["position"].data.tolist() == [1]
    assert len(read_answered(shop._database, as_of=first - 1)[0]) == 0
    table, values = table_of(shop, as_of=first)
    assert table.labels["context.device"] == ("phone",)
    assert np.isnan(values["context_device"][:-4]).all()


def test_what_is_kept_of_a_context_is_short_texts_of_three_keys():
    told = {"device": "phone", "location": ["fr", "uk"], "referrer": "r" * 65, "position": 3, "email": "a@example.org"}
    assert labels_told(told) == {"device": "phone", "location": "fr"}
    assert labels_told({"device": 7, "location": [], "referrer": None}) == {}
    assert labels_told({"referrer": "r" * 64}) == {"referrer": "r" * 64}
