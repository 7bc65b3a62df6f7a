"""A file is read for its hash once, as long as it stays the same file."""

import os
import time

import pytest

from recengine.artifacts import hashes
from recengine.artifacts.hashes import hashed
from recengine.durable import digest, digest_of


@pytest.fixture
def read(monkeypatch):
    """The paths that were read."""
    paths = []

    def counted(path):
        paths.append(path)
        return digest(path)

    monkeypatch.setattr(hashes, "digest", counted)
    return paths


@pytest.fixture
def file(tmp_path):
    """A file that has not changed for a while."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    time.sleep(2 * hashes.SETTLED / 1e9)
    return path


def test_a_second_name_of_a_known_file_is_not_read(file, read):
    assert hashed(file) == digest_of(b"one")
    os.link(file, file.with_name("b"))
    assert hashed(file.with_name("b")) == hashed(file) == digest_of(b"one")
    assert read == [file]


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
