"""Positive entries as the trainer draws from them: flat arrays, parts of them, and what a user engaged with."""

import msgspec
import numpy as np

from recengine.types import F32, I32, I64, Bools, Interactions

__all__ = ("Entries",)


class Entries(msgspec.Struct, frozen=True):
    """Entries ordered by user, oldest first.

    `users`, `items`, `times` int64 (n,), `weights` float32 (n,); `pairs` int64 ascending: user * n_items + item of all
    that users ever gave an opinion of.
    """

    users: I64
    items: I64
    times: I64
    weights: F32
    pairs: I64
    n_users: int
    n_items: int

    @classmethod
    def of(cls, rows: Interactions) -> "Entries":
        """Take those of positive weight; what was disliked is no unseen item either."""
        users = np.repeat(np.arange(rows.n_users), np.diff(rows.indptr))
        pairs = np.sort(users * rows.n_items + rows.items)
        liked = rows.weights > 0
        items = rows.items[liked].astype(np.int64)
        return cls(users[liked], items, rows.times[liked], rows.weights[liked], pairs, rows.n_users, rows.n_items)

    def split(self, share: float) -> tuple["Entries", "Entries"]:
        """Part each user's entries into all but the latest `share`, and those; rounded down, so a single one stays."""
        counts = np.bincount(self.users, minlength=self.n_users)
        late = np.arange(len(self.users)) >= (np.cumsum(counts) - np.floor(share * counts).astype(np.int64))[self.users]
        return self._where(~late), self._where(late)

    def apart(self, share: float, rng: np.random.Generator) -> tuple["Entries", "Entries"]:
        """Part the users: `share` of them, drawn, and the others; none where there is only one."""
        users = np.unique(self.users)
        count = min(max(1, round(share * len(users))), len(users) - 1) if share > 0 and len(users) else 0
        drawn = np.isin(self.users, rng.choice(users, count, replace=False) if count > 0 else users[:0])
        return self._where(drawn), self._where(~drawn)

    def engaged(self, users: I64, items: I64) -> Bools:
        """Tell of each pair whether the user ever gave an opinion of the item."""
        wanted = users * self.n_items + items
        at = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        return np.asarray(self.pairs[at] == wanted, dtype=np.bool_)

    def of_user(self, user: int) -> I64:
        """List one user's items, oldest first."""
        first, last = np.searchsorted(self.users, (user, user + 1))
        return self.items[first:last]

    def rows(self) -> Interactions:
        """Give the entries back as interactions."""
        indptr = np.concatenate(([0], np.cumsum(np.bincount(self.users, minlength=self.n_users)))).astype(np.int64)
        items: I32 = self.items.astype(np.int32)
        return Interactions(self.n_users, self.n_items, indptr, items, self.weights, self.times)

    def _where(self, rows: Bools) -> "Entries":
        return msgspec.structs.replace(
            self, users=self.users[rows], items=self.items[rows], times=self.times[rows], weights=self.weights[rows]
        )
