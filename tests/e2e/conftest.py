"""One small shop for the end-to-end tests: ingested and trained once a session, copied for tests that change it."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine import Engine
from recengine.cli import main
from recengine.server.app import build
from tests.e2e.shelves import Lite, Postgres

CONFIG = """
[[model]]
kind = "als"
factors = 8
time_budget_ms = 100000
epochs = 6

[[model]]
kind = "item_knn"
time_budget_ms = 100000

[[model]]
kind = "user_knn"
time_budget_ms = 100000

[[model]]
kind = "popularity"

[training]
tune_blend = false  # every model has a say, whatever a small validation part thinks of it
"""


def tables(seed=0, users=120, items=80, events=4000):
    """Two tastes: even users like the first half of the items, odd ones the second."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, events)
    item = np.where(rng.random(events) < 0.85, rng.integers(0, items // 2, events) + (user % 2) * (items // 2), rng.integers(0, items, events))
    kind = rng.choice(["view", "click", "purchase", "dislike", "block"], events, p=(0.5, 0.3, 0.15, 0.03, 0.02))
    stamp = 1_750_000_000 + np.sort(rng.integers(0, 90 * 86_400, events))
    return {
        "events": pa.table({"user_id": [f"u{u}" for u in user], "item_id": [f"i{i}" for i in item], "type": kind, "timestamp": stamp}),
        "items": pa.table(
            {
                "item_id": [f"i{i}" for i in range(items)],
                "title": [f"Thing number {i}" for i in range(items)],
                "category": [("bags", "hats")[i >= items // 2] for i in range(items)],
                "brand": [f"b{i % 7}" for i in range(items)],
                "price": rng.lognormal(3, 1, items),
            }
        ),
        "users": pa.table({"user_id": [f"u{u}" for u in range(users + 5)], "gender": [("f", "m")[u % 2] for u in range(users + 5)]}),
    }


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, table in tables().items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="session")
def _trained(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("trained") / "shop"
    path.mkdir()
    (path / "recengine.toml").write_text(CONFIG)
    with Engine.open(path, create=True) as engine:
        engine.ingest(**{name: files / f"{name}.parquet" for name in ("events", "items", "users")})
        engine.train()
    return path


@pytest.fixture
def shop(_trained, tmp_path):
    """The path of a trained shop that the test may change."""
    return shutil.copytree(_trained, tmp_path / "shop")


@pytest.fixture(scope="session")
def engine(_trained):
    """An open engine for tests that only ask."""
    with Engine.open(_trained) as opened:
        yield opened


@pytest.fixture(scope="module")
def behind(_trained, tmp_path_factory):
    """An engine behind a door, for a module of tests that also tell it things."""
    path = shutil.copytree(_trained, tmp_path_factory.mktemp("served") / "shop")
    with Engine.open(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def door(behind):
    return build(behind)


@pytest.fixture
def run(capsys):
    """`run("train", shop)`: type a command; returns its exit code, what it said and what it complained of."""

    def typed(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return typed


@pytest.fixture
def pg(postgres):
    made = Postgres(postgres)
    yield made
    made.run(f"DROP SCHEMA {made.schema} CASCADE")


@pytest.fixture(params=["sqlite", "postgres"])
def shelf(request, tmp_path):
    return Lite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("pg")
