"""Demographic affinity: what people with the same attributes engage with; a source for users without a history.

Stands beside the models (it is no `[[model]]`): fitted offline from user attributes and interactions, asked online
for cold users. In: `TrainingData`. Out: per group a shrunken lift of every candidate item, summed over the groups a
user is in. A group is a value of an attribute, or a pair of values of two attributes (`algorithms/shrinkage.py`).

Why lifts and not plain rates: a group's own list by rate is nearly the popular list; the lift says how far the group
departs from it, and the popularity enters once, however many attributes are known (naive Bayes).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from scipy import sparse

from recengine.algorithms.groups import Attribute, attribute_of, memberships
from recengine.algorithms.shrinkage import MOST_STRENGTH, Level, cross, of_cells, of_values
from recengine.arrays import read_arrays, write_arrays
from recengine.errors import BadArtifact, ConfigInvalid, NotFitted, ShapeError
from recengine.types import F32, F64, I32, I64, Evidence, Mask, TopN, TrainingData

__all__ = ("Demographic",)

PER_GROUP = 2000
"""Best items of a group that become candidates."""
MAX_CANDIDATES = 8192
"""All groups together; bounds a request to one pass over so many float32 a group."""
MAX_GROUPS = 1000
"""Labels of one attribute; lifts take 4 x candidates bytes each."""
MAX_CELLS = 1000
"""Cells of all pairs of attributes."""
_ARRAYS = ("candidates", "prior", "lifts", "user_indptr", "user_groups", "pairs")


class _Learned(msgspec.Struct, frozen=True):
    """Candidates int32 (C,) ascending; prior float32 (C,) and lifts float32 (G, C), both logs; users' groups as CSR.

    Groups are the values of attribute after attribute, then the cells of pair after pair: `pairs` int32 (P, 2) names
    two attributes, first < second, and value b of the second in value a of the first is cell a * size of second + b.
    """

    attributes: tuple[Attribute, ...]
    candidates: I32
    prior: F32
    lifts: F32
    user_indptr: I64
    user_groups: I32
    pairs: I32


class Demographic:
    """Recommend to a user by attributes alone: log p(item) + sum over the user's groups of log lift(group, item).

    Lifts are shrunken level by level: a value's towards the global rate, that of a pair of values towards what the two
    values say already. How far is learned from the data, for each attribute and each pair of attributes; a pair of
    attributes whose cells differ by no more than chance has no groups.
    """

    def __init__(self) -> None:
        self._learned: _Learned | None = None

    def fit(self, data: TrainingData, attributes: Sequence[str] = ()) -> Self:
        """Learn the lifts of all groups; with no usable attribute or no engagement, every answer will be empty.

        Parameters
        ----------
        data : entries with positive weight count, once each.
        attributes : user attributes to use (bool, string, strings; numbers are cut at quintiles); empty = all of
            these with 2 to 50 distinct values (numbers: bins).

        Raises
        ------
        ConfigInvalid : a named attribute does not exist or is of a kind that has no groups.

        Cost: two sparse products an attribute, and one partial sort of n_items a group.
        """
        used, groups = _groups(data, tuple(attributes))
        engaged = data.interactions.weights > 0
        users = np.repeat(np.arange(data.interactions.n_users), np.diff(data.interactions.indptr))[engaged]
        shape = (data.interactions.n_users, data.interactions.n_items)
        matrix = sparse.csr_matrix((np.ones(len(users)), (users, data.interactions.items[engaged])), shape=shape)
        totals = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
        levels = [of_values(block, matrix, totals) for block in groups]
        pairs, cells = _pairs(groups, levels, matrix)
        levels += [level for level, _ in cells]
        groups += [block for _, block in cells]
        ranked = np.full(shape[1], PER_GROUP, dtype=np.int64)  # the item's best place in any group
        for level in levels:
            for row in range(level.size):
                _place(ranked, totals * level.lift(row))
        candidates = np.sort(np.argsort(ranked, kind="stable")[: min(MAX_CANDIDATES, int((ranked < PER_GROUP).sum()))])
        lifts = [np.log(level.lift(row)[candidates]) for level in levels for row in range(level.size)]
        together = sparse.hstack(groups, format="csr") if groups else sparse.csr_matrix((shape[0], 0))
        together.sort_indices()
        self._learned = _Learned(
            used,
            candidates.astype(np.int32),
            np.log(totals[candidates] / max(totals.sum(), 1)).astype(np.float32),
            np.asarray(lifts, dtype=np.float32).reshape(len(lifts), len(candidates)),
            together.indptr.astype(np.int64),
            together.indices.astype(np.int32),
            pairs,
        )
        return self

    @property
    def attributes(self) -> tuple[str, ...]:
        """The user attributes that have groups."""
        return tuple(a.name for a in self._fitted().attributes)

    def recommend_for(self, attributes: Mapping[str, Any], n: int, mask: Mask) -> TopN:
        """Pick n items for somebody with these attribute values, B = 1; mask (n_items,) uint8.

        Unknown attributes and values are ignored; where nothing is known the row is empty (-1).

        Cost: one pass over the candidates for each known group.
        """
        return self._pick([self._groups_of(attributes)], n, mask[None])

    def recommend_rows(self, users: I32, n: int, mask: Mask) -> TopN:
        """Pick n items for known users from the groups they were in at training; mask (B, n_items) uint8.

        A row is empty (-1) where the user came later (or is -1) or has no known attribute.
        """
        return self._pick([self._groups_of_user(int(user)) for user in users], n, mask)

    def lift_for(self, attributes: Mapping[str, Any], items: I32) -> F32:
        """Return the summed log lift of `items` for somebody with these attribute values; 0 where nothing is known."""
        return self._lift(self._groups_of(attributes), items)

    def lift_row(self, user: int, items: I32) -> F32:
        """As `lift_for`, for a user known at training."""
        return self._lift(self._groups_of_user(user), items)

    def explain(self, attributes: Mapping[str, Any], item: int) -> tuple[Evidence, ...]:
        """Say how much the groups speak for `item`: their summed log lift; empty where they do not."""
        return self._evidence(self._groups_of(attributes), item)

    def save(self, folder: Path) -> None:
        """Write the arrays, and the attributes with their labels and bins as JSON bytes, into `folder`."""
        learned = self._fitted()
        attributes = np.frombuffer(msgspec.json.encode(learned.attributes), dtype=np.uint8)
        write_arrays(folder, attributes=attributes, **{name: getattr(learned, name) for name in _ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        names = (*_ARRAYS, "attributes")
        arrays = {name: np.asarray(a) for name, a in zip(names, read_arrays(folder, *names), strict=True)}
        try:
            attributes = msgspec.json.decode(arrays.pop("attributes").tobytes(), type=tuple[Attribute, ...])
        except msgspec.DecodeError as err:
            raise BadArtifact(
                f"{folder.name}/attributes.npy: expected JSON bytes: {err}", hint="train again, or roll back"
            ) from err
        learned = _Learned(attributes=attributes, **arrays)
        sizes = [a.size for a in attributes]
        if learned.pairs.ndim != 2 or not ((learned.pairs >= 0) & (learned.pairs < len(sizes))).all():
            raise BadArtifact(
                f"{folder.name}: pairs of attributes that are not there", hint="train again, or roll back"
            )
        cells = sum(sizes[a] * sizes[b] for a, b in learned.pairs.tolist())
        expected = (sum(sizes) + cells, len(learned.candidates))
        ends = int(learned.user_indptr[-1]) if learned.user_indptr.size else -1
        if learned.lifts.shape != expected or learned.prior.shape != expected[1:] or ends != len(learned.user_groups):
            raise BadArtifact(
                f"{folder.name}: the arrays of the demographic source disagree in length",
                hint="train again, or roll back",
            )
        source = cls()
        source._learned = learned
        return source

    def _pick(self, groups: Sequence[I32], n: int, mask: Mask) -> TopN:
        learned = self._fitted()
        if mask.ndim != 2 or len(mask) != len(groups):
            raise ShapeError(f"mask: expected {len(groups)} rows, got shape {mask.shape}")
        items = np.full((len(groups), n), -1, dtype=np.int32)
        scores = np.full((len(groups), n), np.nan, dtype=np.float32)
        candidates = learned.candidates[: np.searchsorted(learned.candidates, mask.shape[1])]
        sums: dict[bytes, F32] = {}  # users share few combinations of groups
        for row, mine in enumerate(groups):
            if len(mine) == 0:
                continue
            key = mine.tobytes()
            if key not in sums:
                sums[key] = learned.prior + learned.lifts[mine].sum(axis=0)
            allowed = np.flatnonzero(mask[row, candidates])
            best = allowed[_best(sums[key][allowed], n)]
            items[row, : len(best)] = candidates[best]
            scores[row, : len(best)] = sums[key][best]
        return TopN(items, scores)

    def _lift(self, groups: I32, items: I32) -> F32:
        learned = self._fitted()
        out = np.zeros(len(items), np.float32)
        if len(groups) == 0 or len(learned.candidates) == 0:
            return out
        place = np.minimum(np.searchsorted(learned.candidates, items), len(learned.candidates) - 1)
        known = np.flatnonzero(learned.candidates[place] == items)
        out[known] = learned.lifts[groups[:, None], place[known]].sum(axis=0)
        return out

    def _groups_of(self, attributes: Mapping[str, Any]) -> I32:
        learned = self._fitted()
        codes = [attribute.codes(attributes.get(attribute.name)) for attribute in learned.attributes]
        sizes = [attribute.size for attribute in learned.attributes]
        found: list[int] = []
        first = 0
        for mine, size in zip(codes, sizes, strict=True):
            found += [first + code for code in mine]
            first += size
        for a, b in learned.pairs.tolist():
            found += [first + one * sizes[b] + other for one in codes[a] for other in codes[b]]
            first += sizes[a] * sizes[b]
        return np.array(found, dtype=np.int32)

    def _groups_of_user(self, user: int) -> I32:
        learned = self._fitted()
        if not 0 <= user < len(learned.user_indptr) - 1:
            return np.empty(0, dtype=np.int32)
        return learned.user_groups[learned.user_indptr[user] : learned.user_indptr[user + 1]]

    def _evidence(self, groups: I32, item: int) -> tuple[Evidence, ...]:
        learned = self._fitted()
        place = int(np.searchsorted(learned.candidates, item))
        if len(groups) == 0 or place == len(learned.candidates) or learned.candidates[place] != item:
            return ()
        weight = float(learned.lifts[groups, place].sum())
        return (Evidence("demographic", weight=weight),) if weight > 0 else ()

    def _fitted(self) -> _Learned:
        if self._learned is None:
            raise NotFitted("the demographic source has not been fitted", hint="call fit or load first")
        return self._learned


def _groups(data: TrainingData, names: tuple[str, ...]) -> tuple[tuple[Attribute, ...], list[sparse.csr_matrix]]:
    """Choose the attributes and build the users x groups matrix (0/1) of each."""
    columns = data.users.columns
    used: list[Attribute] = []
    matrices: list[sparse.csr_matrix] = []
    for name in names or sorted(columns):
        if name not in columns:
            raise ConfigInvalid(
                f"`serving.demographics`: no user attribute {name!r}; there are: {', '.join(sorted(columns))}"
            )
        attribute = attribute_of(name, columns[name])
        if attribute is None:
            if names:
                raise ConfigInvalid(f"`serving.demographics`: {name!r} is a {columns[name].kind}, which has no groups")
            continue
        if attribute.size > MAX_GROUPS:
            if names:
                raise ConfigInvalid(
                    f"`serving.demographics`: {name!r} has {attribute.size} labels, at most {MAX_GROUPS} can serve"
                )
            continue
        users, codes = memberships(attribute, columns[name])
        if not names and not 2 <= len(np.unique(codes)) <= 50:
            continue
        inside = users < data.interactions.n_users
        shape = (data.interactions.n_users, attribute.size)
        matrix = sparse.csr_matrix((np.ones(int(inside.sum())), (users[inside], codes[inside])), shape=shape)
        matrix.data[:] = 1.0  # a label that stands twice counts once
        used.append(attribute)
        matrices.append(matrix)
    return tuple(used), matrices


def _pairs(
    groups: list[sparse.csr_matrix], levels: list[Level], matrix: sparse.csr_matrix
) -> tuple[I32, list[tuple[Level, sparse.csr_matrix]]]:
    """Find the pairs of attributes whose cells say more than their values do, `MAX_CELLS` in all."""
    pairs: list[tuple[int, int]] = []
    cells: list[tuple[Level, sparse.csr_matrix]] = []
    room = MAX_CELLS
    for a, b in combinations(range(len(groups)), 2):
        size = groups[a].shape[1] * groups[b].shape[1]
        if size > room:
            continue
        crossed = cross(groups[a], groups[b])
        level = of_cells(crossed, matrix, levels[a], levels[b])
        if level.strength < MOST_STRENGTH:
            pairs.append((a, b))
            cells.append((level, crossed))
            room -= size
    return np.array(pairs, dtype=np.int32).reshape(len(pairs), 2), cells


def _place(ranked: I64, scores: F64) -> None:
    """Lower `ranked` to each item's place in this group's list; items nobody engaged with (score 0) get none."""
    best = _best(scores, min(PER_GROUP, int((scores > 0).sum())))
    ranked[best] = np.minimum(ranked[best], np.arange(len(best)))


def _best(scores: F32 | F64, n: int) -> I64:
    """Rows of the n largest, best first, equal ones by lower row; a partition first, so that few are sorted."""
    if n <= 0:
        return np.empty(0, dtype=np.int64)
    rows = np.arange(len(scores))
    if len(scores) > n:
        rows = np.flatnonzero(scores >= np.partition(scores, len(scores) - n)[len(scores) - n])
    return np.asarray(rows[np.argsort(-scores[rows], kind="stable")][:n], dtype=np.int64)
