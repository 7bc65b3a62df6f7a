"""The demo shop's contract: files, sizes, columns, repeatability, bad input."""

import subprocess
import sys
from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recengine.demo import ShopFiles, describe, generate
from recengine.demo.shop import COLUMNS, DAYS, START
from recengine.demo.tree import LEAVES
from recengine.errors import ConfigError, ConfigInvalid, DirectoryInvalid


def small(folder, **changes):
    sizes = {"seed": 3, "users": 50, "items": 40, "events": 500, "images": False} | changes
    return generate(folder, **sizes)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> ShopFiles:
    return small(tmp_path_factory.mktemp("shop"), users=400, items=300, events=12_000)


def test_a_shop_holds_exactly_what_was_asked_for(shop):
    assert pq.read_metadata(shop.events).num_rows == shop.n_events == 12_000
    assert pq.read_metadata(shop.items).num_rows == shop.n_items == 300
    assert pq.read_metadata(shop.users).num_rows == shop.n_users == 400
    assert sorted(path.name for path in shop.folder.iterdir()) == ["events.parquet", "items.parquet", "users.parquet"]


def test_the_column_mapping_names_columns_of_the_events(shop):
    assert shop.columns == COLUMNS
    assert set(shop.columns.values()) <= set(pq.read_schema(shop.events).names)


@pytest.mark.parametrize("sizes", [(1, 1, 0), (1, 1, 30), (2, 3, 1), (50, 40, 500), (3, 700, 200)])
def test_small_shops_work(tmp_path, sizes):
    users, items, events = sizes
    shop = small(tmp_path, users=users, items=items, events=events)
    assert pq.read_table(shop.events).num_rows == events


def test_the_same_seed_writes_the_same_tables_and_pictures(tmp_path):
    one, two = (small(tmp_path / name, items=6, images=True) for name in "ab")
    for name in ("events", "items", "users"):
        assert pq.read_table(getattr(one, name)).equals(pq.read_table(getattr(two, name)))
    for path in one.images.iterdir():
        assert path.read_bytes() == (two.images / path.name).read_bytes()


