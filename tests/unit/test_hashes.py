"""A file is read for its hash once, as long as it stays the same file."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from recengine import config, hashes, index
from recengine.arrays import read_arrays, write_arrays
from recengine.artifacts.manifest import About
from recengine.artifacts.store import ArtifactStore
from recengine.durable import digest_of
from recengine.errors import BadArtifact
from recengine.hashes import hashed, kept


@pytest.fixture
def read(monkeypatch):
    """The paths that were read."""
    paths = []

    plain = hashlib.file_digest

    def counted(file, how):
        paths.append(Path(file.name))
        return plain(file, how)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return paths


@pytest.fixture
def file(tmp_path):
    """A file that has not changed for a while."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    time.sleep(2 * hashes.SETTLED / 1e9)
    return path


def settle():
    time.sleep(2 * hashes.SETTLED / 1e9)


def test_a_second_name_given_while_it_is_kept_is_not_read(file, read):
    assert hashed(file) == digest_of(b"one")
    with kept([file]):
        os.link(file, file.with_name("b"))
    assert hashed(file.with_name("b")) == hashed(file) == digest_of(b"one")
    assert read == [file]


def test_a_name_removed_while_it_is_kept_leaves_the_other_known(file, read):
    os.link(file, file.with_name("b"))
    settle()
    hashed(file)
    with kept([file]):
        file.unlink()
    assert hashed(file.with_name("b")) == digest_of(b"one")
    assert read == [file]


def test_a_second_name_that_anybody_else_gave_is_read(file, read):
    hashed(file)
    os.link(file, file.with_name("b"))
    assert hashed(file.with_name("b")) == digest_of(b"one")
    assert len(read) == 2


def test_a_change_that_sets_the_time_of_writing_back_is_seen(file, read):
    hashed(file)
    was = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns)
    assert hashed(file) == digest_of(b"two")
    assert len(read) == 2


def test_a_change_just_before_is_not_believed_because_its_time_of_writing_is_old(tmp_path, read):
    file = tmp_path / "a"
    for content in (b"one", b"two", b"six") * 20:
        file.write_bytes(content)
        os.utime(file, ns=(1, 1))
        assert hashed(file) == digest_of(content)
    assert len(read) == 60


def test_a_write_while_it_is_kept_is_seen(file, read):
    hashed(file)
    with kept([file]):
        file.write_bytes(b"two")
    settle()
    assert hashed(file) == digest_of(b"two")


def test_keeping_a_file_that_is_not_known_makes_nothing_known(file, read):
    with kept([file]):
        os.link(file, file.with_name("b"))
    settle()
    assert hashed(file) == digest_of(b"one")
    assert read == [file]


def test_a_chain_of_versions_reads_a_shared_file_once_though_old_ones_go(tmp_path, read):
    store = ArtifactStore(tmp_path)
    version = store.publish(lambda folder: [write_arrays(folder, a=np.arange(9)), settle()], About())
    for _ in range(4):
        (array,) = read_arrays(store.open(version), "a")
        version = store.publish(lambda folder, array=array: write_arrays(folder, a=array), About())
        store.promote(version, sealed=True)
        store.prune(1)
    assert len(store.list_versions()) == 2
    store.open(version)
    assert len(read) == 1


def test_the_arrays_of_an_index_are_not_read_again_for_its_card(tmp_path, read):
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    kind = config.Index(kind="exact")
    made = index.build(vectors, kind, threads=1)
    made.save(tmp_path)
    settle()
    hashed(tmp_path / "vectors.npy")  # as `verify` does
    read.clear()
    index.load(kind, tmp_path)
    assert read == []
    with (tmp_path / "vectors.npy").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    with pytest.raises(BadArtifact, match="vectors.npy: the content has changed"):
        index.load(kind, tmp_path)


def test_a_change_in_place_is_seen(file, read):
    hashed(file)
    file.write_bytes(b"two")
    assert hashed(file) == digest_of(b"two")
    assert len(read) == 2


def test_another_file_under_the_name_is_seen(file, read):
    hashed(file)
    other = file.with_name("b")
    other.write_bytes(b"two")
    other.replace(file)
    assert hashed(file) == digest_of(b"two")
    assert len(read) == 2


def test_a_file_that_has_just_changed_is_not_believed(tmp_path, read):
    file = tmp_path / "a"
    for content in (b"one", b"two", b"six") * 20:
        file.write_bytes(content)
        assert hashed(file) == digest_of(content)
    assert len(read) == 60


def test_no_more_is_remembered_than_said(tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "REMEMBERED", 3)
    for n in range(9):
        (tmp_path / str(n)).write_bytes(b"%d" % n)
    time.sleep(2 * hashes.SETTLED / 1e9)
    assert [hashed(tmp_path / str(n)) for n in range(9)] == [digest_of(b"%d" % n) for n in range(9)]
    assert len(hashes._known) <= 3
