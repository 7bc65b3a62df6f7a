"""A file that is written whole stands there complete, or as it was before; whoever gives the content keeps its errors."""

import pytest

from recengine.durable import whole
from recengine.errors import DirectoryInvalid, StoreFailed


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "out"
    with whole(target) as file:
        file.write(b"all of it")
        assert not target.exists()
    assert target.read_bytes() == b"all of it"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [StoreFailed("the disk refused"), ValueError("a defect")], ids=type)
def test_an_error_of_who_writes_is_kept_and_so_is_the_old_file(tmp_path, error):
    target = tmp_path / "out"
    target.write_bytes(b"old")

    def write():
        with whole(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert caught.value is error
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_disk_that_refuses_is_said_with_the_name_of_the_file(tmp_path):
    with pytest.raises(DirectoryInvalid, match="there is no such folder to write out to"), whole(tmp_path / "none" / "out"):
        pass
    (tmp_path / "taken").mkdir()
    with pytest.raises(DirectoryInvalid, match="taken: is a folder"), whole(tmp_path / "taken"):
        pass
    long = "x" * 250  # with what the file is called until it is whole, more than a name may have
    with pytest.raises(DirectoryInvalid, match="xx: cannot be written"), whole(tmp_path / long):
        pass
