"""A trained network -> the ONNX graph that serving runs, and the tables beside it.

The graph begins where what is the same for everybody ends: the item's part of the first layer and the item's side of
the product are tables, computed here, once. Written node by node, for it is small: what serving runs is what stands
here, and no tracer's idea of it.
"""

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from recengine.models.neural_cf import NeuralCf
from recengine.onnx import Golden
from recengine.types import F32, Bools

__all__ = ("OPSET", "golden", "graph", "tables")

OPSET = 17


def tables(network: NeuralCf, item_context: F32, able: Bools) -> tuple[F32, F32]:
    """Compute `item_hidden` (n_items, H0) and `item_product` (n_items, F), float32; NaN rows where not `able`."""
    with torch.no_grad():
        hidden, product = network.of_items(network.items.table(), torch.from_numpy(item_context))
    hidden[~torch.from_numpy(able)] = torch.nan
    return hidden.numpy(), product.numpy()


def graph(network: NeuralCf) -> bytes:
    """Write the graph: B users, N candidates of any of them (`row`), tables of any length -> `score` (N,).

    The perceptron's last layer has one unit; it is written as a product and a sum, like the product of embeddings,
    because then a candidate's score does not depend on how many there are.
    """
    constants: list[TensorProto] = []
    nodes = []

    def constant(name: str, value: torch.Tensor | np.ndarray) -> str:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **how: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **how))
        return output

    def linear(name: str, layer: torch.nn.Linear, given: str) -> str:
        weight, bias = constant(f"{name}_weight", layer.weight.T), constant(f"{name}_bias", layer.bias)
        return node("Gemm", [given, weight, bias], name)

    last_axis = constant("last_axis", np.array([1], np.int64))
    known = node("Concat", ["user", "context"], "known", axis=1)  # (B, F + C)
    about_user = node("Gather", [linear("user_side", network.user_side, known), "row"], "about_user")  # (N, H0)
    about_item = node("Gather", ["item_hidden", "item"], "about_item")  # (N, H0)
    h = node("Relu", [node("Add", [about_user, about_item], "first")], "first_out")
    for place, layer in enumerate(network.hidden):
        h = node("Relu", [linear(f"hidden{place}", layer, h)], f"hidden{place}_out")  # (N, H1), (N, H2)
    weighted = node("Mul", [h, constant("last_weight", network.last.weight[0])], "weighted")
    perceptron = node("ReduceSum", [weighted, last_axis], "perceptron", keepdims=0)  # (N,)
    u = node("Gather", ["user", "row"], "u")  # (N, F)
    products = node("Mul", [u, node("Gather", ["item_product", "item"], "i")], "products")
    product = node("ReduceSum", [products, last_axis], "product", keepdims=0)  # (N,)
    both = node("Add", [product, perceptron], "both")
    node("Add", [both, constant("last_bias", network.last.bias)], "score")

    width, first = network.product.shape[0], network.user_side.out_features
    context = network.user_side.in_features - width
    floats = {
        "user": ["B", width],
        "context": ["B", context],
        "item_hidden": ["items", first],
        "item_product": ["items", width],
    }
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in floats.items()]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, ["N"]) for name in ("row", "item")]
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    whole = helper.make_graph(nodes, "neural_cf", inputs, [output], constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="recengine")
    model.ir_version = 8  # of the opset's time, so that older runtimes read it too
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def golden(network: NeuralCf, *, seed: int) -> Golden:
    """Draw two users, five candidates and tables of four items, and say what PyTorch answers.

    So whoever loads the graph holds ONNX Runtime to PyTorch.
    """
    rng = np.random.default_rng(seed)
    width, first = network.product.shape[0], network.user_side.out_features

    def drawn(*shape: int) -> F32:
        return np.round(rng.standard_normal(shape), 3).astype(np.float32)  # short in a card

    floats = {
        "user": drawn(2, width),
        "context": drawn(2, network.user_side.in_features - width),
        "item_hidden": drawn(4, first),
        "item_product": drawn(4, width),
    }
    rows = {"row": np.array([0, 0, 0, 1, 1]), "item": np.array([0, 1, 3, 2, 3])}
    user, context, hidden, product = (torch.from_numpy(value) for value in floats.values())
    with torch.no_grad():
        every = network.head(user, context, hidden.expand(2, -1, -1), product.expand(2, -1, -1))  # (2, 4)
    output = every.numpy()[rows["row"], rows["item"]]
    given = {name: value.tolist() for name, value in (floats | rows).items()}
    return Golden(given, [float(value) for value in output])
