"""`neural_cf`: what PyTorch trains is what ONNX Runtime answers; it learns, folds in, and fails in words."""

import json
import sys

import msgspec
import numpy as np
import pytest

from recengine import onnx
from recengine.algorithms.calibration import Curve
from recengine.algorithms.neural import NeuralCf, item_context, user_context
from recengine.config import NeuralCf as NeuralCfConfig
from recengine.errors import BadArtifact, TrainingFailed
from recengine.kernels.blend import blend
from recengine.offline import neural
from recengine.retrieval.deployment import Member
from recengine.retrieval.matrix import column
from recengine.types import Interactions, Pool, Query
from tests import strategies as make_data
from tests.laws.asking import everything
from tests.laws.neural import need_torch

CONFIG = NeuralCfConfig(factors=16, layers=(16, 8), epochs=30, batch=64, learning_rate=0.01)


def moving_on(n_users=80, n_items=60, seed=0):
    """Everybody starts among the first items of a taste and goes on to the last ones, which few had before."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        mine = np.arange(n_items) % 2 == user % 2
        early = rng.permutation(np.flatnonzero(mine & (np.arange(n_items) < n_items // 2)))[:12]
        late = rng.permutation(np.flatnonzero(mine & (np.arange(n_items) >= n_items // 2)))[:4]
        seldom = rng.permutation(np.flatnonzero(mine & (np.arange(n_items) >= n_items // 2)))[:1]
        items = [i for i in (*seldom, *early) if i not in late] + list(late)
        rows.append([(int(i), 1.0, make_data.EPOCH + k * make_data.DAY) for k, i in enumerate(items)])
    return make_data.training_data(rows, n_items)


@pytest.fixture(scope="module")
def data():
    need_torch()
    return moving_on()


@pytest.fixture(scope="module")
def model(data):
    return neural.fit(CONFIG, data, seed=1)


def test_onnx_runtime_answers_what_pytorch_does(data):
    import torch  # noqa: PLC0415 - of an extra

    from recengine.models import export, trainer  # noqa: PLC0415

    learnt = trainer.train(CONFIG, data, seed=1)
    model = neural.fit(CONFIG, data, seed=1)
    n_users, n_items = data.interactions.n_users, data.interactions.n_items
    query = make_data.query(data, range(n_users))
    served = model.score(query, *everything(query, n_items)).reshape(n_users, n_items)
    counts = np.diff(data.interactions.indptr)
    context = torch.from_numpy(user_context(np.full(n_users, query.now), counts))
    items = torch.arange(n_items).expand(n_users, -1)
    about = torch.from_numpy(learnt.item_context)[items]
    with torch.no_grad():
        whole = learnt.network(torch.arange(n_users), context, items, about).numpy()
    assert learnt.epochs > 0
    np.testing.assert_allclose(served, whole, rtol=1e-4, atol=1e-4)
    assert export.graph(learnt.network) == export.graph(learnt.network)


def test_it_learns_what_its_start_cannot_know(model):
    card = model._network.learned.card
    assert card.epochs > 0
    assert card.history[card.epochs] == max(card.history) > card.history[0] + 0.05


def test_a_new_user_is_placed_by_the_items_of_the_history(data, model):
    known = [0, 1, 2, 3]
    entries = data.interactions
    histories = [entries.items[entries.indptr[u] : entries.indptr[u + 1]].tolist() for u in known]
    ids = [entries.n_users + u for u in known]
    there, new = make_data.query(data, known), make_data.query(data, ids, changed=1, histories=histories)
    scores = [model.score(q, *everything(q, entries.n_items)).reshape(4, -1) for q in (there, new)]
    for one, other in zip(*scores, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.9
    assert np.corrcoef(scores[1][0], scores[1][1])[0, 1] < 0.9  # and not all alike
    changed = msgspec.structs.replace(there, changed=np.ones(4, np.uint8), prepared={})
    np.testing.assert_allclose(model.score(changed, *everything(changed, entries.n_items)), scores[0].ravel(), atol=1e-3)


def test_only_a_shortlist_of_every_row_is_scored_and_the_rest_stands_at_its_end(data):
    config = msgspec.structs.replace(CONFIG, shortlist=7, epochs=1)
    model = neural.fit(config, data)
    n_items = data.interactions.n_items
    query = make_data.query(data, [0, -1, 5])
    indptr, items = everything(query, n_items)
    items[3] = n_items + 5  # of the first row: came later
    query = msgspec.structs.replace(query, history=msgspec.structs.replace(query.history, n_items=n_items + 6))
    member = Member(model, Curve(), 1.0)
    pool = Pool(indptr, items, np.ones(len(items), np.uint32), ("all",))
    scored = column(member, query, pool).reshape(3, n_items)
    whole = model.score(query, indptr, items).reshape(3, n_items)
    rough = model.rough(query, indptr, items).reshape(3, n_items)
    for row in (0, 2):
        listed = np.sort(np.argsort(-rough[row], kind="stable")[:7])
        behind = np.setdiff1d(np.flatnonzero(~np.isnan(rough[row])), listed)
        np.testing.assert_array_equal(scored[row, listed], whole[row, listed])
        np.testing.assert_array_equal(scored[row, behind], scored[row, listed].min())
        assert len(behind) > 7
    assert np.isnan(scored[0, 3]), "an item without an embedding is not scored"
    assert np.isnan(scored[1]).all(), "nor is anything for somebody without"
    top = model.candidates(query, 7, np.ones((3, n_items), np.uint8))
    np.testing.assert_array_equal(scored[2, top.items[2]], whole[2, top.items[2]])
    alone = Query(query.users[2:], _row(query.history, 2), query.changed[2:], query.now)
    one = Pool(indptr[:2], items[2 * n_items :], pool.sources[2 * n_items :], pool.names)
    np.testing.assert_array_equal(column(member, alone, one), scored[2])


def test_an_item_behind_the_shortlist_passes_none_that_the_network_looked_at(data):
    """Where another model is about as sure of both, leaving the network out of the average would turn them round."""
    model = neural.fit(msgspec.structs.replace(CONFIG, shortlist=7, epochs=1), data)
    query = make_data.query(data, [0])
    indptr, items = everything(query, data.interactions.n_items)
    pool = Pool(indptr, items, np.ones(len(items), np.uint32), ("all",))
    mine = column(Member(model, Curve(), 1.0), query, pool)
    both = np.column_stack((mine, np.full(len(mine), 20.0, np.float32)))
    logits, _ = blend(both, np.ones(2, np.float32), np.full(2, 10.0, np.float32), np.full(2, 0.5, np.float32))
    listed = np.argsort(-model.rough(query, indptr, items), kind="stable")[:7]
    assert logits[listed].min() >= np.delete(logits, listed).max()


def _row(rows, row):
    mine = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
    return Interactions(1, rows.n_items, np.array([0, mine.stop - mine.start]), rows.items[mine], rows.weights[mine], rows.times[mine])


def test_a_network_that_diverges_is_said_and_threads_are_given_back(data):
    import torch  # noqa: PLC0415 - of an extra

    before = torch.get_num_threads()
    with pytest.raises(TrainingFailed, match="neural_cf.*epoch 1"):
        neural.fit(msgspec.structs.replace(CONFIG, regularization=1e300), data, threads=before + 1)
    assert torch.get_num_threads() == before


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "recengine.models", None)
    with pytest.raises(TrainingFailed, match="PyTorch") as caught:
        neural.fit(CONFIG, moving_on())
    assert "recengine[train]" in caught.value.hint


def test_a_damaged_graph_is_refused_before_it_is_parsed(model, tmp_path):
    model.save(tmp_path)
    file = tmp_path / "network.onnx"
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 20):
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        with pytest.raises(BadArtifact, match="SHA-256"):
            NeuralCf.load(CONFIG, tmp_path)


def test_a_graph_that_answers_otherwise_is_refused_by_its_golden_output(data, model, tmp_path):
    other = neural.fit(CONFIG, data, seed=2)
    model.save(tmp_path)
    content = other._network.learned.content
    card = json.loads((tmp_path / "card.json").read_bytes())
    (tmp_path / "network.onnx").write_bytes(content)
    (tmp_path / "card.json").write_text(json.dumps(card | {"sha256": onnx.digest(content)}))
    with pytest.raises(BadArtifact, match="golden"):
        NeuralCf.load(CONFIG, tmp_path)
    noise = b"not a graph"
    (tmp_path / "network.onnx").write_bytes(noise)
    (tmp_path / "card.json").write_text(json.dumps(card | {"sha256": onnx.digest(noise)}))
    with pytest.raises(BadArtifact, match="cannot be loaded"):
        NeuralCf.load(CONFIG, tmp_path)


def test_arrays_of_another_shape_are_refused(model, tmp_path):
    model.save(tmp_path)
    np.save(tmp_path / "item_product.npy", np.zeros((3, 16), np.float32))
    with pytest.raises(BadArtifact, match="item_product"):
        NeuralCf.load(CONFIG, tmp_path)


def test_the_card_says_what_it_is_and_from_how_much(data, model):
    card = model._network.learned.card
    assert (card.users, card.items) == (data.interactions.n_users, data.interactions.n_items)
    assert card.entries == len(data.interactions.items)
    assert tuple(card.config["layers"]) == (16, 8)
    assert card.sha256 == onnx.digest(model._network.learned.content)
    assert len(card.golden.output) == 5


def test_the_moment_and_the_activity_are_told_in_numbers():
    monday = 1_700_438_400_000_000  # 2023-11-20, 00:00 UTC
    hour = 3_600_000_000
    told = user_context(np.array([monday + 6 * hour, 7]), np.array([0, 10_000]))
    assert told.shape == (2, 5)
    np.testing.assert_allclose(told[0, :2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(told[1], [0, 0, 0, 0, 1])
    np.testing.assert_allclose(item_context(np.array([0, 3, 15])), [[0], [0.5], [1]])
    assert not item_context(np.zeros(2, np.int64)).any()
