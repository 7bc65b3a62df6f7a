"""The demo, start to end: make the shop, ingest, learn, recommend to a warm and a cold user, let a newcomer click."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from recengine.demo.felt import Felt, click, newcomer
from recengine.demo.shop import generate
from recengine.engine import Engine
from recengine.errors import DirectoryInvalid
from recengine.offline.cycle import CycleReport
from recengine.offline.ingest import IngestReport
from recengine.store.database import FILE
from recengine.types import Response

__all__ = ("DemoReport", "run")

SEED = 0


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did."""

    seed: int
    users: int
    items: int
    events: int
    ingest: IngestReport
    train: CycleReport
    replies: tuple[Response, ...]
    """To a user with a long history, and to one that nobody has met."""
    titles: tuple[list[str], ...]
    felt: Felt
    """What a newcomer's first clicks changed at once."""


def run(folder: Path, *, progress: Callable[[str, int, int], None] | None = None) -> DemoReport:
    """Make a demo shop in `folder` (its raw files in `folder/raw`), train, recommend, and record clicks.

    Raises
    ------
    DirectoryInvalid : `folder` has something in it that is not a data directory.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).exists():
        raise DirectoryInvalid(f"{folder}: is not empty and no data directory", hint="choose another folder")
    report = progress or (lambda _what, _done, _total: None)
    with Engine.open(folder, create=True) as engine:
        files = generate(folder / "raw", seed=SEED, progress=lambda done, total: report("shop", done, total))
        ingested = engine.ingest(
            events=files.events, items=files.items, users=files.users, columns=files.columns, progress=report
        )
        trained = engine.train(progress=report)
        replies = tuple(engine.recommend(user, explain=True) for user in (files.warm_user, files.cold_user))
        return DemoReport(
            seed=SEED,
            users=files.n_users,
            items=files.n_items,
            events=files.n_events,
            ingest=ingested,
            train=trained,
            replies=replies,
            titles=tuple(engine.titles([item.item_id for item in reply.items]) for reply in replies),
            felt=click(engine, newcomer(engine)),
        )
