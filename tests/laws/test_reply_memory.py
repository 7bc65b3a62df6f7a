"""What kept replies hold: their bytes, and nothing of the shop that they were computed from."""

import gc
import time

import pytest

from recengine import Engine, Request
from recengine.config import Config, Serving, Training
from recengine.online.replies import Kept, Replies
from recengine.types import Catalogue, History


@pytest.fixture
def engine(tmp_path):
    config = Config(training=Training(tune_blend=False), serving=Serving(cache_entries=1000))
    with Engine.open(tmp_path / "shop", create=True, config=config) as engine:
        engine.ingest(
            events=[
                {"user_id": f"u{u}", "item_id": f"i{(u * 5 + k) % 9}", "type": "purchase", "timestamp": 1_760_000_000 + u * 100 + k}
                for u in range(24)
                for k in range(5)
            ],
            items=[{"item_id": f"i{k}", "category": "abc"[k % 3]} for k in range(9)],
        )
        engine.train(force=True)
        yield engine


def alive(kind):
    gc.collect()
    return sum(issubclass(type(thing), kind) for thing in gc.get_objects())  # a lazy module may warn when its class is asked for


def test_replies_that_are_kept_keep_no_catalogue_and_no_history(engine):
    catalogues, histories = alive(Catalogue), alive(History)
    assert catalogues, "they can be counted"
    for k in range(300):
        engine.put_items([{"item_id": f"i{k % 9}", "attributes": {"category": "abc"[k % 3]}}])
        engine.record({"user_id": f"u{k % 3}", "item_id": f"i{k % 9}", "type": "view"})
        engine.reply(Request(user_id=f"u{k % 3}", n=3), b"key %d" % k)
    assert engine.facts()["replies kept"] == 300
    assert alive(Catalogue) <= catalogues + 3
    assert alive(History) <= histories + 6


def test_replies_whose_time_is_over_make_room_by_themselves():
    replies = Replies(100, 1 << 20)
    for k in range(10):
        replies.keep(b"%d" % k, Kept(b"x", "r", "u", "v", (), time.monotonic() - 1))
    replies._sweep = 0.0
    replies.keep(b"new", Kept(b"x", "r", "u", "v", (), time.monotonic() + 60))
    assert len(replies) == 1
    assert replies.bytes == 4
    assert replies.find(b"new")
