"""Decision records: buffered, batched, read back as they were given."""

import threading
import time

import pytest

from recengine.errors import EngineFault
from recengine.store import decisions as module
from recengine.store.decisions import Decisions
from recengine.types import Recommendation, Response
from tests.unit.ingesting import opened


def reply(name, **fields):
    items = (
        Recommendation("x", 0.75, "popular", contributions={"als": 0.5, "pop": 0.25}),
        Recommendation("y", 0.5, "similar_users"),
    )
    return Response(request_id=name, user_id="u", items=items, version="v1", **fields)


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def stored(shop):
    return shop.database.read().row("SELECT count(*) FROM decisions")[0]


def test_a_record_comes_back_as_it_was_given(shop):
    log = Decisions(shop.database)
    before = time.time_ns() // 1000
    log.record(
        [reply("r1", cold=True, degraded=("model:als:deadline",)), reply("r2")], {"context": 1200, "score": 3400}
    )
    found = log.read("r1")
    assert before <= found.at <= time.time_ns() // 1000
    assert (found.request_id, found.user_id, found.version, found.cold, found.batch) == ("r1", "u", "v1", True, 2)
    assert (found.items, found.scores, found.reasons) == (("x", "y"), (0.75, 0.5), ("popular", "similar_users"))
    assert found.contributions == ({"als": 0.5, "pop": 0.25}, {})
    assert (found.degraded, found.times) == (("model:als:deadline",), {"context": 1200, "score": 3400})
    assert log.read("absent") is None
    log.close()


def test_anonymous_and_empty_replies_are_kept(shop):
    log = Decisions(shop.database)
    log.record([Response(request_id="r", user_id=None, items=(), version="v")], {})
    assert (log.read("r").user_id, log.read("r").items) == (None, ())
    log.close()


def test_closing_writes_what_waits_and_a_second_close_is_fine(shop):
    log = Decisions(shop.database)
    log.record([reply(f"r{k}") for k in range(10)], {})
    log.close()
    log.close()
    assert stored(shop) == 10


def test_records_are_written_within_about_a_second_or_when_a_batch_waits(shop, monkeypatch):
    log = Decisions(shop.database)
    log.record([reply("r")], {})
    limit = time.monotonic() + 20
    while not stored(shop) and time.monotonic() < limit:
        time.sleep(0.05)
    assert stored(shop) == 1
    log.close()
    monkeypatch.setattr(module, "SECONDS", 600)
    log = Decisions(shop.database)
    log.record([reply(f"b{k}") for k in range(module.BATCH)], {})
    while stored(shop) == 1 and time.monotonic() < limit:
        time.sleep(0.05)
    assert stored(shop) == 1 + module.BATCH
    log.close()


def test_records_of_many_threads_all_arrive_once(shop):
    log = Decisions(shop.database)

    def work(k):
        for n in range(200):
            log.record([reply(f"{k}-{n}")], {})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert shop.database.read().row("SELECT count(*), count(DISTINCT request_id) FROM decisions") == (800, 800)


def test_who_answers_faster_than_the_disk_takes_waits_and_loses_nothing(shop, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 8)
    monkeypatch.setattr(module, "BATCH", 4)
    log = Decisions(shop.database)
    held = threading.Timer(0.3, log._flushing.release)
    log._flushing.acquire()
    held.start()
    for k in range(200):
        log.record([reply(f"r{k}")], {})
    log.record([reply(f"more{k}") for k in range(100)], {})  # more at once than fit
    log.close()
    assert (log.dropped, stored(shop)) == (0, 300)


def test_where_nothing_is_written_the_buffer_is_bounded_and_losses_are_counted(shop, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 5)
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    log = Decisions(shop.database)
    with log._flushing:
        before = time.monotonic()
        log.record([reply(f"r{k}") for k in range(8)], {})
        log.record([reply("r8")], {})  # it waited once in vain, and does not again
        assert 0.5 <= time.monotonic() - before < 0.95
    log.close()
    assert (log.dropped, stored(shop)) == (4, 5)
    assert shop.database.read().row("SELECT min(request_id) FROM decisions") == ("r4",)


HALF = "\ud800"  # half a surrogate pair: Python holds it, UTF-8 does not


@pytest.mark.parametrize(
    "broken",
    [
        Response(request_id="b", user_id=HALF, items=(), version="v"),
        Response(request_id=HALF, user_id="u", items=(), version="v"),
        Response(request_id="b", user_id="u", items=(Recommendation(HALF, 1.0, "x"),), version="v"),
        Response(request_id="b", user_id="u", items=(Recommendation("x", 1.0, "x", contributions={HALF: 1.0}),), version="v"),
        Response(request_id="b", user_id=7, items=(), version="v"),
    ],
)
def test_what_cannot_be_stored_is_dropped_and_counted_and_the_rest_is_kept(shop, broken):
    log = Decisions(shop.database)
    log.record([reply("r1"), broken, *(reply(f"r{k}") for k in range(2, 40)), broken], {})
    assert log.read("r39").items == ("x", "y")
    assert log.read(broken.request_id) is None
    assert (log.dropped, stored(shop)) == (2, 39)
    log.record([broken], {})  # a batch of nothing else
    log.record([reply("later")], {})
    assert log.read("later").request_id == "later"
    assert log._thread.is_alive()
    log.close()
    assert (log.dropped, stored(shop)) == (3, 40)


def test_closing_ends_the_thread_where_the_database_cannot_write(shop):
    log = Decisions(shop.database)
    with log._flushing:
        log.record([reply("r1"), reply("r2")], {})
        shop.database.close()
    with pytest.raises(EngineFault, match="closed"):
        log.close()
    assert not log._thread.is_alive()
    assert log.dropped == 2
    log.close()


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1000, 1000)])
def test_a_share_of_the_replies_is_kept(shop, rate, low, high):
    log = Decisions(shop.database, rate=rate)
    log.record([reply(f"r{k}") for k in range(1000)], {})
    log.close()
    assert low <= stored(shop) <= high


def test_recording_is_fast(shop):
    log = Decisions(shop.database)
    one = [reply("r")]
    with log._flushing:
        best = min(timed(lambda: log.record(one, {"a": 1})) for _ in range(200))
    log.close()
    assert best < 50e-6  # a few microseconds; the bound leaves room for a busy machine


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
