"""A change of items is felt at once, costs nothing that it did not touch, and is there after a restart."""

import numpy as np

from recengine import Engine
from recengine.online.catalogues import revised
from recengine.online.frames import ItemsFrame
from recengine.store.versions import append_live_versions
from recengine.types import Request
from recengine.types.frames import ItemFrame

AT = 1_760_000_000_000_000


def change(engine, *frames):
    """Store and fold versions of items that are known."""
    rows = engine._ids.items.rows([f.item_id for f in frames])
    engine._database.write(lambda cursor: append_live_versions(cursor, "item", rows, frames))
    state = engine._state
    state.apply(state.seq, ItemsFrame(revised(state.items, rows, frames, state.items.n)))


def patch(item, *, available=None, **said):
    return ItemFrame(item, said, available, None, True, AT)


def shown(engine, **wishes):
    replies = engine.recommend_batch([f"u{u}" for u in range(0, 120, 7)], 10, **wishes)
    return [[(r.item_id, r.score) for r in reply.items] for reply in replies]


def test_changes_are_felt_at_once_and_after_a_restart(shop):
    wishes = [{}, {"filter": "price < 20"}, {"filter": 'brand == "b1" or colour == "red"'}, {"categories_any": ("bags", "coats")}]
    with Engine.open(shop) as engine:
        before = shown(engine)
        best = before[0][0][0]
        change(
            engine,
            patch(best, available=False),
            patch("i1", price=1.0, colour="red"),
            patch("i2", category="coats"),
            ItemFrame("i3", {"price": 7.0}, True, None, False, AT),
        )
        felt = [shown(engine, **wish) for wish in wishes]
        assert all(best not in dict(reply) for reply in felt[0])
        assert any("i2" in dict(reply) for reply in felt[3])
        assert any("i1" in dict(reply) for reply in felt[2])
    with Engine.open(shop) as engine:
        assert [shown(engine, **wish) for wish in wishes] == felt


def test_a_change_of_stock_keeps_filters_and_orders(shop):
    request = Request(user_id="u1", filter='brand == "b1" and price > 1', categories_any=("bags",))
    with Engine.open(shop) as engine:
        live = engine.spine()
        engine.recommend(request)
        filters, orders = dict(live.rules._filters), live.candidates._orders
        change(engine, patch("i1", available=False))
        engine.recommend(request)
        assert all(live.rules._filters[tree] is kept for tree, kept in filters.items())
        assert live.candidates._orders is orders
        change(engine, patch("i1", price=0.5))
        engine.recommend(request)
        renewed = [tree for tree, kept in filters.items() if live.rules._filters[tree] is not kept]
        assert len(filters) == 2
        assert len(renewed) == 1
        assert live.candidates._orders is orders


def test_a_new_label_of_the_category_renews_only_its_codes(shop):
    with Engine.open(shop) as engine:
        live = engine.spine()
        engine.recommend("u1")
        orders = live.candidates._orders[2]
        change(engine, patch("i1", category="coats"))
        engine.recommend("u1")
        assert live.candidates._orders[2] is orders
        assert len(live.candidates._orders[3]) == 4  # bags, hats, coats, none


def test_rows_that_events_alone_made_may_be_shown(shop):
    with Engine.open(shop) as engine:
        state = engine._state
        engine._ids.items.extend({"fresh": state.items.n})
        state.apply(state.seq, ItemsFrame(revised(state.items, np.empty(0, np.int32), [], state.items.n + 1)))
        assert engine.latest(1)[0].item_id == "fresh"
        assert "fresh" not in [r.item_id for r in engine.recommend("u1", 80, filter="price > 0").items]
