"""Trained data directories for the benches that ask a whole engine: Gowalla (41 k items) and the demo shop."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench import data
from recengine import Engine
from recengine.demo import generate
from recengine.types import Request


@contextlib.contextmanager
def gowalla(keep: str, *, small: bool = False) -> Iterator[Engine]:
    """Open an engine over Gowalla's training part, made in `keep` or in a folder that goes away."""
    with _folder(keep) as folder:
        new = not (folder / "recengine.duckdb").exists()
        with Engine.open(folder, create=True) as engine:
            if new:
                table = pq.read_table(data.require("gowalla/train.parquet"))
                engine.ingest(
                    events=table.slice(0, 50_000) if small else table, columns={"user": "user", "item": "item"}
                )
                engine.train(force=True)
            yield engine


@contextlib.contextmanager
def demo(keep: str, *, small: bool = False) -> Iterator[Engine]:
    """Open an engine over the demo shop, made as in `gowalla`."""
    with _folder(keep) as folder:
        new = not (folder / "recengine.duckdb").exists()
        with Engine.open(folder, create=True) as engine:
            if new:
                sizes = {"users": 300, "items": 200, "events": 8_000} if small else {}
                files = generate(folder / "raw", images=False, **sizes)
                engine.ingest(events=files.events, items=files.items, users=files.users, columns=files.columns)
                engine.train(force=True)
            yield engine


def some(users: list[str], n: int, seed: int = 0) -> list[str]:
    """Draw n users without replacement, in a fixed order."""
    rng = np.random.default_rng(seed)
    return [users[k] for k in rng.permutation(len(users))[:n]]


def request(user: str) -> Request:
    """Ask as `GET /v1/users/{id}/recommendations` does by default."""
    return Request(user_id=user)


@contextlib.contextmanager
def _folder(keep: str) -> Iterator[Path]:
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        yield Path(keep)
    else:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name) / "shop"
