"""Backup and restore: the copy is whole, verified and compact, or it is not there."""

import shutil
import threading

import duckdb
import msgspec
import pytest

from recengine.errors import DirectoryInvalid, StoreCorrupt, StoreFailed, StoreLocked
from recengine.store import backup as module
from recengine.store.backup import backup, restore
from recengine.store.database import FILE, STAGING
from tests.unit.ingesting import opened

S = 1_600_000_000


@pytest.fixture
def home(tmp_path):
    with opened(tmp_path / "shop") as shop:
        shop.ingest(
            events={"user": ["a", "b"], "item": ["x", "y"], "order": [S, S], "event_id": ["e1", None]},
            items={"item": ["x", "y"], "price": [1.0, None], "tags": [["p"], []], "v": [[1.0, 2.0], None]},
        )
    (tmp_path / "shop" / "artifacts" / "v1").mkdir()
    (tmp_path / "shop" / "artifacts" / "v1" / "model.npy").write_bytes(b"weights")
    (tmp_path / "shop" / "artifacts" / ".tmp-half").mkdir()
    (tmp_path / "shop" / "artifacts" / ".tmp-half" / "x").write_bytes(b"half")
    (tmp_path / "shop" / "recengine.toml").write_text("[serving]\ncold_below = 3\n")
    return tmp_path / "shop"


def leftovers(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) + list(tmp_path.glob(f"*/{STAGING}/*"))


def test_what_is_restored_equals_what_was_saved(home, tmp_path):
    report = backup(home, tmp_path / "saved")
    assert report.tables["events"].rows == 2
    restore(tmp_path / "saved", tmp_path / "again")
    with opened(home) as shop, opened(tmp_path / "again") as other:
        assert (
            [r[:3] for r in other.events()]
            == [r[:3] for r in shop.events()]
            == [("a", "x", "interaction"), ("b", "y", "interaction")]
        )
        for table in report.tables:
            sql = f"SELECT * FROM {table} ORDER BY ALL"
            assert other.database.read().table(sql).equals(shop.database.read().table(sql)) or table == "events"
        assert (
            other.ingest(events={"user": ["a"], "item": ["x"], "order": [S], "event_id": ["e1"]}).sources[0].stored == 0
        )
    assert (tmp_path / "again" / "artifacts" / "v1" / "model.npy").read_bytes() == b"weights"
    assert not (tmp_path / "again" / "artifacts" / ".tmp-half").exists()
    assert "cold_below" in (tmp_path / "again" / "recengine.toml").read_text()
    assert leftovers(tmp_path) == []


def test_a_store_in_use_is_saved_by_its_own_process_and_goes_on(home, tmp_path):
    with opened(home) as shop:
        with pytest.raises(StoreLocked):
            backup(home, tmp_path / "other")
        backup(shop.database, tmp_path / "saved")
        shop.ingest(events={"user": ["c"], "item": ["x"], "order": [S + 1]})
        assert len(shop.events()) == 3
    restore(tmp_path / "saved", tmp_path / "again")
    with opened(tmp_path / "again") as other:
        assert len(other.events()) == 2


def test_several_threads_may_back_up_an_open_store_while_it_is_written(home, tmp_path):
    (home / "artifacts" / "current").write_text("v1\n")
    with opened(home) as shop:
        reports = {}
        stop = threading.Event()

        def save(k):
            reports[k] = backup(shop.database, tmp_path / f"saved{k}")

        def write():
            for n in range(1, 10_000):
                shop.ingest(events={"user": [f"u{n}"], "item": ["x"], "order": [S + n]})
                if stop.is_set():
                    return

        writer = threading.Thread(target=write)
        savers = [threading.Thread(target=save, args=(k,)) for k in range(3)]
        for thread in (writer, *savers):
            thread.start()
        for thread in savers:
            thread.join()
        stop.set()
        writer.join()
        shop.ingest(events={"user": ["last"], "item": ["x"], "order": [S + 20_000]})
        assert shop.events()[-1][0] == "last"
    assert sorted(reports) == [0, 1, 2]
    for k, report in reports.items():
        assert restore(tmp_path / f"saved{k}", tmp_path / f"again{k}") == report
        with opened(tmp_path / f"again{k}") as other:
            assert len(other.events()) == report.tables["events"].rows >= 2
        assert (tmp_path / f"again{k}" / "artifacts" / "current").read_text() == "v1\n"
    assert leftovers(tmp_path) == []


