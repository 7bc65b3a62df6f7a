"""A data directory: made once, recognised, and what is none refused with a hint."""

import os

import pytest

from recengine.errors import DirectoryInvalid
from recengine.store import directory
from recengine.store.database import FILE


def test_a_directory_is_made_once_and_recognised(tmp_path):
    directory.create(tmp_path / "new" / "shop")
    directory.check(tmp_path / "new" / "shop")
    with pytest.raises(DirectoryInvalid, match="already"):
        directory.create(tmp_path / "new" / "shop")
    with pytest.raises(DirectoryInvalid, match="not empty"):
        directory.create(tmp_path / "new")


def test_what_is_no_data_directory_is_refused_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "foreign").mkdir()
    for name, what in (("absent", "does not exist"), ("file", "is a file"), ("foreign", f"has no {FILE}")):
        with pytest.raises(DirectoryInvalid, match=what) as caught:
            directory.check(tmp_path / name)
        assert "recengine init" in caught.value.hint
    with pytest.raises(DirectoryInvalid):
        directory.create(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    shop = tmp_path / "shop"
    directory.create(shop)
    shop.chmod(0o500)
    try:
        with pytest.raises(DirectoryInvalid, match="not writable"):
            directory.check(shop)
    finally:
        shop.chmod(0o700)
