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
    """Write the graph: one user and N candidates, rows of tables of any length -> `score` (N,)."""
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

    known = node("Concat", ["user", "context"], "known", axis=1)  # (1, F + C)
    about_item = node("Gather", ["item_hidden", "item"], "about_item")  # (N, H0)
    h = node("Relu", [node("Add", [about_item, linear("user_side", network.user_side, known)], "first")], "first_out")
    for place, layer in enumerate(network.hidden):
        h = node("Relu", [linear(f"hidden{place}", layer, h)], f"hidden{place}_out")  # (N, H1), (N, H2)
    perceptron = linear("last", network.last, h)  # (N, 1)
    column = node("Transpose", ["user"], "column")  # (F, 1)
    product = node("MatMul", [node("Gather", ["item_product", "item"], "i"), column], "product")  # (N, 1)
    node("Reshape", [node("Add", [perceptron, product], "both"), constant("flat", np.array([-1]))], "score")

    width, first = network.product.shape[0], network.user_side.out_features
    context = network.user_side.in_features - width
    floats = {
        "user": [1, width],
        "context": [1, context],
        "item_hidden": ["items", first],
        "item_product": ["items", width],
    }
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in floats.items()]
    inputs.append(helper.make_tensor_value_info("item", TensorProto.INT64, ["N"]))
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    whole = helper.make_graph(nodes, "neural_cf", inputs, [output], constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="recengine")
    model.ir_version = 8  # of the opset's time, so that older runtimes read it too
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def golden(network: NeuralCf, *, seed: int) -> Golden:
    """Draw a user, candidates and tables of four items, and say what PyTorch answers.

    So whoever loads the graph holds ONNX Runtime to PyTorch.
    """
    rng = np.random.default_rng(seed)
    width, first = network.product.shape[0], network.user_side.out_features

    def drawn(*shape: int) -> F32:
        return np.round(rng.standard_normal(shape), 3).astype(np.float32)  # short in a card

    floats = {
        "user": drawn(1, width),
        "context": drawn(1, network.user_side.in_features - width),
        "item_hidden": drawn(4, first),
        "item_product": drawn(4, width),
    }
    item = np.array([0, 3, 1, 3, 2])
    user, context, hidden, product = (torch.from_numpy(value) for value in floats.values())
    with torch.no_grad():
        output = network.head(user, context, hidden[None, item], product[None, item])[0]  # (N,)
    given = {name: value.tolist() for name, value in (floats | {"item": item}).items()}
    return Golden(given, [float(value) for value in output])
