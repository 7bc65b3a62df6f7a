"""What is put right in incoming events, and what is taken for a machine: counted, told, and kept where it is set aside."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import Cleaning, Config, Moments, parse
from recengine.engine import Engine
from recengine.errors import BadRequest, ConfigInvalid
from tests.unit.ingesting import opened

S = 1_700_000_000
BERLIN = Cleaning(timezone="Europe/Berlin")
MACHINE = "machine: the user has more than 600 events within a minute of that day"


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def events(users, times, items=None, **more):
    return {"user": list(users), "item": items or [f"i{k}" for k in range(len(times))], "timestamp": times, **more}


def adds_up(report):
    (source,) = report.sources
    assert source.stored + source.duplicates + sum(source.quarantined.values()) == source.rows
    kept = [row for file in report.quarantine for row in pq.read_table(file).to_pylist()]
    assert len(kept) == sum(source.quarantined.values())
    return kept


def test_impossible_moments_are_set_aside(shop):
    ahead = datetime.now(UTC) + timedelta(days=2)
    soon = datetime.now(UTC) + timedelta(hours=2)
    report = shop.ingest(events=events("abcd", ["1989-12-31T23:59:59Z", "1990-01-01T00:00:00Z", ahead.isoformat(), soon.isoformat()]))
    assert report.sources[0].quarantined == {"moment lies before 1990-01-01": 1, "moment lies more than 1d in the future": 1}
    assert [row["_row"] for row in adds_up(report)] == [1, 3]
    assert [row[0] for row in shop.events()] == ["b", "d"]


def test_what_is_no_time_is_not_screened_as_one(shop):
    report = shop.ingest(events=events(["a"] * 700, list(range(700))))
    assert (report.sources[0].stored, report.sources[0].quarantined) == (700, {})


def burst(user="bot", n=601, start=S, seconds=59.0):
    return [user] * n, (start + np.linspace(0, seconds, n)).tolist()


def test_a_machine_and_its_day_are_set_aside_and_its_ids_are_not_learned(shop):
    users, times = burst()
    day = 86_400
    report = shop.ingest(events=events([*users, "bot", "bot", "human"], [*times, S + 3600, S + 2 * day, S]))
    assert report.sources[0].quarantined == {MACHINE: 602}
    kept = adds_up(report)
    assert [row["_row"] for row in kept] == list(range(1, 603))
    assert [row[0] for row in shop.events()] == ["bot", "human"]
    assert len(shop.ids.items) == 2
    assert report.sources[0].new_items == 2


@pytest.mark.parametrize(("n", "seconds"), [(600, 1.0), (601, 61.0)])
def test_who_is_just_fast_is_no_machine(shop, n, seconds):
    users, times = burst(n=n, seconds=seconds)
    assert shop.ingest(events=events(users, times)).sources[0].stored == n


def test_dates_tell_no_minute(shop):
    report = shop.ingest(events=events(["u"] * 700, ["2024-05-01"] * 700))
    assert report.sources[0].stored == 700


def test_a_machine_is_found_across_files_and_again_in_a_second_ingest(shop, tmp_path):
    users, times = burst(n=700)
    frame = pd.DataFrame(events([*users, "human"], [*times, S]))
    for k in range(3):
        frame.iloc[k::3].to_parquet(tmp_path / f"part-{k}.parquet")
    for stored in (1, 0):
        report = shop.ingest(events=str(tmp_path / "part-*.parquet"))
        assert (report.sources[0].stored, report.sources[0].quarantined) == (stored, {MACHINE: 700})
        assert len(report.quarantine) == 3
        adds_up(report)


def test_the_days_of_a_machine_are_those_of_the_zone(shop):
    midnight = int(datetime(2024, 6, 2, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    users, times = burst(start=midnight + 600)
    report = shop.ingest(events=events([*users, "bot", "bot"], [*times, midnight - 60, midnight + 60]), cleaning=BERLIN)
    assert report.sources[0].quarantined == {MACHINE: 602}
    assert [row[-1] for row in shop.events()] == [(midnight - 60) * 1_000_000]


def test_nobody_is_a_machine_where_the_check_is_off(shop):
    users, times = burst(n=900, seconds=1.0)
    assert shop.ingest(events=events(users, times), cleaning=Cleaning(bot_events=0)).sources[0].stored == 900


def test_repeats_are_known_already_whatever_the_batch_they_come_in(shop):
    cleaning = Cleaning(repeat_seconds=5)
    times = [S, S + 5, S + 10, S + 16, S + 1, S + 1]
    report = shop.ingest(events=events("uuuuuv", times, items=["a", "a", "a", "a", "b", "a"]), cleaning=cleaning)
    assert (report.sources[0].stored, report.sources[0].duplicates) == (4, 2)
    assert report.sources[0].repaired == {"the same user, item and type again within 5 seconds: a duplicate": 2}
    assert [row[1] for row in shop.events()] == ["a", "a", "b", "a"]
    adds_up(report)
    again = shop.ingest(events=events("u", [S + 18], items=["a"]), cleaning=cleaning)
    assert (again.sources[0].stored, again.sources[0].duplicates) == (0, 1)
    assert shop.ingest(events=events("u", [S + 18], items=["a"])).sources[0].stored == 1


def test_who_repeats_one_thing_like_a_machine_is_one_in_however_many_files(shop, tmp_path):
    cleaning = Cleaning(repeat_seconds=5)
    users, times = burst(n=700)
    frame = pd.DataFrame(events([*users, "human", "human"], [*times, S, S + 1], items=["a"] * 702))
    for k in range(3):
        frame.iloc[k::3].to_parquet(tmp_path / f"part-{k}.parquet")
    report = shop.ingest(events=str(tmp_path / "part-*.parquet"), cleaning=cleaning)
    assert report.sources[0].quarantined == {MACHINE: 700}
    assert (report.sources[0].stored, report.sources[0].duplicates) == (1, 1)
    adds_up(report)


CLOCKS = [
    ("2024-03-31 02:30:00", "2024-03-31T01:30:00Z"),  # skipped: put forward to 03:30 summer time
    ("2024-10-27 02:30:00", "2024-10-27T01:30:00Z"),  # shown twice: the second, winter time
    ("2024-10-27T02:30:00+02:00", "2024-10-27T00:30:00Z"),
    ("2024-07-01", "2024-06-30T22:00:00Z"),
    ("2024-01-01 12:00", "2024-01-01T11:00:00Z"),
    ("2024-07-01T12:00:00Z", "2024-07-01T12:00:00Z"),
]


def micro(text):
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def test_moments_without_a_zone_are_read_on_its_clocks_and_changes_of_the_clocks_are_told(shop):
    report = shop.ingest(events=events("abcdef", [text for text, _ in CLOCKS]), cleaning=BERLIN)
    assert [row[-1] for row in shop.events()] == [micro(meant) for _, meant in CLOCKS]
    assert report.sources[0].repaired == {
        "timestamp names no zone: read in Europe/Berlin": 4,
        "timestamp is in an hour that the clocks of Europe/Berlin skip: put forward": 1,
        "timestamp is in an hour that the clocks of Europe/Berlin show twice: the second is meant": 1,
    }


def test_naive_timestamps_of_a_frame_are_read_so_too_and_those_with_a_zone_as_they_are(shop):
    naive = pd.to_datetime([text for text, _ in CLOCKS[:2]])
    shop.ingest(events=pd.DataFrame(events("ab", naive)), cleaning=BERLIN)
    shop.ingest(events=pd.DataFrame(events("cd", naive.tz_localize("UTC"), items=["x", "y"])), cleaning=BERLIN)
    assert [row[-1] for row in shop.events()] == [
        *(micro(meant) for _, meant in CLOCKS[:2]),
        *(micro(f"{text}+00:00") for text, _ in CLOCKS[:2]),
    ]


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Europe/London")


FROM, TO = datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2025-12-31")


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(ZONES), st.lists(st.datetimes(FROM, TO), min_size=1, max_size=40))
def test_files_and_live_events_read_the_same_clock_alike(tmp_path_factory, zone, moments):
    cleaning = Cleaning(timezone=zone)
    changes = [m.replace(month=month, day=day, hour=hour) for m in moments for month, day, hour in ((3, 31, 2), (10, 27, 1), (4, 3, 1))]
    told = sorted({m.replace(microsecond=0) for m in (*moments, *changes)})
    with opened(tmp_path_factory.mktemp("zone") / "shop") as shop:
        report = shop.ingest(events=events(["u"] * len(told), [m.isoformat() for m in told]), cleaning=cleaning)
        assert [row[-1] for row in shop.events()] == [Moments.of(cleaning).microseconds_of(m) for m in told]
    place = ZoneInfo(zone)
    folds = [[m.replace(tzinfo=place, fold=fold).timestamp() for fold in (0, 1)] for m in told]
    said = report.sources[0].repaired
    assert sum(n for what, n in said.items() if "show twice" in what) == sum(first < second for first, second in folds)
    assert sum(n for what, n in said.items() if "skip" in what) == sum(first > second for first, second in folds)


def test_values_are_clipped_to_what_is_usual_for_their_type(shop):
    values = [*range(1, 100), 10_000]
    given = events(["u"] * 200, [S + k for k in range(200)], type=["rating"] * 100 + ["purchase"] * 100)
    given["value"] = [float(v) for v in values] + [float(v * 1000) for v in values]
    report = shop.ingest(events=given, cleaning=Cleaning(clip_values=0.02))
    stored = np.array([row[3] for row in shop.events()])
    assert (stored[:100].max(), stored[100:].max()) == (98.0, 98_000.0)
    (said,) = report.sources[0].repaired
    assert said == "value outside the quantiles 0.02 and 0.98: clipped"
    assert report.sources[0].repaired[said] == int((stored != given["value"]).sum())


def test_orphans_are_kept_and_counted_and_learned_later(shop):
    assert shop.ingest(events=events("a", [S], items=["x"])).sources[0].orphans == 0, "there is no catalogue"
    shop.ingest(items={"item": ["x"], "price": [1.0]})
    report = shop.ingest(events=events("abc", [S + 1, S + 2, S + 3], items=["x", "new", "new"]))
    assert (report.sources[0].stored, report.sources[0].orphans) == (3, 2)
    shop.ingest(items={"item": ["new"], "price": [1.0]})
    assert shop.ingest(events=events("a", [S + 9], items=["new"])).sources[0].orphans == 0


@pytest.mark.parametrize(
    "said", ['timezone = "Mars/Base"', 'earliest = "2024-02-31"', 'earliest = "1960-01-01"', 'earliest = "2999-01-01"', 'ahead = "soon"']
)
def test_cleaning_that_makes_no_sense_is_refused(said):
    with pytest.raises(ConfigInvalid, match="cleaning"):
        parse(f"[cleaning]\n{said}\n")


def test_live_events_are_held_to_the_same_moments(tmp_path):
    config = Config(cleaning=Cleaning(timezone="Europe/Berlin", earliest="2020-01-01", ahead="1h"))
    event = {"user_id": "u", "item_id": "i", "type": "view"}
    with Engine.open(tmp_path / "shop", config=config, create=True) as engine:
        with pytest.raises(BadRequest, match="lies before 2020-01-01"):
            engine.record({**event, "order": "2019-12-31T00:00:00Z"})
        with pytest.raises(BadRequest, match="lies more than 1h in the future"):
            engine.record({**event, "order": (datetime.now(UTC) + timedelta(hours=2)).isoformat()})
        engine.record({**event, "order": "2024-10-27T02:30:00"})
        again = engine.ingest(events=events("u", ["2024-10-27T02:30:00"], items=["i"], type=["view"]))
        assert again.sources[0].rows == 1
        assert engine.record({**event, "order": "2024-10-27T01:30:00Z"}).duplicates == 1
