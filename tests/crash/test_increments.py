"""`kill -9` at any file of an increment: what was live stays live, or the new version is live whole."""

import json
import shutil
import subprocess
import sys

import pytest

from recengine import Engine
from tests.crash import increment_child

KILLS = 8


@pytest.fixture
def ready(shop):
    """The shop with something new, and the version that is live."""
    with Engine.open(shop) as engine:
        moment = engine.facts()["last event"]
        engine.record([{"user_id": f"new{k}", "item_id": f"i{k}", "type": "view", "event_id": f"e{k}-{moment}"} for k in range(20)])
        return shop, engine.artifacts.current()


def rounds(folder, plan):
    file = folder / "rounds.json"
    file.write_text(json.dumps(plan))
    subprocess.run([sys.executable, "-m", increment_child.__name__, str(file)], check=True, timeout=300)


def test_a_kill_in_the_middle_of_an_increment_leaves_a_whole_version_live(ready, tmp_path):
    shop, live = ready
    counted = tmp_path / "counted"
    counted.mkdir()
    shutil.copytree(shop, counted / "shop")
    rounds(tmp_path, [[str(counted / "shop"), -1]])
    touches = json.loads((counted / "touched.json").read_text())
    assert touches > 20
    plan = []
    for kill in range(KILLS):
        folder = tmp_path / f"kill{kill}" / "shop"
        shutil.copytree(shop, folder)
        plan.append([str(folder), touches * kill // KILLS])
    rounds(tmp_path, plan)
    stayed = 0
    for folder, at in plan:
        assert not (tmp_path / folder / ".." / "touched.json").exists(), "it was killed"
        with Engine.open(folder) as engine:
            now = engine.artifacts.current()
            stayed += now == live
            engine.artifacts.open(now)  # every byte of it
            assert engine.recommend("u1", 3).version == now, at
            report = engine.train(incremental=True, threads=1)
            assert (report.deploy is None) == (now != live), at
            engine.artifacts.prune(5)
            assert list(engine.artifacts.folder.glob(".tmp-*")) == []
    assert stayed >= KILLS // 2
