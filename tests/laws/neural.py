"""The kinds whose training needs PyTorch, as the laws ask them: with a `fit` that goes through the offline spine."""

import importlib.util

import pytest

from recengine.algorithms.neural import NeuralCf
from recengine.offline import neural
from tests.conftest import ABSENT

__all__ = ("MAKERS", "need_torch")


def need_torch():
    """Skip what needs the extra `train` where it is not installed; the closing lines count it."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        pytest.skip(f"{ABSENT}torch (extra `train`)")


class TrainedNeuralCf(NeuralCf):
    """What serving loads, and how it came to be."""

    def fit(self, data, *, seed=0, threads=0, progress=None):
        need_torch()
        self._network = neural.fit(self.config, data, seed=seed, threads=threads or 1, progress=progress)._network
        return self


MAKERS = {NeuralCf.kind: TrainedNeuralCf}
