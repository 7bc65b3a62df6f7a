"""The door to the BPR kernels: passes of gradient steps over disjoint blocks of users and items, and fold-in.

Stands on floor 1, under `algorithms/bpr.py`. In: positive entries by user, and vectors to step. Out: the vectors,
stepped in place; or vectors of new rows. Every answer is the same for any `threads`, bit for bit: what runs at one time
shares no row (Gemulla, Nijkamp, Haas, Sismanis 2011), and every draw is a hash of (key, user, item, number).

Why not hogwild, whose threads overwrite one another: its answer cannot be repeated. The parts cost a pass that sorts
the entries, and a user's vector is fetched once a part: 8 parts cost a fifth more than one, 41 nearly twice (Gowalla).
"""

import numpy as np
import numpy.typing as npt

from recengine._native import bpr as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr
from recengine.types import F32, I32, I64, U32

__all__ = ("MOST_BLOCKS", "MOST_DRAWS", "Urn", "blocks", "epoch", "fold", "padded", "urn")

LANE = 16
MOST_BLOCKS = 256
MOST_DRAWS = 64
PART_BYTES = 2 << 20
"""Vectors of a part, of users or of items."""
FEWEST = 8
"""Parts where the data allow them: as many threads can work."""
BUCKET = 128
"""Entries that a pair of parts should have on average: below, threads wait for one another between the rounds."""
ROWS = 64
"""Items that a part should have: negatives come from it."""
WORK_OF_A_THREAD = 20_000
"""Steps, about 1 ms: a further thread for less wins little."""
_F32, _I32, _I64, _U32 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint32)


class Urn:
    """What negatives are drawn from: `items` int32, cut into parts, and their alias tables (empty = uniform).

    `most` is the largest item: looked for once, and not in every request that folds a history in.
    """

    __slots__ = ("items", "keep", "most", "other", "parts")

    def __init__(self, items: I32, keep: U32, other: I32, parts: int) -> None:
        self.items = items
        self.keep = keep
        self.other = other
        self.parts = parts
        if len(items) and items.min() < 0:
            raise ShapeError(f"items: expected rows, got {items.min()}")
        self.most = int(items.max(initial=-1))


