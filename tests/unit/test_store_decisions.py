"""Decision records: buffered, batched, read back as they were given."""

import threading
import time

import pytest

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


def test_the_buffer_is_bounded_and_losses_are_counted(shop, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 5)
    log = Decisions(shop.database)
    with log._flushing:
        log.record([reply(f"r{k}") for k in range(8)], {})
    log.close()
    assert (log.dropped, stored(shop)) == (3, 5)
    assert shop.database.read().row("SELECT min(request_id) FROM decisions") == ("r3",)


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
