"""What an engine says of its features: of one user with some items, now or as of a moment, and of all of them.

Now comes from the feature store, the past from history, by the same definitions and kernels; so asking again later,
as of then, says the same.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recengine.engine.held import Held
from recengine.errors import BadRequest, UnknownItem
from recengine.features.context import CONTEXT_VALUES, read_context
from recengine.features.definition import Counted
from recengine.jobs.feature_page import Report
from recengine.jobs.feature_report import of_store
from recengine.offline.featuring.history import read_past
from recengine.offline.featuring.table import Probes, fill
from recengine.online.requests import asked
from recengine.types import F32, I32, Request

__all__ = ("Featured",)


class Featured(Held):
    """The features side of an engine."""

    def features(
        self,
        user_id: str | None,
        item_ids: Sequence[str],
        at: datetime | int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> dict[str, list[float | str | None]]:
        """Return the features of the live deployment for one user with each of some items, before any transform.

        Parameters
        ----------
        user_id : None or unknown = a visitor of whom nothing is known.
        item_ids : at most 1,000.
        at : a moment that is past, as a datetime (without a zone: UTC) or microseconds since 1970: what was known then,
            without the events of that moment itself. None = now. Where events have no moments, now alone can be asked.
        context : as `Request.context`.

        Returns
        -------
        by name, in the order of the deployment: a value an item; a category is its label; None = missing.

        Raises
        ------
        UnknownItem : an item was never ingested.
        BadRequest : `at` is not past; too many items; a context that cannot be one.
        NotTrained, NotFitted : nothing is deployed, or it has no features.

        Cost: 0.2 ms now; as of a moment all events are read, about 1 us each.
        """
        if isinstance(item_ids, str) or not 1 <= len(item_ids) <= 1000:
            raise BadRequest("item_ids: expected a list of 1 to 1000 item ids")
        rows = self._rows(item_ids)
        request = asked(user_id, 1, {"context": dict(context or {})})
        service = self.spine().features
        store = service.fitted()
        who = self.spine().context.one(request)
        user = int(who.users[0])
        values = self._as_of(_moment(at), request, user, rows) if at is not None else service.values(who, rows)
        labels = service.labels
        return {
            feature.name: _plain(row, labels.get(feature.domain, ()) if feature.dtype == "category" else None)
            for feature, row in zip(store.features.features, values, strict=True)
        }

    def feature_report(self, *, rows: int | None = None, threads: int = 0) -> Report:
        """Compute the training table as of now, and describe every feature of it.

        Parameters
        ----------
        rows : of the table at most; None = `features.rows`.
        threads : cores to compute with; 0 = as configured.

        Raises
        ------
        ConfigInvalid : a definition cannot be used; the message names file and line.
        """
        self._feedback.flush()  # what was acknowledged is in it
        threads = threads or self.config.training.threads
        return of_store(self._database, self.config, self.artifacts, rows=rows, threads=threads)

    def _rows(self, item_ids: Sequence[str]) -> I32:
        rows = self._ids.items.rows(item_ids)
        unknown = np.flatnonzero((rows < 0) | (rows >= self._state.items.n))
        if len(unknown):
            raise UnknownItem(f"item {item_ids[unknown[0]]!r} was never ingested", hint="ids are compared as text")
        return rows

    def _as_of(self, t: int, request: Request, user: int, rows: I32) -> F32:
        if self._state.kind == "integer":
            raise BadRequest("at: events have no moments here", hint="leave it out: features are told as of now")
        self._feedback.flush()
        service = self.spine().features
        features, labels = service.fitted().features, service.labels
        past = read_past(self._database, self.config, features, as_of=t)
        n = len(rows)
        probes = Probes(np.full(n, user, np.int32), rows, np.full(n, t, np.int64))
        values = fill(self._database, past, self.config, features, probes, labels)
        told = read_context(t, request.context, labels)
        for k, feature in enumerate(features.features):
            if isinstance(feature.how, Counted) and feature.how.family == "context":
                values[k] = told[CONTEXT_VALUES.index(feature.how.value)]
        return values


def _moment(at: datetime | int) -> int:
    if isinstance(at, datetime):
        at = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    if not isinstance(at, int) or isinstance(at, bool):
        raise BadRequest(f"at: expected a datetime or microseconds since 1970, got {type(at).__name__}")
    if at > time.time_ns() // 1000:
        raise BadRequest("at: expected a moment that is past", hint="leave it out for now")
    return at


def _plain(values: F32, labels: tuple[str, ...] | None) -> list[float | str | None]:
    if labels is None:
        return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN is not itself
    return [None if value != value else labels[int(value)] for value in values.tolist()]  # noqa: PLR0124
