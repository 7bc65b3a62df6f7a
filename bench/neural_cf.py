"""Ask how fast the network scores a shortlist of one user: 200 candidates, and 1,000, on one thread.

Naive: the same network unsplit, in ONNX Runtime too: both embeddings laid side by side for every candidate, the whole
first layer computed for each; its user's embedding is looked up and its query made beforehand, ours within the time.
Limit: the products of the layers that are left, by numpy's BLAS on one thread. The answers are compared first. Weights
are drawn, for they do not change the time.
"""

from itertools import pairwise

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

from bench import harness
from recengine.algorithms.als import Als
from recengine.algorithms.neural import Card, Learned, NeuralCf, start_config, user_context
from recengine.config import NeuralCf as NeuralCfConfig
from recengine.models import export
from recengine.models.neural_cf import NeuralCf as Network
from recengine.onnx import digest
from recengine.types import NO_TIME, Catalogue, Interactions, Query, TrainingData


def drawn(n_users, n_items, seed=0):
    """Draw 30 entries a user, of popularity like 1 / rank."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(10, n_items + 10)
    rows = [np.unique(rng.choice(n_items, 30, p=share / share.sum())) for _ in range(n_users)]
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    items = np.concatenate(rows).astype(np.int32)
    weights, times = np.ones(len(items), np.float32), np.full(len(items), NO_TIME)
    entries = Interactions(n_users, n_items, indptr, items, weights, times)
    sides = [Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME)) for n in (n_items, n_users)]
    return TrainingData(entries, *sides, as_of=0)


def models(n_users, n_items):
    """Make the split network as it serves, and what the unsplit one needs."""
    config = NeuralCfConfig()
    data = drawn(n_users, n_items)
    start = Als(msgspec.structs.replace(start_config(config), epochs=2)).fit(data, threads=1)
    everybody = Query(np.arange(n_users, dtype=np.int32), data.interactions, np.zeros(n_users, np.uint8), 0)
    users = np.nan_to_num(start.query_vectors(everybody))
    items = np.nan_to_num(start.item_factors())
    torch.manual_seed(0)
    network = Network(
        torch.from_numpy(users), torch.from_numpy(items), config.layers,
        dropout=0.0, user_context=5, item_context=1, scale=10.0,
    )  # fmt: skip
    torch.nn.init.normal_(network.last.weight)
    context = np.random.default_rng(1).random((n_items, 1), dtype=np.float32)
    hidden, product = export.tables(network.eval(), context, np.ones(n_items, np.bool_))
    content = export.graph(network)
    card = Card(
        what="drawn", trained="", torch="", opset=export.OPSET, config={}, users=n_users, items=n_items, entries=0,
        epochs=0, history=[], scale=10.0, sha256=digest(content), golden=export.golden(network, seed=0),
    )  # fmt: skip
    same = np.eye(users.shape[1], dtype=np.float32)
    model = NeuralCf.of(config, Learned(start, np.zeros_like(users), same, hidden, product, content, card))
    return model, data, unsplit(network, context), users



def unsplit(network, item_context):
    """Write the network as the paper draws it: one user, N items, embeddings within."""
    held, nodes = [], []

    def constant(name, array):
        held.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind, inputs, output, **how):
        nodes.append(helper.make_node(kind, inputs, [output], **how))
        return output

    table = network.items.table().numpy()
    i = node("Gather", [constant("items", table), "item"], "i")
    about = node("Gather", [constant("about_items", item_context), "item"], "about")
    known = node("Concat", ["user", "context"], "known", axis=1)
    sizes = node("Concat", [node("Shape", ["item"], "n"), constant("one", np.array([1]))], "sizes", axis=0)
    h = node("Concat", [node("Tile", [known, sizes], "each"), i, about], "h", axis=1)
    first = torch.cat((network.user_side.weight, network.item_side.weight), 1).detach().numpy()
    layers = [(first, network.user_side.bias)]
    layers += [(layer.weight.detach().numpy(), layer.bias) for layer in network.hidden]
    for place, (weight, bias) in enumerate(layers):
        inputs = [h, constant(f"w{place}", weight.T), constant(f"b{place}", bias.detach().numpy())]
        h = node("Relu", [node("Gemm", inputs, f"z{place}")], f"h{place}")
    weights = node("Mul", ["user", constant("product", network.product.detach().numpy())], "weighted")
    both = node("Concat", [h, node("Mul", [i, weights], "products")], "both", axis=1)
    last = np.concatenate((network.last.weight.detach().numpy()[0], np.ones(table.shape[1], np.float32)))[:, None]
    node("Gemm", [both, constant("last", last), constant("bias", network.last.bias.detach().numpy())], "score")
    floats = {"user": [1, table.shape[1]], "context": [1, 5]}
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in floats.items()]
    given.append(helper.make_tensor_value_info("item", TensorProto.INT64, ["N"]))
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])
    graph = helper.make_graph(nodes, "unsplit", given, [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", export.OPSET)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(args):
    """Time one user's shortlists."""
    n_users, n_items, rounds = (200, 2_000, 5) if args.small else (2_000, 40_000, 100)
    model, data, naive, users = models(n_users, n_items)
    rng = np.random.default_rng(2)
    user, now = 7, 1_700_000_000_000_000
    entries = data.interactions
    own = slice(int(entries.indptr[user]), int(entries.indptr[user + 1]))
    n = own.stop - own.start
    history = Interactions(1, n_items, np.array([0, n]), entries.items[own], entries.weights[own], entries.times[own])
    context = user_context(np.array([now]), np.array([n]))
    out = {"items": n_items, "layers": list(model.config.layers), "factors": model.config.factors, "threads": 1}
    for size in (200, 1000):
        items = np.sort(rng.choice(np.unique(entries.items), size, replace=False)).astype(np.int32)
        indptr, wanted = np.array([0, size], np.int64), items.astype(np.int64)
        asked = {"user": users[user : user + 1], "context": context, "item": wanted}
        widths = (*model.config.layers, 1)
        layers = [rng.standard_normal((a, b), dtype=np.float32) for a, b in pairwise(widths)]

        def ours(indptr=indptr, items=items):
            for _ in range(rounds):
                query = Query(np.array([user], np.int32), history, np.zeros(1, np.uint8), now)  # nothing is prepared
                answer = model.score(query, indptr, items)
            return answer

        def theirs(asked=asked):
            for _ in range(rounds):
                answer = naive.run(None, asked)[0]
            return answer[:, 0]

        def limit(size=size, layers=layers):
            for _ in range(rounds):
                h = np.ones((size, layers[0].shape[0]), np.float32)
                for layer in layers:
                    h = h @ layer
            return h

        assert np.allclose(ours(), theirs(), rtol=1e-3, atol=1e-3)  # noqa: S101
        with threadpool_limits(1):
            times = harness.interleaved(ours, theirs, limit, repeats=3 if args.small else 9)
        mine, other, least = ({k: v / rounds * 1e3 for k, v in harness.summary(t).items()} for t in times)
        out[f"candidates_{size}"] = {
            "milliseconds": mine,
            "unsplit_milliseconds": other,
            "blas_products_alone_milliseconds": least,
            "times_faster_than_unsplit": other["median"] / mine["median"],
            "times_the_limit": mine["median"] / least["median"],
        }
    return out


def main():
    args = harness.arguments(__doc__)
    harness.report("neural_cf", args, **measure(args))


if __name__ == "__main__":
    main()
