"""What the build stage reads from a store: users and items as of each cut, and the number up to which all was learned."""

import numpy as np
import pytest

from recengine.offline import build
from tests.unit.ingesting import opened
from tests.unit.test_build import config

DAY = 86_400_000_000
START = 1_700_000_000_000_000
WHEN = {"split": "time", "test_share": 0.25, "validation_share": 0.3}


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def events(days, unit=DAY, start=START):
    """Two users take up an item each on each of `days`."""
    rows = [(f"u{u}", f"i{day if u == 0 else day + 3}", start + day * unit + u) for day in days for u in range(2)]
    return {"user": [r[0] for r in rows], "item": [r[1] for r in rows], "order": [r[2] for r in rows]}


def versions(*days, unit=DAY):
    """Item i0 costs 1, 2, 3 .. from each of `days` on; from the last on it is gone. User u0 grows older."""
    at = np.array([START + day * unit for day in days]).astype("datetime64[us]")
    n = len(days)
    items = {"item": ["i0"] * n, "valid_from": at, "price": [1.0 + k for k in range(n)], "available": [True] * (n - 1) + [False]}
    users = {"user": ["u0"] * n, "valid_from": at, "age": [30.0 + k for k in range(n)]}
    return {"items": items, "users": users}


def known(data):
    return data.items.columns["price"].data[0], data.items.available[0], data.users.columns["age"].data[0]


def test_each_part_knows_the_items_and_users_of_its_cut(shop):
    shop.ingest(events=events(range(10)), **versions(-5, 6, 8, 20))
    built = build.run(shop.database, config(**WHEN))
    assert built.validation.data.as_of < START + 6 * DAY
    assert START + 6 * DAY <= built.test.data.as_of < START + 8 * DAY
    assert known(built.validation.data) == (1.0, 1, 30.0)
    assert known(built.test.data) == (2.0, 1, 31.0)
    assert known(built.everything) == (4.0, 0, 33.0)
    assert build.eligible(built.test, np.array([1], np.int32))[0, 0] == 1, "it is gone only later"
    for catalogue in (built.validation.data.items, built.test.data.items):
        assert catalogue.n == built.everything.items.n == len(catalogue.available) == len(catalogue.since)


def test_training_as_of_a_moment_reads_the_items_of_that_moment(shop):
    shop.ingest(events=events(range(10)), **versions(-5, 6, 8, 20))
    built = build.run(shop.database, config(**WHEN), as_of=START + 9 * DAY + 10)
    assert known(built.everything) == (3.0, 1, 32.0)


@pytest.mark.parametrize("as_of", [None, 8])
def test_an_order_that_is_no_time_is_not_compared_with_dates(shop, as_of):
    shop.ingest(events=events(range(10), unit=1, start=0), **versions(-5, 6, 8, 20))
    built = build.run(shop.database, config(**WHEN), as_of=as_of)
    assert {known(d) for d in (built.validation.data, built.test.data, built.everything)} == {(4.0, 0, 33.0)}


def test_what_as_of_leaves_out_is_not_marked_as_learned(shop):
    shop.ingest(events=events([8, 9]))
    shop.ingest(events=events(range(6)))  # older ones that came later
    assert build.run(shop.database, config(**WHEN)).last_seq == 15
    built = build.run(shop.database, config(**WHEN), as_of=START + 9 * DAY - 1)
    assert built.report.last == START + 8 * DAY + 1
    assert built.last_seq == 1, "2 and 3 are of the last day"
    assert build.run(shop.database, config(**WHEN), as_of=START + 7 * DAY).last_seq == -1


def test_rows_that_an_ingest_adds_while_building_stay_out(shop, monkeypatch):
    told = versions(-5, 6, 8, 20)
    told["items"]["tags"] = [["a", "b"], ["b"], [], ["a"]]
    shop.ingest(events=events(range(10)), **told)
    n = build.run(shop.database, config(**WHEN)).everything.items.n
    read = build.read_items

    def then_more(database, *, as_of=None):
        found = read(database, as_of=as_of)
        if as_of is None:
            new = {"item": ["new"], "valid_from": np.array([START - DAY]).astype("datetime64[us]"), "tags": [["c"]]}
            shop.ingest(items=new)
        return found

    monkeypatch.setattr(build, "read_items", then_more)
    built = build.run(shop.database, config(**WHEN))
    for data in (built.validation.data, built.test.data, built.everything):
        tags = data.items.columns["tags"]
        assert data.items.n == data.interactions.n_items == n
        assert len(data.items.available) == len(data.items.since) == len(data.items.columns["price"].data) == n
        assert len(tags.indptr) == n + 1
        assert len(tags.data) == tags.indptr[-1]


def test_each_users_last_event_before_the_cut_is_known(shop):
    shop.ingest(events=events(range(10)))
    built = build.run(shop.database, config(**WHEN))
    before = built.test.first_seq
    assert sorted(built.test.last_seqs.tolist()) == [before - 2, before - 1]
    assert built.validation.last_seqs.max() == built.validation.first_seq - 1
    assert built.test.first_time > built.test.data.as_of
