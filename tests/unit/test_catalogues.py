"""Live versions: what is felt at once equals what a restart reads, whatever came in whatever order."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.expressions import mask, parse
from recengine.features.described import described
from recengine.online.catalogues import revised
from recengine.store.catalog import EVER, attributes, read_items, read_users
from recengine.store.versions import append_live_versions
from recengine.types import NO_TIME, Catalogue, Column
from recengine.types.frames import ItemFrame, UserFrame, decode_frame, encode_frame
from tests.unit.ingesting import opened

NOTHING = Catalogue(0, {}, np.ones(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
VALUES = {
    "price": st.sampled_from([None, 0.0, 9.5, 10, 2**62]),
    "flag": st.sampled_from([None, True, False]),
    "brand": st.sampled_from([None, "", "Acme", "Bolt", "x" * 70]),
    "tags": st.lists(st.sampled_from(["red", "new", "", "old"]), max_size=3) | st.none(),
    "story": st.sampled_from([None, "y" * 65, "short", "z" * 9000]),
    "made": st.sampled_from([None, "2024-01-31", "2024-01-31T10:00:00Z", "1999-12-31 23:59:59.25+02:00"]),
    "look": st.sampled_from([None, [0.5, 1.0], [1.5, 2], [1e-3, 0.1]]),
}


@st.composite
def frames(draw, first):
    said = {name: draw(VALUES[name]) for name in draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=4))}
    return ItemFrame(
        item_id=f"i{draw(st.integers(0, 4))}",
        attributes=said,
        available=draw(st.sampled_from([None, True, True, False])),
        valid_from=draw(st.sampled_from([None, None, 5, 50, 50, 10**15, 10**18])),
        merge=draw(st.booleans()),
        at=first + draw(st.integers(-3, 3)),
    )


def decoded(catalogue):
    return [
        (described(catalogue, row), int(catalogue.available[row]), int(catalogue.since[row]), int(catalogue.held[row]))
        for row in range(catalogue.n)
    ]


def write(shop, frames, owner="item"):
    """Store a group of frames as the feedback loop does, with the rows of new ids; returns the rows."""
    ids = shop.ids.items if owner == "item" else shop.ids.users
    names = [f.item_id if owner == "item" else f.user_id for f in frames]
    fresh = {name: len(ids) + k for k, name in enumerate(dict.fromkeys(n for n in names if n not in ids))}
    ids.extend(fresh)
    rows = ids.rows(names)
    shop.database.write(lambda cursor: append_live_versions(cursor, owner, rows, frames))
    return rows


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_came_is_felt_as_a_restart_reads_it(data):
    with TemporaryDirectory() as folder, opened(Path(folder) / "shop") as shop:
        live, count, now = read_items(shop.database), 0, 10**15
        for _ in range(data.draw(st.integers(1, 4))):
            if data.draw(st.integers(0, 3)) == 0:
                row = {"item_id": f"i{data.draw(st.integers(0, 4))}", "price": 7.0, "brand": data.draw(st.sampled_from(["Acme", "Cora"]))}
                shop.ingest(items=[row])
                live = read_items(shop.database)
                count = len(shop.ids.items)
            group = [decode_frame(encode_frame(f)) for f in data.draw(st.lists(frames(now), max_size=6))]
            now += data.draw(st.integers(0, 10))
            rows = write(shop, group)
            count = max(count, len(shop.ids.items))
            cut = data.draw(st.integers(0, len(group)))
            before = decoded(live)
            middle = revised(live, rows[:cut], group[:cut], max([live.n, *(rows[:cut] + 1)]))
            after = revised(middle, rows[cut:], group[cut:], count)
            assert decoded(live) == before  # inputs are untouched
            live = after
            read = read_items(shop.database)
            assert {k: c.kind for k, c in live.columns.items()} == {k: c.kind for k, c in read.columns.items()}
            assert decoded(live)[: read.n] == decoded(read)
            assert all(row == ({}, 1, NO_TIME, NO_TIME) for row in decoded(live)[read.n :])
            for text in ('brand == "Acme"', "price > 5", 'tags in ["new"]', 'made > "2000-01-01"', "not flag"):
                tree = parse(text)
                if all(name in live.columns for name in ("brand", "price", "tags", "made", "flag")):
                    assert mask(tree, live, now=0)[: read.n].tolist() == mask(tree, read, now=0).tolist()


def put(item, *, at=100, available=None, valid_from=None, merge=False, **said):
    return ItemFrame(item, said, available, valid_from, merge, at)


def one(catalogue, *frames, rows=None, n=None):
    rows = rows if rows is not None else [0] * len(frames)
    return revised(catalogue, rows, frames, n if n is not None else max([catalogue.n, *(r + 1 for r in rows)]))


def test_a_put_clears_what_it_does_not_say_and_a_patch_leaves_it():
    first = one(NOTHING, put("a", price=1.0, brand="Acme"))
    assert described(first, 0) == {"price": 1.0, "brand": "Acme"}
    assert described(one(first, put("a", price=2.0)), 0) == {"price": 2.0}
    assert described(one(first, put("a", price=2.0, merge=True)), 0) == {"price": 2.0, "brand": "Acme"}
    assert described(one(first, put("a", brand=None, merge=True)), 0) == {"price": 1.0}


def test_a_removed_item_comes_back_with_a_put():
    first = one(NOTHING, put("a", price=1.0))
    gone = one(first, put("a", available=False))
    assert (described(gone, 0), gone.available.tolist()) == ({}, [0])
    back = one(gone, put("a", available=True, price=3.0))
    assert (described(back, 0), back.available.tolist()) == ({"price": 3.0}, [1])


def test_a_first_version_is_valid_since_ever_and_a_later_one_from_its_arrival():
    first = one(NOTHING, put("a", price=1.0))
    assert (first.since[0], first.held[0]) == (NO_TIME, EVER)
    later = one(first, put("a", price=2.0, at=200))
    assert (later.since[0], later.held[0]) == (NO_TIME, 200)


def test_an_undated_change_is_felt_though_the_clock_went_back_or_the_future_was_told():
    first = one(NOTHING, put("a", price=1.0, valid_from=10**18))
    later = one(first, put("a", at=5, available=False))
    assert (later.available[0], later.held[0], later.since[0]) == (0, 10**18, 10**18)


def test_an_older_version_changes_since_alone():
    first = one(NOTHING, put("a", price=1.0, valid_from=500))
    older = one(first, put("a", price=9.0, valid_from=50))
    assert (described(older, 0), older.since[0], older.held[0]) == ({"price": 1.0}, 50, 500)
    assert older.columns["price"] is first.columns["price"]


def test_what_says_nothing_new_is_the_same_catalogue():
    first = one(NOTHING, put("a", price=1.0, tags=["x"]))
    assert one(first, put("a", price=1.0, tags=["x"], at=900)) is first
    assert one(first) is first


def test_a_change_of_stock_copies_no_column():
    first = one(NOTHING, put("a", price=1.0, brand="x", tags=["x"]), put("b", price=2.0), rows=[0, 1])
    out = one(first, put("b", available=False, merge=True), rows=[1])
    assert out.available.tolist() == [1, 0]
    assert first.available.tolist() == [1, 1]
    assert all(out.columns[name] is column for name, column in first.columns.items())
    assert out.since is first.since


def test_items_known_by_events_alone_are_available_and_undescribed():
    first = one(NOTHING, put("a", price=1.0, brand="x", tags=["x"], look=[0.5]))
    grown = one(first, n=5)
    assert decoded(grown)[1:] == [({}, 1, NO_TIME, NO_TIME)] * 4
    assert described(grown, 0) == described(first, 0)


def test_two_futures_of_one_catalogue_do_not_meet():
    """Copies have room to spare; nobody may write into it where another looks."""
    first = one(one(NOTHING, put("a", price=1.0, tags=["x"], story="s" * 70)), n=2)
    left = one(first, put("b", price=2.0, tags=["y"], story="l" * 70), rows=[2])
    right = one(first, put("b", price=3.0, available=False), rows=[2])
    assert described(left, 2) == {"price": 2.0, "tags": ["y"], "story": "l" * 70}
    assert described(right, 2) == {"price": 3.0}
    assert described(one(first, n=4), 2) == {}
    assert decoded(one(left, n=4))[2] == decoded(left)[2]
    assert (left.available.tolist(), right.available.tolist()) == ([1, 1, 1], [1, 1, 0])


def test_growth_copies_nothing_while_there_is_room():
    first = one(NOTHING, put("a", price=1.0), rows=[0])
    grown = one(first, n=30)
    assert np.shares_memory(grown.columns["price"].data, first.columns["price"].data)
    described_too = one(grown, put("c", price=3.0, available=False), rows=[30])
    assert np.shares_memory(described_too.columns["price"].data, first.columns["price"].data)
    assert [described(c, 30) for c in (grown, described_too, one(grown, n=31))] == [{}, {"price": 3.0}, {}]
    assert (grown.n, first.n, len(first.available)) == (30, 1, 1)


def test_a_shortened_view_does_not_grow_into_what_it_cut_off():
    full = one(NOTHING, put("a", price=1.0), put("b", price=2.0), rows=[0, 1])
    price = full.columns["price"]
    cut = Catalogue(1, {"price": Column("number", price.data[:1])}, full.available[:1], full.since[:1], full.held[:1])
    assert described(one(cut, n=2), 1) == {}


def test_new_labels_follow_the_old_ones():
    first = one(NOTHING, put("a", brand="x"))
    second = one(first, put("b", brand="y"), rows=[1])
    third = one(second, put("c", brand="x"), rows=[2])
    assert third.columns["brand"].labels == ("x", "y")
    assert one(first, put("b", brand="z"), rows=[1]).columns["brand"].labels == ("x", "z")  # another future


def test_what_no_longer_fits_is_left_out_and_logged(caplog):
    first = one(NOTHING, put("a", price=1.0))
    later = one(first, put("a", price="dear", brand="x"))
    assert described(later, 0) == {"brand": "x"}
    assert "price" in caplog.text


def test_users_have_versions_too(tmp_path):
    group = [UserFrame("u", {"age": 30, "member": True}, None, False, 100), UserFrame("u", {"age": 31}, None, True, 200)]
    with opened(tmp_path / "shop") as shop:
        rows = write(shop, group, "user")
        live = revised(read_users(shop.database), rows, group, 1)
        assert decoded(live) == decoded(read_users(shop.database)) == [({"age": 31.0, "member": True}, 1, NO_TIME, 200)]


def test_a_version_that_says_nothing_new_is_not_stored(tmp_path):
    with opened(tmp_path / "shop") as shop:
        group = [put("a", price=1.0), put("a", price=1.0, at=200), put("a", price=1.0, at=300, valid_from=300)]
        rows = write(shop, group)
        count = shop.database.write(lambda cursor: append_live_versions(cursor, "item", rows, group))
        versions = shop.database.read().rows("SELECT valid_from FROM item_versions")
    assert (count, versions) == (0, [(NO_TIME,)])


def test_the_price_of_its_own_day_is_stored(tmp_path):
    """Versions of one group, and older ones that come late, are all there for training."""
    group = [put("a", price=5.0, valid_from=50), put("a", price=9.0, valid_from=90), put("a", merge=True, brand="x", valid_from=60)]
    with opened(tmp_path / "shop") as shop:
        write(shop, group)
        told = [described(read_items(shop.database, as_of=moment), 0) for moment in (50, 60, 90)]
        assert list(attributes(shop.database.read(), "item")) == ["price", "brand"]
    assert told == [{"price": 5.0}, {"price": 5.0, "brand": "x"}, {"price": 9.0}]


@pytest.mark.parametrize("owner", ["item", "user"])
def test_a_group_of_nothing_stores_nothing(tmp_path, owner):
    with opened(tmp_path / "shop") as shop:
        assert shop.database.write(lambda cursor: append_live_versions(cursor, owner, np.empty(0, np.int32), [])) == 0
