"""The only door to ONNX Runtime: load a graph from verified bytes, hold it to a golden output, run it.

Floor 1; algorithms that were trained elsewhere answer through it. In: the bytes of a graph, their digest, inputs whose
output was computed when it was exported. Out: a `Graph` to run on float32 and int64 arrays.

Why in this order: of 40 damaged graphs ONNX Runtime loaded two and answered wrongly, so the digest comes before the
parser; and a sound graph on a machine whose arithmetic is off, or a version that reads it otherwise, is caught by the
golden output. Why from bytes: a graph by path may name further files, to be read from wherever it says.

Why one thread a run: then a row's score does not depend on how rows were shared out. Who has many rows runs several
batches at once (ONNX Runtime lets go of Python's lock). Why it is imported late: it takes 30 ms and 20 MB, and a
deployment without neural models never needs it.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from recengine.errors import BadArtifact, ShapeError
from recengine.types import F32

__all__ = ("TOLERANCE", "Golden", "Graph", "digest", "load")

TOLERANCE = 1e-4
"""How far a golden output may be off, absolute and relative: other instruction sets sum in another order."""
HINT = "train again, or roll back"


class Golden(msgspec.Struct, frozen=True):
    """Inputs of a graph and what it answered when it was exported; as lists, so that they stand in a card of text."""

    inputs: dict[str, Any]
    output: list[float]


class Graph:
    """A graph that was checked; answers from any number of threads at once."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._kinds = {one.name: np.int64 if "int64" in one.type else np.float32 for one in session.get_inputs()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(self._kinds)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> F32:
        """Compute the first output; arrays in C order are read where they lie.

        Raises
        ------
        ShapeError : an input is missing, or of another dtype or shape than the graph's.
        """
        try:
            answer: F32 = self._session.run(None, dict(inputs))[0]
        except Exception as err:  # its errors share no base below Exception; whatever it was, the inputs did not fit
            raise ShapeError(f"onnx: expected inputs {', '.join(self._kinds)}: {_first_line(err)}") from err
        return answer

    def check(self, golden: Golden, *, where: str) -> None:
        """Hold the graph to its golden output.

        Raises
        ------
        BadArtifact : it answers otherwise, or with NaN, or not at all.
        """
        try:
            given = {name: np.array(value, self._kinds[name]) for name, value in golden.inputs.items()}
            answer = self.run(given)
        except (KeyError, ValueError, TypeError) as err:
            raise BadArtifact(f"{where}: the golden inputs do not fit: {err}", hint=HINT) from err
        wanted = np.array(golden.output, np.float32)
        if answer.shape != wanted.shape or not np.allclose(answer, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise BadArtifact(f"{where}: the graph does not give its golden output on this machine", hint=HINT)


def digest(content: bytes) -> str:
    """Return the SHA-256 of the bytes of a graph, as hexadecimal text."""
    return sha256(content).hexdigest()


def load(content: bytes, expected: str, golden: Golden, *, where: str) -> Graph:
    """Verify, parse, and hold to the golden output.

    Parameters
    ----------
    content : of a graph that was exported.
    expected : its `digest`, from a place that is itself verified.
    where : names the file in errors.

    Raises
    ------
    BadArtifact : the bytes are not those that were exported, cannot be parsed, or answer otherwise.

    Cost: 2 ms for a small graph, and 30 ms once for the import.
    """
    if digest(content) != expected:
        raise BadArtifact(f"{where}: its SHA-256 is not the one in its card", hint=HINT)
    import onnxruntime  # noqa: PLC0415 - 30 ms that a deployment without neural models need not pay

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised; a library does not write to the terminal
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # its parsers' errors share no base either; whatever it was, no graph came of it
        raise BadArtifact(f"{where}: cannot be loaded: {_first_line(err)}", hint=HINT) from err
    graph = Graph(session)
    graph.check(golden, where=where)
    return graph


def _first_line(err: Exception) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
