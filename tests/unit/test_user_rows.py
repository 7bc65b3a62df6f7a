"""What features keep of users and timelines: as long as it holds, and nothing besides."""

import gc
import weakref

import numpy as np

from recengine.config import Config
from recengine.features.lanes import lanes_from
from recengine.features.timelines import Told
from recengine.features.trails import Trail
from recengine.online.item_columns import InForce
from recengine.online.state import State
from recengine.online.user_rows import Asked, UserRows
from recengine.store.homes import Forgotten
from recengine.store.vocab import Vocabularies, Vocabulary
from recengine.types import Catalogue

T0 = 1_760_000_000_000_000
TRAIL = Trail(np.zeros(1, np.int32), np.array([T0]), np.ones(1, np.uint8), np.zeros(1))


def lanes(price):
    none = np.full(1, -1, np.int32)
    return lanes_from(1, np.zeros(1, np.int32), np.full(1, T0), none, none, np.full(1, price, np.float32), 0, 0)


def nobody(*names):
    empty = Catalogue(0, {}, np.empty(0, np.uint8), np.empty(0, np.int64), None)
    return State(Config(), Vocabularies(Vocabulary(names), Vocabulary(), Vocabulary()), empty, empty, frozenset())


def test_rows_of_users_keep_neither_items_nor_timelines_alive():
    rows, state = UserRows(Config(), (), {}, {}), nobody()
    old = lanes(1.0)
    gone = weakref.ref(old.rows)
    rows.of(Asked(0, TRAIL, T0 + 1, {}), state, old)
    rows.of(Asked(1, TRAIL, T0 + 1, {}), state, lanes(2.0))
    del old
    gc.collect()
    assert gone() is None


def test_a_row_is_made_anew_once_items_or_timelines_are_others():
    rows, state = UserRows(Config(), (), {}, {}), nobody()
    one, other = lanes(1.0), lanes(2.0)
    asked = Asked(0, TRAIL, T0 + 1, {})
    price = rows.of(asked, state, one)[0].values[13]
    assert rows.of(asked, state, one)[0].values[13] == price == 1
    assert (rows.hits, rows.misses) == (1, 1)
    assert rows.of(asked, state, other)[0].values[13] == 2
    rows.retell({})
    assert rows.of(asked, state, other)[0].values[13] == 2
    assert (rows.hits, rows.misses) == (1, 3)


def test_no_row_is_kept_of_who_is_forgotten_while_it_is_made():
    state = nobody("u")

    class Interrupted(UserRows):
        def _made(self, *asked):
            made = super()._made(*asked)
            state.forget(Forgotten(0, "u"))
            return made

    rows = Interrupted(Config(), (), {}, {})
    state.watching.add(rows)
    rows.of(Asked(0, TRAIL, T0 + 1, {}), state, lanes(1.0))
    assert not rows._kept


def test_what_is_in_force_is_worked_out_once_for_users_in_any_order():
    timeline = InForce(Told(np.arange(5, dtype=np.int32), np.full(5, T0), np.arange(5.0), None), ())
    first, until = timeline.at(T0, 5)
    fewer, _ = timeline.at(T0 + 1, 3)
    assert np.shares_memory(first, fewer)
    assert fewer.tolist() == [0, 1, 2]
    assert until > T0 + 1
    more, _ = timeline.at(T0 + 2, 7)
    np.testing.assert_array_equal(more, [0, 1, 2, 3, 4, np.nan, np.nan])
    assert timeline.at(T0 - 1, 1)[0].tolist() != [0], "before it began"
