"""What an engine answers: recommendations, lists, neighbours, explanations. Nothing here changes what is stored."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from operator import is_
from pathlib import Path
from typing import Any

import msgspec

from recengine.algorithms.base import Progress
from recengine.engine.held import Held
from recengine.errors import BadRequest, UnknownItem, UnknownUser
from recengine.expressions import depends_on_now, parse
from recengine.jobs.export import ExportReport, export
from recengine.kernels import cores
from recengine.online.decisions import again, decisions
from recengine.online.reasons import title
from recengine.online.replies import body, kept, tail
from recengine.online.requests import N, asked, asked_of_all
from recengine.online.response import request_id
from recengine.retrieval.sources import CELLS
from recengine.store.decisions import Impression, read_decision, read_impressions
from recengine.types import F32, I32, Decision, Explanation, Interactions, Recommendation, Request, Response

__all__ = ("Answers",)

encode = msgspec.json.Encoder().encode


class Answers(Held):
    """The asking side of an engine."""

    def recommend(self, user: str | Request | None = None, n: int = N, **wishes: Any) -> Response:
        """Recommend items to one user.

        Parameters
        ----------
        user : a user id (unknown or None = cold), or a whole `Request`.
        n : items wanted; the reply holds so many whenever so many are eligible.
        wishes : further fields of `Request`, such as `filter="price < 50"`.

        Raises
        ------
        RequestError : a field is out of range or of the wrong type; the message names it.
        NotTrained : nothing is deployed yet.
        """
        request = asked(user, n, wishes)
        return self._answer((request,), 1)[0]

    def recommend_batch(self, users: Iterable[str | Request], n: int = N, **wishes: Any) -> list[Response]:
        """Recommend to many users at once, on all cores; the same answers as one by one."""
        requests = asked_of_all(users, n, wishes)
        count = cores()
        size = max(1, min(1024, CELLS // max(self._state.items.n, 1)))
        chunks = [tuple(requests[start : start + size]) for start in range(0, len(requests), size)]
        if len(chunks) < count:
            return [reply for chunk in chunks for reply in self._answer(chunk, count)]
        # One chunk a core: while one is in Python the others are in kernels, which let go of the interpreter.
        with ThreadPoolExecutor(count, thread_name_prefix="recengine-batch") as pool:
            return [reply for found in pool.map(self._answer, chunks, repeat(1)) for reply in found]

    def rank(self, items: Sequence[str], user: str | None = None, **wishes: Any) -> Response:
        """Order the given items for one user, best first; what may not be shown is left out and named in `degraded`.

        Parameters
        ----------
        items : ids, at most `serving.max_n`.
        wishes : fields of `Request` but `n`, `allow`.

        Raises
        ------
        BadRequest : no items, or too many.
        """
        if isinstance(items, str) or not items:
            raise BadRequest("items: expected a list of item ids, got none" if not items else "items: expected a list")
        once = tuple(dict.fromkeys(items))
        return self.recommend(user, len(once), **({"exclude_seen": False, "diversity": 0.0} | wishes), allow=once)

    def reply(self, request: Request, key: bytes | None = None) -> bytes:
        """Answer as JSON, and keep the body under `key` where the same wish would be answered the same again.

        Not kept: replies to visits (`session_id`, `events`), under a deadline, with a filter on the present moment, or
        degraded.
        """
        if key is None or not self._lasting(request):
            return encode(self._answer((request,), 1)[0])
        stamp = self._stamp(request.user_id)  # before the reply is computed: what happens meanwhile makes it old
        reply = self._answer((request,), 1)[0]
        rest = tail(reply)
        if not reply.degraded:
            self._replies.keep(key, kept(reply, rest, stamp, self.config.serving.cache_seconds))
        return body(reply.request_id, rest)

    def cached(self, key: bytes) -> bytes | None:
        """Return the body kept under `key`, with a request_id of its own, if nothing happened since that counts.

        None = it has to be computed. Cost: about 5 us.
        """
        replies = self._replies
        entry = replies.find(key)
        if entry is None or not all(map(is_, entry.stamp, self._stamp(entry.user_id))):
            replies.misses += 1
            return None
        replies.hits += 1
        name = request_id()
        self._feedback.note((again(name, entry.user_id, entry.version, entry.first),))
        return body(name, entry.tail)

    def explain(self, user: str | Request | None, item: str, **wishes: Any) -> Explanation:
        """Say why `item` would, or would not, be shown to `user`.

        Raises
        ------
        UnknownItem : `item` was never ingested.
        """
        return self.spine().explain(asked(user, N, wishes), self._item(item))

    def similar_items(self, item: str, n: int = N) -> tuple[Recommendation, ...]:
        """List the items most like `item`, available ones only; the first model that knows decides.

        Raises
        ------
        UnknownItem : `item` was never ingested.
        """
        return self._listed(*self.spine().lists.similar_items(self._item(item), n), "similar")

    def similar_users(self, user: str, n: int = N) -> tuple[tuple[str, float], ...]:
        """List the users most like `user` with their similarity.

        Raises
        ------
        UnknownUser : `user` was never ingested.
        """
        live = self.spine()
        if self._ids.users.row(user) < 0:
            raise UnknownUser(f"user {user!r} was never ingested", hint="ids are compared as text, exactly")
        rows, scores = live.lists.similar_users(live.query(Request(user_id=user)), n)
        return tuple(zip(self._ids.users.ids(rows), scores.tolist(), strict=True))

    def popular(self, n: int = N, *, category: str | None = None) -> tuple[Recommendation, ...]:
        """List the most popular items, of one category or of all."""
        return self._ranking("popular", n, category)

    def trending(self, n: int = N) -> tuple[Recommendation, ...]:
        """List what is popular of late."""
        return self._ranking("trending", n, None)

    def latest(self, n: int = N) -> tuple[Recommendation, ...]:
        """List the newest items."""
        return self._ranking("latest", n, None)

    def export(
        self,
        target: str | os.PathLike[str],
        *,
        users: Sequence[str] | None = None,
        n: int = N,
        progress: Progress | None = None,
        **wishes: Any,
    ) -> ExportReport:
        """Write recommendations for `users` (None = all) to a .parquet, .csv or .jsonl file.

        Raises
        ------
        BadRequest : the name has another ending, or a wish is wrong.
        DirectoryInvalid : the folder is missing or cannot be written.
        NotTrained : nothing is deployed yet.
        """
        self.spine()
        names = users if users is not None else self.users()

        def batches() -> Iterator[list[Response]]:
            for start in range(0, len(names), 1024):
                yield self.recommend_batch(names[start : start + 1024], n, **wishes)
                if progress is not None:
                    progress(min(start + 1024, len(names)), len(names))

        return export(batches(), Path(target))

    def titles(self, items: Sequence[str]) -> list[str]:
        """Name items in words: their `title` attribute, else their id."""
        rows = self._ids.items.rows(items).tolist()  # -1 = never ingested: its id must do
        return [title(self._state.items, row, item) for row, item in zip(rows, items, strict=True)]

    def decision(self, request_id: str) -> Decision | None:
        """Look up what was shown under `request_id`; None = there is no such record."""
        if not isinstance(request_id, str):
            raise BadRequest(f"request_id: expected str, got {type(request_id).__name__}")
        self._feedback.flush()
        return read_decision(self._database, request_id)

    def impressions(self, request_id: str | None = None) -> list[Impression]:
        """List the items that were shown, with their places and what their users did with them."""
        self._feedback.flush()
        return read_impressions(self._database, request_id)

    def users(self) -> list[str]:
        """List all user ids, in the order of first sight."""
        return [name for name in self._ids.users.since(0) if name]

    def interactions(self) -> Interactions:
        """Return who engaged with what, as models see it: one row a user, in the order of `users()`."""
        named = [row for row, name in enumerate(self._ids.users.since(0)) if name]  # one who is forgotten has none
        held = self._state.histories
        return held.stack([held.row(user) for user in named], self.config.serving.history_limit, self._state.items.n)

    # ------------------------------------------------------------------------------------------------ inside

    def _answer(self, requests: tuple[Request, ...], threads: int) -> list[Response]:
        found: dict[int, Response] = {}
        seq, rate = self._state.seq, self.config.serving.decision_rate
        for places, replies, trace in self.spine().answer(requests, threads=threads):
            asked_for = [requests[place] for place in places]
            self._feedback.note(decisions(asked_for, replies, trace, seq=seq, rate=rate), patient=len(requests) > 1)
            found |= zip(places, replies, strict=True)
        return [found[place] for place in range(len(requests))]

    def _ranking(self, kind: str, n: int, category: str | None) -> tuple[Recommendation, ...]:
        live = self.spine()
        return self._listed(*live.lists.ranking(kind, n, category), kind)

    def _listed(self, rows: I32, scores: F32, kind: str) -> tuple[Recommendation, ...]:
        return tuple(
            Recommendation(i, s, kind) for i, s in zip(self._ids.items.ids(rows), scores.tolist(), strict=True)
        )

    def _item(self, item: str) -> int:
        row = self._ids.items.row(item)
        if not 0 <= row < self._state.items.n:
            raise UnknownItem(f"item {item!r} was never ingested", hint="ids are compared as text, exactly")
        return row

    def _stamp(self, user_id: str | None) -> tuple[object, ...]:
        return (self._live, *self._state.stamp(-1 if user_id is None else self._ids.users.row(user_id)))

    @staticmethod
    def _lasting(request: Request) -> bool:
        """Say whether the same wish is answered the same as long as nothing happens."""
        if request.session_id is not None or request.events or request.deadline_ms is not None:
            return False
        return request.filter is None or not depends_on_now(parse(request.filter))