def test_a_version_that_is_pruned_during_the_backup_is_left_out(home, tmp_path, monkeypatch):
    old, kept = home / "artifacts" / "v0", home / "artifacts" / "v1"
    old.mkdir()
    (old / "a.npy").write_bytes(b"a")
    (old / "b.npy").write_bytes(b"b")
    copy = module.copy

    def prune_after(source, target):
        copy(source, target)
        if source == old / "a.npy":
            shutil.rmtree(old)

    monkeypatch.setattr(module, "copy", prune_after)
    report = backup(home, tmp_path / "saved")
    assert [name for name in report.files if name.startswith("artifacts/")] == ["artifacts/v1/model.npy"]
    assert kept.is_dir()
    assert not (tmp_path / "saved" / "artifacts" / "v0").exists()


def test_deleted_values_are_not_in_the_copy(home, tmp_path):
    secret = "a-very-secret-user-id-" * 5
    with opened(home) as shop:
        shop.ingest(events={"user": [secret], "item": ["x"], "order": [S]})
        shop.database.write(lambda c: c.execute("DELETE FROM user_ids WHERE id = $id", {"id": secret}))
    backup(home, tmp_path / "saved")
    assert secret[:44].encode() not in (tmp_path / "saved" / FILE).read_bytes()


def test_nothing_is_overwritten(home, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(DirectoryInvalid, match="exists already"):
        backup(home, tmp_path / "full")
    backup(home, tmp_path / "saved")
    with pytest.raises(DirectoryInvalid, match="not empty"):
        restore(tmp_path / "saved", tmp_path / "full")
    assert (tmp_path / "full" / "x").read_text() == "mine"


def test_what_is_no_backup_is_refused(home, tmp_path):
    with pytest.raises(DirectoryInvalid, match=r"backup\.json"):
        restore(home, tmp_path / "again")
    with pytest.raises(DirectoryInvalid, match="does not exist"):
        backup(tmp_path / "absent", tmp_path / "saved")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", [FILE, "artifacts/v1/model.npy", "recengine.toml"])
@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_file_is_found_before_anything_is_restored(home, tmp_path, name, damage):
    backup(home, tmp_path / "saved")
    file = tmp_path / "saved" / name
    if damage == "remove":
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match="missing or damaged"):
        restore(tmp_path / "saved", tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert leftovers(tmp_path) == []


def test_a_list_of_contents_that_lies_is_refused(home, tmp_path):
    backup(home, tmp_path / "saved")
    manifest = tmp_path / "saved" / "backup.json"
    honest = msgspec.json.decode(manifest.read_bytes())
    lies = [
        (b"{", "damaged"),
        (msgspec.json.encode(honest | {"files": honest["files"] | {"../evil": "00"}}), "evil"),
        (msgspec.json.encode(honest | {"files": {}}), "no database"),
        (
            msgspec.json.encode(honest | {"tables": honest["tables"] | {"events": {"rows": 7, "digest": "0"}}}),
            "table events",
        ),
    ]
    for content, message in lies:
        manifest.write_bytes(content)
        with pytest.raises(StoreCorrupt, match=message):
            restore(tmp_path / "saved", tmp_path / "again")
        assert not (tmp_path / "again").exists()
    assert leftovers(tmp_path) == []


def test_a_target_that_cannot_be_written_leaves_nothing_behind(home, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreFailed, match="cannot be written"):
        backup(home, tmp_path / "file" / "saved")
    assert leftovers(tmp_path) == []
    backup(home, tmp_path / "saved")
    with pytest.raises(StoreFailed, match="cannot be written"):
        restore(tmp_path / "saved", tmp_path / "file" / "again")


def test_the_copy_is_a_whole_database_of_its_own(home, tmp_path):
    backup(home, tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "artifacts",
        "backup.json",
        FILE,
        "recengine.toml",
    ]
    with duckdb.connect(str(tmp_path / "saved" / FILE), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM events").fetchall() == [(2,)]
