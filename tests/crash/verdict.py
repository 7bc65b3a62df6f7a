"""What must hold after the last restart: every acknowledged event is there, once, and felt; nothing is there twice."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from recengine import Engine
from recengine.errors import UnknownItem
from tests.crash.ledger import Ledger

ROWS = """
SELECT u.id, i.id, count(*) AS n FROM events e
JOIN user_ids u ON u."row" = e."user" JOIN item_ids i ON i."row" = e.item
WHERE starts_with(u.id, ?) GROUP BY ALL
"""
IDS = "SELECT event_id, count(*) FROM event_ids WHERE starts_with(event_id, ?) GROUP BY ALL"


@dataclass
class Verdict:
    """What is wrong: event_ids."""

    acknowledged: int
    lost: list[str]
    """Acknowledged, and not in the database."""
    twice: list[str]
    """Sent, acknowledged or not, and more than once in the database."""
    unfelt: list[str]
    """Acknowledged, and not in the user's history that answers are made from."""
    complaints: list[str]
    unput: list[str]
    """Items whose acknowledged revision is not there."""
    kept: list[str]
    """Users that were acknowledged as forgotten, and still are in the database or in its snapshot."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.unfelt or self.complaints or self.unput or self.kept)


def examine(folder: Path, ledger: Ledger) -> Verdict:
    """Open the folder as an application would, let it go, and count in the database itself."""
    with Engine.open(folder) as engine:
        felt = _felt(engine, ledger)
        unput = [item for item, revisions in ledger.put.items() if not revisions[0] <= _revision(engine, item) <= revisions[1]]
    kept = {
        name
        for path in (folder / "recengine.duckdb", *sorted((folder / "snapshot").glob("*/recengine.duckdb"))[-1:])
        for name in ledger.forgotten & _named(path)
    }
    with duckdb.connect(str(folder / "recengine.duckdb"), read_only=True) as con:
        rows = {(user, item): n for user, item, n in con.execute(ROWS, [ledger.prefix]).fetchall()}
        ids = dict(con.execute(IDS, [ledger.prefix]).fetchall())
    known = sorted(ledger.acknowledged)
    return Verdict(
        acknowledged=len(known),
        lost=[e for e in known if e not in ids or ledger.sent[e] not in rows],
        twice=[e for e, pair in ledger.sent.items() if rows.get(pair, 0) > 1 or ids.get(e, 0) > 1],
        unfelt=[e for e in known if ledger.sent[e] not in felt],
        complaints=ledger.complaints,
        unput=unput,
        kept=sorted(kept),
    )


def _revision(engine: Engine, item: str) -> int:
    try:
        return int(engine.item(item).attributes["revision"])
    except UnknownItem:
        return 0


def _named(path: Path) -> set[str]:
    """Names of users, and ids of events, in a database."""
    with duckdb.connect(str(path), read_only=True) as con:
        return {name for (name,) in con.execute("SELECT id FROM user_ids UNION SELECT event_id FROM event_ids").fetchall()}


def _felt(engine: Engine, ledger: Ledger) -> set[tuple[str, str]]:
    """The (user, item) pairs of the ledger's users that the engine's histories hold."""
    history, users = engine.interactions(), engine.users()
    names = engine._ids.items.ids(np.arange(history.n_items, dtype=np.int32))
    ours = [row for row, user in enumerate(users) if user.startswith(ledger.prefix)]
    return {(users[row], names[item]) for row in ours for item in history.items[history.indptr[row] : history.indptr[row + 1]]}
