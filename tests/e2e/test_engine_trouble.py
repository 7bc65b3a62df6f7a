"""What the engine refuses, and how it says so: bad wishes, bad directories, damage, locks."""

import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from recengine import Engine, Request
from recengine.engine import held
from recengine.errors import (
    BadArtifact,
    BadRequest,
    ConfigInvalid,
    DirectoryInvalid,
    EmptyData,
    NotTrained,
    RecEngineError,
    StoreCorrupt,
    StoreLocked,
)
from recengine.store.database import FILE, Database
from recengine.store.events import read_events
from recengine.store.ledger import TABLES
from recengine.store.snapshot import snapshot


def test_a_missing_foreign_or_empty_directory_is_named(tmp_path):
    with pytest.raises(DirectoryInvalid, match="does not exist"):
        Engine.open(tmp_path / "nowhere")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("dear sir")
    with pytest.raises(DirectoryInvalid, match="foreign"):
        Engine.open(tmp_path / "foreign")
    with pytest.raises(DirectoryInvalid, match=r"letter\.txt"):
        Engine.open(tmp_path / "foreign", create=True)
    with Engine.open(tmp_path / "empty", create=True) as engine:
        with pytest.raises(NotTrained, match="recengine train"):
            engine.recommend("u1")
        with pytest.raises(EmptyData):
            engine.train()


