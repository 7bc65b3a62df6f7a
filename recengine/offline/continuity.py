"""May an increment replace what is live: does it still say nearly the same to those of whom nothing new is known.

On the offline spine, where `validate` stands in a full training; it is no substitute for that. An increment has no
held-out part: it has learned from everything. But it differs from the live deployment, which a gate let through, only
by a little new data, so its lists have to be like those. In: both deployments and what they may know. Out: a
`ContinuityReport`, and from `gate` a `PassedContinuity`, which `deploy` takes.
"""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from recengine.config import Config
from recengine.errors import GateFailed
from recengine.kernels import cores
from recengine.offline.build import NEVER, Part, Rows, query
from recengine.offline.choose import drawn
from recengine.offline.rank import blended
from recengine.retrieval.deployment import Deployment
from recengine.types import I32, TrainingData

__all__ = ("LEAST", "ContinuityReport", "PassedContinuity", "gate", "run")

USERS = 50
"""Compared; the standard error of their mean overlap is below 0.04, and `LEAST` is far from what is usual."""
LEAST = 0.5
"""Overlap below which an increment is refused. One with 1 % new events keeps 0.95 to 0.99 on Gowalla."""


class ContinuityReport(msgspec.Struct, frozen=True, kw_only=True):
    """How like the lists of the increment are to those of the live deployment."""

    at: int
    users: int
    """Compared, drawn with the seed among those who did nothing new (all, where those are too few)."""
    overlap: float
    """Mean share of the live deployment's top `at` that stays; 1.0 where nobody has a list."""
    unsound: tuple[str, ...]
    """Models with a score that is infinite, or that score nothing any more where the live one did."""


class PassedContinuity(ContinuityReport, frozen=True, kw_only=True):
    """A report that the gate let through; made by `gate` alone."""


def run(live: Deployment, updated: Deployment, data: TrainingData, changed: I32, config: Config) -> ContinuityReport:
    """Ask both deployments for lists, as serving would.

    Parameters
    ----------
    data : what `updated` has learned from.
    changed : int32, ascending, the users with something new.

    Cost: two times the lists of `USERS` users.
    """
    at, threads = config.training.at, cores(config.training.threads)
    rows = data.interactions
    known = np.flatnonzero(np.diff(rows.indptr) > 0).astype(np.int32)
    still = np.setdiff1d(known[known < live.n_users], changed, assume_unique=True).astype(np.int32)
    users = drawn(still if len(still) >= USERS else known, USERS, config.training.seed)
    nobody = Rows(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))
    part = Part(data, (rows.indptr, rows.items), nobody, NEVER, NEVER, np.empty(0, np.int64))
    newer = np.isin(users, changed).astype(np.uint8)
    share = max(1, threads // 2)
    with ThreadPoolExecutor(1, thread_name_prefix="recengine-compare") as beside:  # half of it is on one thread
        asked_live = beside.submit(blended, live, part, users, at, config, changed=newer, threads=share)
        after = blended(updated, part, users, at, config, threads=share)
        before = asked_live.result()
    asked = (before >= 0).sum(axis=1)
    kept = np.array([len(np.intersect1d(b[b >= 0], a)) for b, a in zip(before, after, strict=True)])
    listed = asked > 0
    return ContinuityReport(
        at=at,
        users=len(users),
        overlap=float((kept[listed] / asked[listed]).mean()) if listed.any() else 1.0,
        unsound=_unsound(live, updated, data, users, before, config),
    )


def gate(report: ContinuityReport) -> PassedContinuity:
    """Let the report pass.

    Raises
    ------
    GateFailed : the lists are not like those of the live deployment, or a model broke.
    """
    if report.unsound:
        models = ", ".join(report.unsound)
        raise GateFailed(f"the increment broke {models}: scores are lost or infinite", hint="train in full")
    if report.overlap < LEAST:
        raise GateFailed(
            f"the increment keeps {report.overlap:.0%} of the live deployment's top {report.at}, over {report.users} "
            f"users; expected at least {LEAST:.0%}",
            hint="train in full: `recengine train DIR` judges whether that is better",
        )
    return PassedContinuity(**{name: getattr(report, name) for name in ContinuityReport.__struct_fields__})


def _unsound(
    live: Deployment, updated: Deployment, data: TrainingData, users: I32, lists: I32, config: Config
) -> tuple[str, ...]:
    """Name the models that broke, judged on the live deployment's lists."""
    indptr = np.concatenate(([0], np.cumsum((lists >= 0).sum(axis=1)))).astype(np.int64)
    items = np.ascontiguousarray(lists[lists >= 0])
    found = []
    for old, new in zip(live.members, updated.members, strict=True):
        was = old.scorer.score(query(data, users, limit=config.serving.history_limit), indptr, items)
        now = new.scorer.score(query(data, users, limit=config.serving.history_limit), indptr, items)
        if np.isinf(now).any() or (np.isnan(now) & ~np.isnan(was)).mean() > 1 - LEAST:
            found.append(new.name)
    return tuple(found)
