"""The door to ONNX Runtime: what is not whole is not parsed, and what does not fit is said."""

import numpy as np
import pytest

from recengine import onnx
from recengine.errors import BadArtifact, ShapeError
from tests.laws.neural import need_torch


@pytest.fixture
def doubling():
    """y = x + x, as bytes."""
    need_torch()
    from onnx import TensorProto, helper  # noqa: PLC0415 - of an extra

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


GOLDEN = onnx.Golden({"x": [1.0, -2.5]}, [2.0, -5.0])


def test_a_graph_answers(doubling):
    graph = onnx.load(doubling, onnx.digest(doubling), GOLDEN, where="g.onnx")
    assert graph.inputs == ("x",)
    x = np.arange(5, dtype=np.float32)
    x.setflags(write=False)
    np.testing.assert_array_equal(graph.run({"x": x}), 2 * x)
    assert graph.run({"x": x[:0]}).shape == (0,)


def test_other_bytes_are_not_parsed(doubling):
    for content in (doubling[:-1], doubling + b" ", b""):
        with pytest.raises(BadArtifact, match=r"g\.onnx: its SHA-256"):
            onnx.load(content, onnx.digest(doubling), GOLDEN, where="g.onnx")


@pytest.mark.parametrize("output", [[2.0, -5.1], [2.0], [float("nan"), -5.0]])
def test_another_golden_output_is_refused(doubling, output):
    with pytest.raises(BadArtifact, match="golden output"):
        onnx.load(doubling, onnx.digest(doubling), onnx.Golden(GOLDEN.inputs, output), where="g.onnx")


@pytest.mark.parametrize("inputs", [{}, {"z": [1.0]}, {"x": [[1.0]]}, {"x": ["a"]}])
def test_golden_inputs_that_do_not_fit_are_refused(doubling, inputs):
    with pytest.raises(BadArtifact, match="golden inputs"):
        onnx.load(doubling, onnx.digest(doubling), onnx.Golden(inputs, [2.0]), where="g.onnx")


def test_what_is_no_graph_is_refused():
    for content in (b"", b"noise", b"\x08\x08" * 50):
        with pytest.raises(BadArtifact, match="cannot be loaded"):
            onnx.load(content, onnx.digest(content), GOLDEN, where="g.onnx")


def test_arrays_that_do_not_fit_are_named(doubling):
    graph = onnx.load(doubling, onnx.digest(doubling), GOLDEN, where="g.onnx")
    for inputs in ({}, {"x": np.zeros(2)}, {"x": np.zeros((2, 2), np.float32)}):
        with pytest.raises(ShapeError, match="expected inputs x"):
            graph.run(inputs)