def test_another_seed_writes_another_shop(tmp_path):
    one, two = (small(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert not pq.read_table(one.events).equals(pq.read_table(two.events))
    assert not pq.read_table(one.items).equals(pq.read_table(two.items))


def test_events_are_ordered_and_inside_the_window_and_their_ids_are_unique(shop):
    events = pq.read_table(shop.events)
    times = events["timestamp"].to_numpy()
    assert (np.diff(times) >= np.timedelta64(0)).all()
    assert np.datetime64(START) <= times[0]
    assert times[-1] < np.datetime64(START + timedelta(days=DAYS))
    assert pc.count_distinct(events["event_id"]).as_py() == len(events)


def test_a_session_belongs_to_one_user_and_one_device(shop):
    events = pq.read_table(shop.events)
    groups = events.group_by("session_id").aggregate([("user_id", "count_distinct"), ("device", "count_distinct")])
    assert pc.max(groups["user_id_count_distinct"]).as_py() == 1
    assert pc.max(groups["device_count_distinct"]).as_py() == 1


def test_events_name_known_users_and_items_and_ratings_alone_have_values(shop):
    events = pq.read_table(shop.events)
    assert set(events["user_id"].to_pylist()) <= set(pq.read_table(shop.users)["user_id"].to_pylist())
    assert set(events["item_id"].to_pylist()) <= set(pq.read_table(shop.items)["item_id"].to_pylist())
    rated = pc.equal(events["type"], "rating")
    assert pc.all(pc.equal(rated, pc.is_valid(events["value"]))).as_py()
    assert set(events.filter(rated)["value"].to_pylist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_every_purchase_follows_a_cart_of_the_same_session(shop):
    rows = zip(
        *(pq.read_table(shop.events)[name].to_pylist() for name in ("session_id", "item_id", "type")), strict=True
    )
    carts, purchases = set(), 0
    for session, item, kind in rows:
        if kind == "cart":
            carts.add((session, item))
        elif kind == "purchase":
            purchases += 1
            assert (session, item) in carts
    assert purchases > 100


def test_after_a_block_the_user_never_meets_the_item_again(tmp_path):
    shop = small(tmp_path, users=60, items=40, events=6_000)
    rows = zip(*(pq.read_table(shop.events)[name].to_pylist() for name in ("user_id", "item_id", "type")), strict=True)
    blocked = set()
    for user, item, kind in rows:
        assert (user, item) not in blocked
        if kind == "block":
            blocked.add((user, item))
    assert len(blocked) > 3


@pytest.mark.parametrize("seed", range(4))
def test_nobody_acts_before_joining_and_nothing_is_seen_before_its_release(tmp_path, seed):
    shop = small(tmp_path, seed=seed, users=100, items=90, events=4_000)  # leaves of two items and less
    users, items = pq.read_table(shop.users), pq.read_table(shop.items)
    joined = dict(zip(users["user_id"].to_pylist(), users["joined"].to_pylist(), strict=True))
    released = dict(zip(items["item_id"].to_pylist(), items["released"].to_pylist(), strict=True))
    rows = zip(
        *(pq.read_table(shop.events)[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True
    )
    for user, item, moment in rows:
        assert joined[user] <= moment
        assert released[item] <= moment


def test_attributes_are_believable(shop):
    users, items = pq.read_table(shop.users), pq.read_table(shop.items)
    tree = {(leaf.category, leaf.name) for leaf in LEAVES}
    assert set(zip(items["category"].to_pylist(), items["subcategory"].to_pylist(), strict=True)) <= tree
    assert pc.min(items["price"]).as_py() > 0
    assert all(2 <= text.count(".") <= 4 for text in items["description"].to_pylist())
    assert 0 < users["gender"].null_count < 100
    assert 16 <= pc.min(users["age"]).as_py() < pc.max(users["age"]).as_py() <= 88


def test_a_shop_can_be_described(shop):
    told = describe(shop)
    assert sum(told["types"].values()) == 12_000
    assert {"taste", "demographics", "sequence", "drift"} <= set(told["truth"])


def test_progress_rises_and_ends_at_its_total(tmp_path):
    calls = []
    small(tmp_path, items=6, images=True, progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(set(done))
    assert {total for _, total in calls} == {done[-1]}


def test_the_warm_user_is_busy_and_the_cold_one_is_idle_and_known(shop):
    users = pq.read_table(shop.users)
    counts = dict.fromkeys(users["user_id"].to_pylist(), 0)
    for user in pq.read_table(shop.events)["user_id"].to_pylist():
        counts[user] += 1
    assert counts[shop.cold_user] == 0
    assert sum(count > counts[shop.warm_user] for count in counts.values()) <= 0.05 * len(counts)
    assert None not in users.filter(pc.equal(users["user_id"], shop.cold_user)).to_pylist()[0].values()


@pytest.mark.parametrize("name", ["users", "items", "events", "seed"])
def test_a_size_out_of_range_is_refused_by_name_and_nothing_is_written(tmp_path, name):
    with pytest.raises(ConfigInvalid, match=name):
        small(tmp_path / "shop", **{name: -1})
    assert not (tmp_path / "shop").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DirectoryInvalid, match="file"):
        small(tmp_path / "file" / "shop")


def test_without_pillow_pictures_are_refused_before_anything_is_written(tmp_path):
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from pathlib import Path\n"
        "from recengine.demo import generate\n"
        "from recengine.errors import ConfigError\n"
        "folder = Path(sys.argv[1])\n"
        "try:\n    generate(folder, users=5, items=5, events=5)\n"
        "except ConfigError as err:\n    print(err.hint)\n"
        "assert not folder.exists()\n"
        "generate(folder, users=5, items=5, events=5, images=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "shop")], capture_output=True, text=True, check=True
    )
    assert "recengine[demo]" in done.stdout
    assert issubclass(ConfigInvalid, ConfigError)
