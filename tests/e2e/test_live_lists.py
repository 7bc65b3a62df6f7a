"""What everybody does is felt in the lists at once, is the same after a restart, and is what a training then learns."""

import numpy as np

from recengine import Engine
from recengine.config import Config, Serving, Training

DAY = 86_400_000_000
START = 1_700_000_000_000_000


def events(rng, n, first, users=40, items=30):
    return [
        {
            "user_id": f"u{rng.integers(users)}",
            "item_id": f"i{int(items * rng.random() ** 2)}",
            "type": str(rng.choice(["view", "click", "purchase"])),
            "order": START + (first + k) * DAY // 20,
        }
        for k in range(n)
    ]


def shown(lines):
    return [(line.item_id, line.score) for line in lines]


def lists(engine):
    return [shown(engine.popular(100)), shown(engine.trending(100)), shown(engine.latest(5))]


def test_lists_feel_events_at_once_and_after_a_restart_and_a_training_agrees(tmp_path):
    rng = np.random.default_rng(0)
    config = Config(serving=Serving(decision_rate=0.0), training=Training(split="random"))
    with Engine.open(tmp_path / "shop", config=config, create=True) as engine:
        engine.ingest(events=events(rng, 800, 0))
        engine.train()
        before = lists(engine)
        rush = [
            {"user_id": f"r{k}", "item_id": f"i{25 + k % 2}", "type": "purchase", "order": START + (900 + k) * DAY // 20}
            for k in range(600)
        ]
        engine.ingest(events=rush[:1])
        assert lists(engine) != before, "one event is felt"
        engine.ingest(events=[*rush[1:], {"user_id": "r0", "item_id": "brand new", "type": "purchase", "order": START + 1600 * DAY // 20}])
        after = lists(engine)
        assert {item for item, _ in after[0][:2]} == {"i25", "i26"}
        assert {item for item, _ in after[1][:2]} == {"i25", "i26"}
        assert dict(after[1])["brand new"] > 0, "an item that came after the training has a standing"
    with Engine.open(tmp_path / "shop", config=config) as engine:
        assert lists(engine) == after
        engine.train(force=True)
        again = lists(engine)
        for learned, counted in zip(again[:2], after[:2], strict=True):
            assert [item for item, _ in learned] == [item for item, _ in counted]
            np.testing.assert_allclose([score for _, score in learned], [score for _, score in counted], rtol=1e-5, atol=1e-6)
        newest = engine.artifacts.current()
        engine.rollback()
        assert lists(engine) == after, "the deployment before, and what came after it"
        engine.promote(newest)
        assert lists(engine) == again


def test_items_that_are_gone_take_no_place_among_similar_ones(tmp_path):
    rng = np.random.default_rng(1)
    config = Config(serving=Serving(decision_rate=0.0), training=Training(split="random"))
    with Engine.open(tmp_path / "shop", config=config, create=True) as engine:
        engine.ingest(events=events(rng, 4000, 0, users=100, items=150))
        engine.train()
        whole = shown(engine.similar_items("i3", 150))
        assert len(whole) > 90, "more than the first look takes in"
        engine.remove_items([item for item, _ in whole[:80]])
        assert shown(engine.similar_items("i3", 5)) == whole[80:85]
        assert shown(engine.similar_items("i3", 150)) == whole[80:]