def padded(factors: int) -> int:
    """Round a factor count up to the width that the kernels want."""
    return -(-factors // LANE) * LANE


def blocks(users: int, items: int, entries: int, width: int) -> int:
    """Choose the number of parts: few, but enough for threads and a cache.

    It depends on the data alone, never on threads.
    """
    cache = -(-max(users, items) * width * 4 // PART_BYTES)
    return max(1, min(max(cache, FEWEST), MOST_BLOCKS, int((entries / BUCKET) ** 0.5), min(users, items) // ROWS))


def urn(items: I32, mass: F32 | None, parts: int = 1, *, threads: int = 1) -> Urn:
    """Make alias tables (Walker 1977; Vose 1991) of the `parts` parts of `items`.

    Parameters
    ----------
    items : int32 (n,) rows; part b is `items[n * b // parts : n * (b + 1) // parts]`.
    mass : float32 by item row, > 0: an item is drawn in proportion to it within its part. None = uniformly.

    Raises
    ------
    ShapeError : a wrong shape or dtype, an item outside `mass`, or a mass that is not finite and above 0.
    """
    items = array("items", items, _I32, None)
    if not 1 <= parts <= MOST_BLOCKS:
        raise ShapeError(f"parts: expected 1..{MOST_BLOCKS}, got {parts}")
    if mass is None:
        return Urn(items, np.empty(0, np.uint32), np.empty(0, np.int32), parts)
    mass = array("mass", mass, _F32, None)
    _rows("items", items, len(mass))
    own = mass[items]
    if not (np.isfinite(own) & (own > 0)).all():
        raise ShapeError("mass: expected finite numbers above 0")
    keep, other = np.empty(len(items), np.uint32), np.empty(len(items), np.int32)
    _native.urns(mass, items, parts, keep, other, threads)
    return Urn(items, keep, other, parts)


def epoch(
    indptr: I64,
    items: I32,
    weights: F32,
    users: I32,
    negatives: Urn,
    user_vectors: F32,
    item_vectors: F32,
    bias: F32,
    *,
    rate: float,
    regularization: float,
    key: int,
    negatives_each: int = 1,
    hardest_of: int = 1,
    threads: int = 1,
) -> None:
    """Make `negatives_each` steps for every entry, each with an item that the user has no entry with.

    x.(y_i - y_j) + b_i - b_j is pushed up by `rate` * weight * its slope; vectors shrink by `rate` * `regularization`
    (Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009, figure 4).

    Parameters
    ----------
    indptr, items, weights : positive entries by user; `items` int32 ascending within a row, weights float32.
    users : int32, the users to step, in the order of this epoch; cut into as many parts as `negatives`.
    negatives : the items that have entries, in the order of this epoch. All of `items` are among them.
    user_vectors, item_vectors, bias : float32 (n, width), (m, width), (m,), stepped in place; width is 16 k.
    key : 64 bits; another one for every epoch.
    hardest_of : 1..`MOST_DRAWS`; the negative is the best scored of so many draws (Zhang, Chen, Wang, Yu 2013,
        "dynamic negative sampling"), the first of equals.

    Cost: entries * negatives_each * (10 + 2 (hardest_of > 1) hardest_of) width flops. An entry whose user has (nearly)
    all of a part's items makes no step.

    Raises
    ------
    ShapeError : an array has a wrong shape or dtype, or points outside.
    """
    user_vectors, item_vectors = _stepped("user_vectors", user_vectors, 2), _stepped("item_vectors", item_vectors, 2)
    bias = _stepped("bias", bias, 1)
    width = item_vectors.shape[1]
    if user_vectors.shape[1] != width or width == 0 or width % LANE:
        raise ShapeError(f"vectors: expected one width of 16 k, got {user_vectors.shape[1]} and {width}")
    if bias.shape != (len(item_vectors),):
        raise ShapeError(f"bias: expected ({len(item_vectors)},), got {bias.shape}")
    indptr, items, weights = _entries(indptr, items, weights)
    if len(indptr) != len(user_vectors) + 1:
        raise ShapeError(f"indptr: expected {len(user_vectors) + 1} numbers, got {len(indptr)}")
    users = array("users", users, _I32, None)
    _rows("users", users, len(user_vectors))
    _rows("items", items, len(item_vectors))
    if negatives.most >= len(item_vectors):
        raise ShapeError(f"negatives: expected rows in 0..{len(item_vectors) - 1}, got {negatives.most}")
    if not (1 <= hardest_of <= MOST_DRAWS and negatives_each >= 1):
        raise ShapeError(f"hardest_of: expected 1..{MOST_DRAWS}, got {hardest_of}, and {negatives_each} negatives")
    steps = len(items) * negatives_each * hardest_of
    _native.epoch(
        indptr, items, weights, users, negatives.items, negatives.keep, negatives.other, user_vectors, item_vectors,
        bias, rate, 1 - rate * regularization, 1 - rate * regularization, negatives.parts, negatives_each, hardest_of,
        key, max(1, min(threads, negatives.parts, 1 + steps // WORK_OF_A_THREAD)),
    )  # fmt: skip


def fold(
    item_vectors: F32,
    indptr: I64,
    items: I32,
    weights: F32,
    negatives: Urn,
    *,
    passes: int,
    rate: float,
    regularization: float,
    hardest_of: int = 1,
    threads: int = 1,
) -> F32:
    """Step new rows against fixed items, float32 (B, width): the same objective, `rate` falling to 0 over `passes`.

    Parameters
    ----------
    item_vectors : float32 (n, width + 1): the vector, then the bias; NaN where an item has none.
    indptr, items, weights : row r has `items[indptr[r]:indptr[r + 1]]`, in any order; entries of weight <= 0, or
        of an item without a vector, are left out. A row that keeps none becomes NaN.
    negatives : one part, all items that have a vector.

    Cost: passes * entries * (6 + 2 hardest_of) width flops. The draws hang on the row's items alone,
    not on its place in the batch.

    Raises
    ------
    ShapeError : an array has a wrong shape or dtype.
    """
    item_vectors = array("item_vectors", item_vectors, _F32, None, None)
    width = item_vectors.shape[1] - 1
    if width <= 0 or width % LANE:
        raise ShapeError(f"item_vectors: expected (n, 16 k + 1), got {item_vectors.shape}")
    indptr, items, weights = _entries(indptr, items, weights)
    if negatives.most >= len(item_vectors):
        raise ShapeError(f"negatives: expected rows in 0..{len(item_vectors) - 1}, got {negatives.most}")
    out = np.empty((len(indptr) - 1, width), np.float32)
    team = max(1, min(threads, 1 + len(items) * passes * hardest_of // WORK_OF_A_THREAD))
    _native.fold(
        item_vectors, indptr, items, weights, negatives.items, negatives.keep, negatives.other, passes,
        hardest_of, rate, regularization, out, team,
    )  # fmt: skip
    return out


def _entries(indptr: I64, items: I32, weights: F32) -> tuple[I64, I32, F32]:
    indptr = array("indptr", indptr, _I64, None)
    items, weights = array("items", items, _I32, None), array("weights", weights, _F32, None)
    if len(items) != len(weights):
        raise ShapeError(f"weights: expected the shape of items {items.shape}, got {weights.shape}")
    if len(indptr) == 0 or indptr[0] != 0:
        raise bad_indptr(0)
    falling = np.flatnonzero(np.diff(indptr) < 0)
    if len(falling) or indptr[-1] != len(items):
        raise bad_indptr(int(falling[0]) if len(falling) else len(indptr) - 1)
    return indptr, items, weights


def _stepped(name: str, given: F32, dims: int) -> F32:
    if given.dtype != np.float32 or given.ndim != dims or not (given.flags.c_contiguous and given.flags.writeable):
        raise ShapeError(f"{name}: expected a writable C-order float32 array, got {given.dtype} {given.shape}")
    return given


def _rows(name: str, rows: npt.NDArray[np.int32], n: int) -> None:
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        raise ShapeError(f"{name}: expected rows in 0..{n - 1}, got {rows.min()}..{rows.max()}")
