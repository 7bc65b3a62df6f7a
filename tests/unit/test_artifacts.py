"""Versions appear whole or not at all, damage is named before anything is parsed, and a crash leaves the old one live."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from recengine.arrays import read_arrays, write_arrays
from recengine.artifacts.manifest import FORMAT, About, verify
from recengine.artifacts.store import ArtifactStore
from recengine.errors import BadArtifact, UnknownVersion


def fill(folder: Path) -> None:
    (folder / "als").mkdir()
    write_arrays(folder / "als", items=np.arange(12, dtype=np.float32).reshape(3, 4))
    write_arrays(folder, counts=np.arange(3, dtype=np.int64))


def publish(store: ArtifactStore) -> str:
    return store.publish(fill, About(n_items=3, metrics={"ndcg@20": 0.25}))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def leftovers(store: ArtifactStore) -> list[str]:
    return sorted(p.name for p in store.folder.glob(".tmp-*"))


def test_a_published_version_is_whole_but_not_live(store):
    version = publish(store)
    assert store.list_versions() == (version,)
    assert store.current() is None
    manifest = store.manifest(version)
    assert manifest.about.metrics == {"ndcg@20": 0.25}
    assert set(manifest.files) == {"als/items.npy", "counts.npy"}
    assert manifest.files["counts.npy"].size == (store.folder / version / "counts.npy").stat().st_size
    assert np.array_equal(read_arrays(store.open(version), "counts")[0], np.arange(3))
    assert leftovers(store) == []


def test_an_empty_store_names_nothing_and_opens_nothing(store):
    assert store.list_versions() == ()
    assert store.current() is None
    assert store.prune(1) == ()
    with pytest.raises(UnknownVersion, match="no version is live"):
        store.open()
    with pytest.raises(UnknownVersion, match="no earlier deployment"):
        store.rollback()


def test_names_sort_by_time_even_within_a_second(store):
    names = [publish(store) for _ in range(4)]
    assert names == sorted(names)
    assert store.list_versions() == tuple(reversed(names))


def test_rollback_walks_back_through_what_was_live_and_not_through_what_was_only_published(store):
    first, never_live, second, third = (publish(store) for _ in range(4))
    for version in (first, second, third):
        store.promote(version)
    assert store.rollback() == second
    assert store.current() == second
    assert store.rollback() == first
    with pytest.raises(UnknownVersion):
        store.rollback()
    assert store.current() == first
    store.promote(never_live)
    assert store.rollback() == first


def test_a_rollback_to_a_damaged_version_names_the_newest_sound_one(store):
    """Two increments share a file of the full training between them, not with the one before that."""
    old, sound, full = (publish(store) for _ in range(3))
    (items,) = read_arrays(store.open(full) / "als", "items")
    increment = store.publish(lambda folder: write_arrays(folder, items=items), About())
    for version in (old, sound, full, increment):
        store.promote(version)
    damage_flip(store.folder / full)
    for version in (full, increment):
        with pytest.raises(BadArtifact, match="items.npy"):
            store.open(version)
    with pytest.raises(BadArtifact, match=f"^{full}/als/items.npy") as refused:
        store.rollback()
    assert refused.value.hint == f"the newest sound version is {sound}: promote it, or train in full"
    assert store.current() == increment
    store.promote(sound)
    assert store.open().name == sound


def test_a_rollback_among_nothing_but_damage_says_to_train(store):
    versions = [publish(store) for _ in range(3)]
    for version in versions:
        store.promote(version)
    for version in versions[:2]:
        damage_flip(store.folder / version)
    with pytest.raises(BadArtifact, match=f"^{versions[1]}/als/items.npy") as refused:
        store.rollback()
    assert refused.value.hint == "no other version is sound: train in full"
    assert store.current() == versions[2]


def test_promoting_the_live_version_again_does_not_make_rollback_a_no_op(store):
    first, second = publish(store), publish(store)
    for version in (first, second, second):
        store.promote(version)
    assert store.rollback() == first


def test_prune_spares_the_newest_the_live_one_and_its_rollback_target(store):
    names = [publish(store) for _ in range(5)]
    store.promote(names[0])
    store.promote(names[1])
    assert store.prune(1) == (names[3], names[2])
    assert store.list_versions() == (names[4], names[1], names[0])
    assert store.rollback() == names[0]


def test_prune_removes_what_a_dead_process_left_and_spares_a_living_one(store):
    publish(store)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (store.folder / f".tmp-20200101-000000-abcd-{pid}").mkdir()
    store.prune(1)
    assert leftovers(store) == [f".tmp-20200101-000000-abcd-{os.getppid()}"]


@pytest.mark.parametrize("name", ["../evil", "20200101-000000-abcd", "", "current", "20200101-000000-abcd/.."])
def test_a_version_that_does_not_exist_or_is_no_name_is_refused(store, name):
    publish(store)
    for call in (store.open, store.promote, store.manifest):
        if name == "" and call == store.open:
            continue  # means: the live one
        with pytest.raises(UnknownVersion):
            call(name)


def damage_flip(folder: Path) -> None:
    path = folder / "als" / "items.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_truncate(folder: Path) -> None:
    os.truncate(folder / "counts.npy", 10)


def damage_remove(folder: Path) -> None:
    (folder / "counts.npy").unlink()


def damage_add(folder: Path) -> None:
    (folder / "als" / "extra.npy").write_bytes(b"x")


def damage_link(folder: Path) -> None:
    path = folder / "counts.npy"
    path.rename(folder.parent / "counts.npy")
    path.symlink_to(folder.parent / "counts.npy")


def damage_manifest_metric(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.95"))


def damage_manifest_text(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\xfe not json")


def damage_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (damage_flip, "als/items.npy"),
        (damage_truncate, "counts.npy"),
        (damage_remove, "counts.npy"),
        (damage_add, "als/extra.npy"),
        (damage_link, "counts.npy"),
        (damage_manifest_metric, "manifest.json"),
        (damage_manifest_text, "manifest.json"),
        (damage_no_manifest, "manifest.json"),
    ],
)
def test_damage_is_named_and_never_goes_live(store, damage, place):
    good, bad = publish(store), publish(store)
    store.promote(good)
    damage(store.folder / bad)
    with pytest.raises(BadArtifact, match=place):
        verify(store.folder / bad)
    with pytest.raises(BadArtifact, match=place):
        store.promote(bad)
    assert store.current() == good


def test_damage_that_came_after_the_load_is_not_sealed_into_the_version_that_shares_the_file(store):
    first, second = publish(store), publish(store)
    (items,) = read_arrays(store.open(second) / "als", "items")
    damage_flip(store.folder / second)

    def increment(folder: Path) -> None:
        (folder / "als").mkdir()
        write_arrays(folder / "als", items=items)
        assert (folder / "als" / "items.npy").samefile(store.folder / second / "als" / "items.npy")

    with pytest.raises(BadArtifact, match=f"^{second}/als/items.npy.*new version"):
        store.publish(increment, About())
    assert store.list_versions() == (second, first)
    assert leftovers(store) == []


def test_a_chain_of_versions_shares_a_file_that_none_of_them_has_damaged(store):
    version = publish(store)
    for _ in range(3):
        (counts,) = read_arrays(store.open(version), "counts")
        version = store.publish(lambda folder, counts=counts: write_arrays(folder, counts=counts), About())
    assert (store.folder / version / "counts.npy").stat().st_nlink == 4
    for each in store.list_versions():
        store.open(each)


def test_a_file_is_not_shared_with_a_version_whose_manifest_is_damaged(store):
    version = publish(store)
    (items,) = read_arrays(store.open(version) / "als", "items")
    damage_manifest_metric(store.folder / version)
    with pytest.raises(BadArtifact, match=f"^{version}/manifest.json"):
        store.publish(lambda folder: write_arrays(folder, items=items), About())
    assert store.list_versions() == (version,)
    publish(store)


def test_a_folder_under_another_versions_name_is_refused(store):
    version = publish(store)
    moved = (store.folder / version).rename(store.folder / "20200101-000000-abcd")
    with pytest.raises(BadArtifact, match=version):
        verify(moved)


def test_a_newer_format_says_so(store):
    folder = store.folder / publish(store)
    text = (folder / "manifest.json").read_text()
    body = text[text.index('"manifest": ') + 12 : -2].replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}')
    digest = hashlib.blake2b(body.encode(), digest_size=32).hexdigest()
    (folder / "manifest.json").write_text(f'{{"digest": "{digest}", "manifest": {body}}}')
    with pytest.raises(BadArtifact, match=f"format {FORMAT + 1}.*upgrade"):
        verify(folder)


@pytest.mark.parametrize("text", ["", "nonsense\n", "20200101-000000-abcd", "\udcff\n"])
def test_a_damaged_pointer_is_an_error_and_promoting_mends_it(store, text):
    version = publish(store)
    (store.folder / "current").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadArtifact, match="current"):
        store.current()
    store.promote(version)
    assert store.current() == version


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError, MemoryError])
def test_a_writer_that_fails_leaves_nothing_behind(store, fault):
    live = publish(store)
    store.promote(live)

    def write(folder: Path) -> None:
        fill(folder)
        raise fault

    with pytest.raises(fault):
        store.publish(write, About())
    assert store.list_versions() == (live,)
    assert leftovers(store) == []


def test_arrays_that_are_no_arrays_are_named(tmp_path):
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    for name in ("broken", "pickled", "absent"):
        with pytest.raises(BadArtifact, match=f"{name}.npy"):
            read_arrays(tmp_path, name)


CRASHES = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    import numpy as np
    from recengine import hashes
    from recengine.arrays import write_arrays
    from recengine.artifacts.manifest import About
    from recengine.artifacts.store import ArtifactStore

    hashes.SETTLED = 1 << 60  # whether a file is read again would hang on how fast the machine is
    root, how = Path(sys.argv[1]), sys.argv[2]
    WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "os.truncate"}
    armed, seen, at = False, 0, 0

    def hook(event, args):
        global seen
        if armed and event in WATCHED and str(root) in str(args[0]):
            seen += 1
            if seen == at:
                if how == "kill":
                    os._exit(9)
                raise OSError(28, "no space left on device")

    def write(folder):
        (folder / "als").mkdir()
        write_arrays(folder / "als", items=np.arange(4.0))
        write_arrays(folder, counts=np.arange(3))

    sys.addaudithook(hook)
    results = []
    for step in range(1, 200):
        store = ArtifactStore(root / str(step))
        old = store.publish(write, About())
        store.promote(old)
        pid = os.fork()
        if pid == 0:
            armed, seen, at = True, 0, step
            try:
                store.promote(store.publish(write, About()))
                store.prune(1)
            except OSError:
                os._exit(1)
            os._exit(0 if seen < at else 2)  # 2: the fault was survived
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        live = store.current()
        opens = store.open().name == live and all(store.open(v) for v in store.list_versions())
        temporary = sorted(p.name for p in store.folder.glob(".tmp-*"))
        store.prune(9)
        results.append({"code": code, "old": live == old, "opens": opens, "temporary": temporary,
                        "swept": not list(store.folder.glob(".tmp-*")), "versions": len(store.list_versions())})
        if code == 0:
            break
    print(json.dumps(results))
    """
)


@pytest.mark.parametrize("how", ["kill", "error"])
def test_dying_or_failing_at_any_step_leaves_the_old_or_the_new_version_live_and_whole(tmp_path, how):
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, str(tmp_path), how], capture_output=True, text=True, check=True
    )
    results = json.loads(done.stdout)
    assert len(results) > 15, "the steps were watched"
    assert results[-1]["code"] == 0, "the last run went through untouched"
    assert all(r["opens"] and r["swept"] for r in results)
    assert {r["old"] for r in results} == {True, False}
    changed = [r["old"] for r in results if r["code"] not in (0, 2)]
    assert changed == sorted(changed, reverse=True), "once the pointer has moved it stays moved"
    if how == "error":
        assert all(r["temporary"] == [] for r in results[:-1] if r["old"])
