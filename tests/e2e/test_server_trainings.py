"""A server that trains by itself: in full, in steps, and on after a failure, while requests are answered."""

import json
import threading
import time

import pytest

from recengine import Engine, config
from recengine.server.trainings import FULL, INCREMENT, Trainings


def events(first, last):
    return [
        {"user_id": f"u{u}", "item_id": f"i{(u * 7 + 3 * i) % 40}", "timestamp": 1_760_000_000 + 100 * i + u}
        for u in range(60)
        for i in range(first, last)
    ]


@pytest.fixture
def engine(tmp_path):
    tree = config.Config(
        model=(config.Als(factors=8, epochs=3), config.Popularity()),
        training=config.Training(every="1d", incremental_every="1m", at=5, threads=1, gate_tolerance=1.0),
        features=config.Features(enabled=False),
    )
    with Engine.open(tmp_path / "shop", config=tree, create=True) as opened:
        yield opened


def soon(met):
    end = time.monotonic() + 30
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def lines(text):
    return [json.loads(line) for line in text.splitlines() if '"training"' in line]


def test_a_server_trains_in_full_and_then_in_steps_while_it_answers(engine, capsys):
    engine.ingest(events=events(0, 9))
    running = Trainings(engine)
    running._spans = {FULL: 3600.0, INCREMENT: 0.1}
    running.start()
    soon(lambda: engine.artifacts.current() is not None)
    full = engine.artifacts.current()
    assert engine.artifacts.manifest(full).about.incremental is None
    failed, stop = [], threading.Event()

    def asking():
        while not stop.is_set():
            try:
                assert len(engine.recommend("u1", 3).items) == 3
            except Exception as err:  # noqa: BLE001 - any is one too many
                failed.append(err)

    asker = threading.Thread(target=asking)
    soon(lambda: engine.facts()["live"] == full)
    asker.start()
    engine.ingest(events=events(9, 10))
    soon(lambda: engine.facts()["live"] not in {full, "none"})
    stop.set()
    asker.join()
    running.stop()
    assert not running._thread.is_alive()
    assert failed == []
    assert engine.artifacts.manifest(engine.artifacts.current()).about.incremental.full == full
    told = lines(capsys.readouterr().err)
    assert [line["kind"] for line in told if "version" in line][:2] == ["full", "increment"]


def test_a_training_that_fails_is_told_and_tried_again(engine, capsys):
    running = Trainings(engine)
    running._spans = {INCREMENT: 0.05}
    running.start()
    time.sleep(0.3)
    engine.ingest(events=events(0, 9))
    soon(lambda: engine.artifacts.current() is not None)
    running.stop()
    told = lines(capsys.readouterr().err)
    assert "empty-data" in [line.get("code") for line in told]
    assert told[-1]["level"] == "info"


def test_a_server_that_was_told_nothing_trains_never_and_one_that_is_fresh_waits(engine):
    engine.ingest(events=events(0, 9))
    engine.train(force=True)
    running = Trainings(engine)
    ages = running._ages()
    assert all(0 <= age < 60 for age in ages.values())
    running.start()
    time.sleep(0.1)
    assert len(engine.artifacts.list_versions()) == 1
    running.stop()
    idle = Trainings(engine)
    idle._spans = {}
    idle.start()
    assert not idle._thread.is_alive()
    idle.stop()
