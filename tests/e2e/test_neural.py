"""A shop whose blend holds a network: trained, deployed, served, opened again."""

from recengine import Engine
from tests.laws.neural import need_torch

CONFIG = """
[[model]]
kind = "neural_cf"
factors = 8
layers = [8, 4]
epochs = 2
time_budget_ms = 100000

[[model]]
kind = "popularity"
"""


def test_a_network_is_trained_deployed_and_served(files, tmp_path):
    need_torch()
    path = tmp_path / "shop"
    path.mkdir()
    (path / "recengine.toml").write_text(CONFIG)
    with Engine.open(path, create=True) as engine:
        engine.ingest(**{name: files / f"{name}.parquet" for name in ("events", "items", "users")})
        engine.train()
        before = engine.recommend("u2", n=10, explain=True)
    assert len(before.items) == 10
    assert not before.degraded
    assert {name for line in before.items for name in line.contributions} >= {"neural_cf"}
    assert all(line.reasons for line in before.items)
    with Engine.open(path) as again:
        after = again.recommend("u2", n=10, explain=True)
    assert [line.item_id for line in after.items] == [line.item_id for line in before.items]
