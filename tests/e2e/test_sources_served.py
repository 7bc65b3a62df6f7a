"""Sources while a server holds the directory: it pulls by itself, and says how fresh they are."""

import sqlite3
import time
from contextlib import closing

import pytest

from recengine import Engine, config
from recengine.server import pulls
from recengine.server.app import build
from tests.asgi import ask


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("CREATE TABLE t (id TEXT, price REAL)")
        opened.execute("INSERT INTO t VALUES ('i1', 1.5)")
    return path


def source(name, **more):
    return config.Source(name=name, into="items", table="t", every="1m", max_age="1h", **more)


def soon(met):
    end = time.monotonic() + 20
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_pulls_by_itself_and_again_after_a_failure(tmp_path, file, monkeypatch, capsys):
    monkeypatch.setattr(pulls, "AGAIN", 0.05)
    listed = (source("good", uri=f"sqlite:///{file}"), source("bad", uri=f"sqlite:///{tmp_path}/later.db"))
    with Engine.open(tmp_path / "shop", config=config.Config(source=listed), create=True) as engine:
        running = pulls.Pulls(engine)
        running.start()
        soon(lambda: engine.sources()[0].rows == 1 and engine.sources()[1].failures > 1)
        assert engine.item("i1").attributes == {"price": 1.5}
        file.rename(tmp_path / "later.db")
        soon(lambda: engine.sources()[1].rows == 1)
        running.stop()
        assert not any(thread.is_alive() for thread in running._threads)
        assert engine.sources()[1].trouble == ""
    log = capsys.readouterr().err
    assert '"code": "source-unreadable"' in log or '"code":"source-unreadable"' in log


def test_health_and_metrics_say_how_fresh_sources_are_and_the_last_good_data_answer(tmp_path, file, monkeypatch):
    listed = (source("good", uri=f"sqlite:///{file}"), source("never", uri=f"sqlite:///{file}"))
    events = [{"user_id": f"u{u}", "item_id": f"i{i}", "timestamp": 1_760_000_000 + 10 * u + i} for u in range(9) for i in range(5)]
    tree = config.Config(source=listed, features=config.Features(enabled=False))
    with Engine.open(tmp_path / "shop", config=tree, create=True) as engine:
        engine.ingest(events=events)
        engine.train(force=True)
        engine.pull("good")
        door = build(engine)
        ready = ask(door, "/health/ready")
        assert ready.status == 200
        assert ready.json["degraded"] == [{"place": "source never", "message": "it was never pulled, which is more than `max_age` allows"}]
        file.unlink()
        with pytest.raises(OSError):
            engine.pull("good")
        later = time.time_ns() + 2 * 3_600_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: later)
        ready = ask(door, "/health/ready")
        assert ready.status == 200
        assert ready.json["degraded"][0] == {"place": "source good", "message": "its data are 2 h old; the last pull failed"}
        assert str(tmp_path) not in ready.body.decode()
        text = ask(door, "/metrics").body.decode()
        assert 'recengine_source_stale{source="good"} 1.0' in text
        assert 'recengine_source_failures{source="good"} 1.0' in text
        assert 'recengine_source_age_seconds{source="never"} +Inf' in text
        assert engine.item("i1").attributes == {"price": 1.5}
