"""The training table: each row is as of its own moment, whatever came later; shops without times or attributes have one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import parse
from recengine.features.builtin import feature_set
from recengine.features.definition import AttributeOf, Timeline
from recengine.features.signals import CONVERTED, ENGAGED, RATED, REJECTED, VIEWED, Signals
from recengine.features.timelines import Told
from recengine.offline.featuring.history import Past
from recengine.offline.featuring.probes import draw
from recengine.offline.featuring.table import Probes, fill
from recengine.store.catalog import VersionsOverTime
from recengine.types import NO_TIME, Column
from tests.unit.ingesting import opened

HOUR = 3_600_000_000
START = 1_700_000_000_000_000
N_USERS, N_ITEMS = 4, 6
CONFIG = parse(
    """
    [[feature]]
    name = "asked"
    entity = "item"
    sql = "SELECT 1"
    [[feature]]
    name = "weather"
    entity = "context"
    dtype = "category"
    sql = "SELECT 1"
    [[feature]]
    name = "crossed"
    entity = "derived"
    op = "difference"
    of = ["asked", "item_price"]
    """
)
LABELS = {"item.category": ("a", "b"), "item.brand": ("x", "y"), "user.land": ("de", "fr"), "feature.weather": ("dry", "wet")}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("asof") / "shop") as shop:
        yield shop.database


def ordered(*columns):
    """Rows by owner and time, of one owner and moment one."""
    rows = dict(sorted(((row[0], row[1]), row[2:]) for row in zip(*columns, strict=True)))
    return [(*key, *rest) for key, rest in rows.items()]


def column(values, dtype):
    return np.array(list(values), dtype)


def versions(rows):
    columns = {
        "category": Column("string", column((r[2] % 3 - 1 for r in rows), np.int32), labels=("b", "a")),
        "brand": Column("string", column((r[3] % 3 - 1 for r in rows), np.int32), labels=("x", "y")),
        "price": Column("number", column((np.nan if r[3] == 0 else r[3] / 4 for r in rows), np.float64)),
    }
    return VersionsOverTime(column((r[0] for r in rows), np.int32), column((r[1] for r in rows), np.int64), columns)


def people(rows):
    columns = {"land": Column("string", column((r[2] % 3 - 1 for r in rows), np.int32), labels=("de", "fr"))}
    return VersionsOverTime(column((r[0] for r in rows), np.int32), column((r[1] for r in rows), np.int64), columns)


def told(rows, labels=None):
    values = column((np.nan if r[2] == 0 else (r[2] % 2 if labels else r[2]) for r in rows), np.float64)
    return Told(column((r[0] for r in rows), np.int32), column((r[1] for r in rows), np.int64), values, labels)


def past(events, items, users, asked, weather, timed=True):
    """Put a past together; `events` are (user, item, time, flags, amount)."""
    events = sorted(events, key=lambda e: (e[0], e[2]))
    signals = Signals(
        column((e[0] for e in events), np.int32),
        column((e[1] for e in events), np.int32),
        column((e[2] for e in events), np.int64),
        column((e[3] for e in events), np.uint8),
        column((e[4] for e in events), np.float64),
    )
    items = ordered(*zip(*items, strict=True)) if items else []
    since = np.full(N_ITEMS, NO_TIME, np.int64)
    described = np.full(N_ITEMS, np.iinfo(np.int64).max, np.int64)
    for row, time, *_ in reversed(items):
        since[row] = described[row] = time
    lines = {"asked": told(ordered(*zip(*asked, strict=True)) if asked else [])}
    lines["weather"] = told(ordered(*zip(*weather, strict=True)) if weather else [], ("dry", "wet"))
    users = people(ordered(*zip(*users, strict=True)) if users else [])
    return Past(signals, timed, N_USERS, N_ITEMS, since, described, versions(items), users, lines, None)


FLAGS = st.sampled_from([0, ENGAGED, ENGAGED | VIEWED, ENGAGED | CONVERTED, ENGAGED | RATED, REJECTED, REJECTED | RATED])
HOURS = st.integers(0, 900).map(lambda h: START + h * (HOUR // 2) + (h % 7) * 1000)
EVENT = st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1), HOURS, FLAGS, st.integers(-3000, 9000))
VERSION = st.tuples(st.integers(0, N_ITEMS - 1), HOURS, st.integers(0, 2), st.integers(0, 3))
PERSON = st.tuples(st.integers(0, N_USERS - 1), HOURS, st.integers(0, 2))
VALUE = st.tuples(st.integers(0, N_ITEMS - 1), HOURS, st.integers(0, 9))
SKY = st.tuples(st.just(0), HOURS, st.integers(0, 3))
PROBE = st.tuples(st.integers(-1, N_USERS - 1), st.integers(0, N_ITEMS - 1), HOURS)
WORLD = st.tuples(*(st.lists(kind, max_size=size) for kind, size in ((EVENT, 40), (VERSION, 8), (PERSON, 5), (VALUE, 8), (SKY, 5))))


def features():
    world = past([], [(0, NO_TIME, 1, 1)], [(0, NO_TIME, 1)], [], [])
    return feature_set(CONFIG, world.items.columns, world.users.columns)


def asked_at(rows):
    return Probes(column((r[0] for r in rows), np.int32), column((r[1] for r in rows), np.int32), column((r[2] for r in rows), np.int64))


@given(WORLD, st.lists(PROBE, min_size=1, max_size=12), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_what_comes_later_never_changes_a_row(database, world, rows, threads):
    probes = asked_at(rows)
    moment = max(row[2] for row in rows)
    events, *changing = world
    before = past([e for e in events if e[2] < moment], *([r for r in kind if r[1] <= moment] for kind in changing))
    after = past(events, *changing)
    assert after.signals.time.size == len(events)
    old, new = (fill(database, world, CONFIG, features(), probes, LABELS, threads=threads) for world in (before, after))
    since = [k for k, name in enumerate(features().names) if name == "item_freshness"]
    assert len(since) == 1
    np.testing.assert_array_equal(old, new)


@given(WORLD, st.lists(PROBE, min_size=1, max_size=12))
@settings(max_examples=8, deadline=None)
def test_a_row_does_not_rest_on_the_rows_beside_it(database, world, rows):
    everything = past(*world)
    whole = fill(database, everything, CONFIG, features(), asked_at(rows), LABELS, threads=2)
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(whole[:, k : k + 1], fill(database, everything, CONFIG, features(), asked_at([row]), LABELS))


def test_each_way_to_a_value_tells_what_stood_then(database):
    day = 24 * HOUR
    events = [(0, 1, START, ENGAGED, 0), (0, 2, START + day, ENGAGED | CONVERTED, 2048), (1, 1, START + day, ENGAGED, 0)]
    items = [(1, NO_TIME, 1, 2), (1, START + day, 2, 3)]
    world = past(events, items, [(0, START + 1, 2)], [(1, START, 5), (1, START + day, 7)], [(0, START + day, 1)])
    probes = asked_at([(0, 1, START), (0, 1, START + 1), (0, 1, START + day), (0, 1, START + day + 1), (-1, 5, START + day)])
    table = dict(zip(features().names, fill(database, world, CONFIG, features(), probes, LABELS), strict=True))
    same = np.testing.assert_array_equal
    same(table["item_engaged"], [0, 1, 1, 2, 0])
    same(table["user_events"], [0, 1, 1, 2, 0])
    same(table["pair_events"], [0, 1, 1, 1, 0])
    same(table["user_spend"], [0, 0, 0, 2, 0])
    same(table["item_price"], [0.5, 0.5, 0.75, 0.75, np.nan])
    same(table["item_category"], [1, 1, 0, 0, np.nan], err_msg="codes into the deployment's labels, not the column's")
    same(table["user_land"], [np.nan, 1, 1, 1, np.nan])
    same(table["asked"], [5, 5, 7, 7, np.nan])
    same(table["weather"], [np.nan, np.nan, 1, 1, 1])
    same(table["crossed"], [4.5, 4.5, 6.25, 6.25, np.nan])
    same(table["context_hour"], [22, 22, 22, 22, 22])


def test_where_an_order_is_no_time_versions_and_timelines_have_their_latest_value_and_windows_none(database):
    events = [(0, 1, 10, ENGAGED, 0), (0, 2, 20, ENGAGED, 0), (1, 1, 5, ENGAGED, 0)]
    items = [(1, NO_TIME, 1, 2), (1, START, 2, 3)]
    world = past(events, items, [(0, START, 2)], [(1, START, 5)], [], timed=False)
    probes = asked_at([(0, 1, 10), (0, 1, 21), (1, 2, 21)])
    table = dict(zip(features().names, fill(database, world, CONFIG, features(), probes, LABELS), strict=True))
    assert table["item_engaged"].tolist() == [1, 2, 1]
    assert table["pair_events"].tolist() == [0, 1, 0]
    assert table["item_price"].tolist()[:2] == [0.75, 0.75]
    assert table["asked"].tolist()[:2] == [5, 5]
    assert table["category_events"].tolist()[:2] == [0, 1]
    for name in ("item_engaged_1d", "item_idle", "user_events_7d", "user_idle", "context_hour", "session_views", "pair_idle"):
        assert np.isnan(table[name]).all(), name


def test_an_empty_past_and_no_probes_have_a_table(database):
    empty = past([], [], [], [], [])
    bare = feature_set(parse(""), {}, {})
    assert fill(database, empty, parse(""), bare, asked_at([]), {}).shape == (len(bare.names), 0)
    values = fill(database, empty, parse(""), bare, asked_at([(0, 0, START), (-1, 3, START)]), {}, threads=2)
    assert not any(isinstance(f.how, AttributeOf | Timeline) for f in bare.features)
    assert values[bare.names.index("user_events")].tolist() == [0, 0]
    assert len(draw(empty, 100, 4, 0).taken) == 0


def test_rows_are_the_latest_taken_items_with_others_that_were_known_then():
    events = [(u, i, START + 100 * k, ENGAGED, 0) for k, (u, i) in enumerate([(0, 0), (0, 1), (1, 0), (1, 2), (2, 3), (3, 4)])]
    world = past([*events, (0, 5, START + 1000, REJECTED, 0)], [(5, START + 350, 1, 1)], [], [], [])
    drawn = draw(world, rows=12, negatives=3, seed=1)
    assert drawn.taken.tolist() == [1, 0, 0, 0] * 3
    assert drawn.group.tolist() == [k for k in range(3) for _ in range(4)]
    assert drawn.probes.items[::4].tolist() == [2, 3, 4], "the latest three"
    assert drawn.probes.users[::4].tolist() == [1, 2, 3]
    first = {0: 0, 1: 100, 2: 300, 3: 400, 4: 500, 5: 350}
    for item, time, taken in zip(drawn.probes.items, drawn.probes.times, drawn.taken, strict=True):
        assert taken or first[int(item)] < time - START
    for group in range(3):
        mine = drawn.group == group
        assert drawn.probes.items[mine][0] not in drawn.probes.items[mine][1:]
    assert draw(world, 12, 3, 1).probes.items.tolist() == drawn.probes.items.tolist()
    many = draw(world, 100_000, 100, 3)
    assert {*many.probes.items[(many.group == many.group[-1]) & (many.taken == 0)].tolist()} == {0, 1, 2, 3, 5}, "all others come"
