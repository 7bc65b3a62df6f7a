"""A trained shop whose users and items the ledger can name, and the compiled shim."""

import shutil

import pyarrow.parquet as pq
import pytest

from recengine import Engine
from tests.conftest import ABSENT
from tests.crash import shim
from tests.crash.ledger import Ledger
from tests.e2e.conftest import tables

CONFIG = """
[[model]]
kind = "als"
factors = 8
epochs = 2

[[model]]
kind = "popularity"
"""
ITEMS = 80


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    path = tmp_path_factory.mktemp("crash") / "shop"
    path.mkdir()
    (path / "recengine.toml").write_text(CONFIG)
    files = tables(items=ITEMS)
    for name, table in files.items():
        pq.write_table(table, path.parent / f"{name}.parquet")
    with Engine.open(path, create=True) as engine:
        engine.ingest(**{name: path.parent / f"{name}.parquet" for name in files})
        engine.train(force=True)
    return path


@pytest.fixture
def shop(_made, tmp_path):
    """The path of a trained shop that the test may ruin."""
    return shutil.copytree(_made, tmp_path / "shop")


@pytest.fixture
def ledger():
    """A ledger over the shop's items."""
    return Ledger([f"i{k}" for k in range(ITEMS)])


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The shim, compiled; skips where there is no compiler."""
    found = shim.compiled(tmp_path_factory.mktemp("shim"))
    if found is None:
        pytest.skip(f"{ABSENT}C compiler")  # of wheels: whoever builds the kernels has one
    return found


@pytest.fixture
def figure(record_property):
    """`figure(kills=10, ...)`: figures that the closing lines print under the test's name."""
    return lambda **figures: record_property("figure", ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in figures.items()))