def test_a_damaged_artifact_is_refused_before_it_is_parsed_and_training_mends_it(shop):
    version = (shop / "artifacts" / "current").read_text().split()[0]
    victim = next((shop / "artifacts").glob("*/models/als/*.npy"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    with Engine.open(shop) as engine:
        for _ in range(2):
            with pytest.raises(BadArtifact, match=victim.name):
                engine.recommend("u1")
        assert engine.train().version != version
        assert len(engine.recommend("u1").items) == 10


def test_a_damaged_database_without_a_snapshot_is_named(shop):
    shutil.rmtree(shop / "snapshot", ignore_errors=True)
    (shop / "recengine.duckdb").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreCorrupt):
        Engine.open(shop)


def test_a_damaged_database_is_healed_from_its_snapshot_and_the_journal(shop):
    with Engine.open(shop) as engine:
        snapshot(engine._database, shop)
        engine.record({"user_id": "u1", "item_id": "i1", "type": "click", "event_id": "after the snapshot"})
        told = engine.recommend("u1")
    (shop / "recengine.duckdb").write_bytes(b"garbage" * 1000)
    with Engine.open(shop) as engine:
        again = engine.record({"user_id": "u1", "item_id": "i1", "type": "click", "event_id": "after the snapshot"})
        assert again.duplicates == 1
        assert [i.item_id for i in engine.recommend("u1").items] == [i.item_id for i in told.items]


def test_damage_that_only_reading_meets_is_healed_at_the_opening(tmp_path):
    """The events fill blocks of their own, so that the database opens and the events cannot be read."""
    shop, rng, n = tmp_path / "shop", np.random.default_rng(1), 120_000
    columns = {"user_id": rng.integers(0, 500, n), "item_id": rng.integers(0, 100, n), "type": ["view"] * n}
    with Engine.open(shop, create=True) as engine:
        engine.ingest(events=pa.table({**columns, "timestamp": 1_750_000_000 + rng.integers(0, 9_000_000, n)}))
        engine._keeper.keep()
        before = engine.interactions()
    with duckdb.connect(str(shop / FILE), read_only=True) as store:
        blocks = "SELECT DISTINCT block_id FROM pragma_storage_info(?) WHERE block_id >= 0"
        own = set(store.execute(blocks, ["events"]).fetchall())
        for table in {*TABLES, "meta", "item_ids", "event_types"} - {"events"}:
            own -= set(store.execute(blocks, [table]).fetchall())
    (block,) = min(own)
    raw = bytearray((shop / FILE).read_bytes())
    raw[3 * 4096 + block * 262_144 + 1000] ^= 1
    (shop / FILE).write_bytes(raw)
    with pytest.raises(StoreCorrupt), Database.open(shop / FILE) as database:
        read_events(database)
    with Engine.open(shop) as engine:
        assert np.array_equal(engine.interactions().items, before.items)
    assert list(shop.glob(f"{FILE}.damaged-*"))


def test_an_opening_that_fails_half_way_lets_the_store_go(shop, monkeypatch):
    def corrupt(*_):
        raise StoreCorrupt("a block cannot be read")

    for place in ("load_vocabularies", "restore", "Ledger", "recent_event_ids", "Keeper"):
        with monkeypatch.context() as patch:
            patch.setattr(held, place, corrupt)
            with pytest.raises(StoreCorrupt, match="a block"):
                Engine.open(shop)
    Engine.open(shop).close()


def test_a_second_process_is_told_that_the_store_is_locked(shop):
    with Engine.open(shop):
        code = f"from recengine import Engine; Engine.open({str(shop)!r})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert StoreLocked.__name__ in run.stderr


def test_a_second_open_in_this_process_does_not_give_the_lock_away(shop):
    with Engine.open(shop):
        with pytest.raises(StoreLocked):
            Engine.open(shop)
        code = f"from recengine import Engine; Engine.open({str(shop)!r})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert StoreLocked.__name__ in run.stderr


def test_a_bad_configuration_names_the_entry(shop):
    (shop / "recengine.toml").write_text('[[model]]\nkind = "als"\nfactor = 3\n')
    with pytest.raises(ConfigInvalid, match=r"factor.*model\[0\]"):
        Engine.open(shop)


def test_an_odd_user_id_is_refused_and_the_record_keeper_lives_on(shop):
    with Engine.open(shop) as engine:
        for odd in ("\ud800", "a\nb", "", "x" * 300):
            with pytest.raises(BadRequest, match="user_id"):
                engine.recommend(odd)
        reply = engine.recommend("u2")
        assert engine.decision(reply.request_id) is not None
    Engine.open(shop).close()


def test_an_ingest_that_fails_after_its_commit_is_served_all_the_same(shop):
    (shop / "quarantine").write_text("a file where a folder should be")
    with Engine.open(shop) as engine:
        with pytest.raises((RecEngineError, OSError)):
            engine.ingest(
                events=[
                    {"user_id": "fresh", "item_id": f"f{k}", "type": "purchase", "timestamp": 1_760_000_000 + k}
                    for k in range(9)
                ]
                + [{"user_id": "fresh", "item_id": None, "type": "purchase", "timestamp": 1}]
            )
        engine.train()
        reply = engine.recommend("u1", n=10)
        assert len(reply.items) == 10
        assert not reply.degraded


def test_lists_refuse_a_length_below_one(engine):
    for ask in (lambda n: engine.similar_items("i3", n), lambda n: engine.similar_users("u2", n), engine.popular, engine.latest):
        for n in (0, -1, "a", 1.5):
            with pytest.raises(BadRequest, match="n: expected"):
                ask(n)


def test_a_request_with_further_wishes_is_refused(engine):
    with pytest.raises(BadRequest, match="Request"):
        engine.recommend(Request(user_id="u3"), n=7)
    with pytest.raises(BadRequest, match="list"):
        engine.recommend_batch("u1")


def test_an_export_to_nowhere_is_named(engine, tmp_path):
    with pytest.raises(DirectoryInvalid, match="nowhere"):
        engine.export(tmp_path / "nowhere" / "x.csv")


@pytest.mark.parametrize("name", ["../up", "popular", "A", "", "x" * 41])
def test_model_names_that_are_no_names_are_refused(shop, name):
    (shop / "recengine.toml").write_text(f'[[model]]\nkind = "als"\nname = "{name}"\n')
    with pytest.raises(ConfigInvalid, match="model"):
        Engine.open(shop)
