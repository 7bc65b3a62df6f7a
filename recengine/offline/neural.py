"""Training of models whose training needs PyTorch: the only place that reaches `recengine.models`.

Part of the third stage of the offline spine, called by `train`. In: a configuration and interactions. Out: a fitted
scorer that needs no PyTorch. The extra `train` brings it; without it a `[[model]]` of these kinds ends here, in words.
"""

import time

import msgspec
import numpy as np

from recengine import onnx
from recengine.algorithms.base import Progress
from recengine.algorithms.neural import Card, Learned, NeuralCf
from recengine.config import NeuralCf as NeuralCfConfig
from recengine.errors import TrainingFailed
from recengine.types import TrainingData

__all__ = ("fit",)


def fit(
    config: NeuralCfConfig, data: TrainingData, *, seed: int = 0, threads: int = 1, progress: Progress | None = None
) -> NeuralCf:
    """Train, export, and load what was exported: what fails its golden output is never handed on.

    Raises
    ------
    TrainingFailed : PyTorch or onnx is not installed, or training came to no numbers.
    EmptyData : there is nothing to learn from.
    """
    try:
        from recengine.models import export, trainer  # noqa: PLC0415 - the core install has no PyTorch
    except ImportError as err:
        raise TrainingFailed(
            f"model {config.name!r}: `neural_cf` is trained with PyTorch: {err}",
            hint="pip install 'recengine[train]', or leave the [[model]] out",
        ) from err
    learnt = trainer.train(config, data, seed=seed, threads=threads, progress=progress)
    hidden, product = export.tables(learnt.network, learnt.item_context, ~np.isnan(learnt.start.item_factors()[:, 0]))
    content = export.graph(learnt.network)
    card = Card(
        what="neural collaborative filtering: product of embeddings and a perceptron, started from implicit ALS",
        trained=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        config=msgspec.to_builtins(config),
        users=data.interactions.n_users,
        items=data.interactions.n_items,
        entries=learnt.entries,
        epochs=learnt.epochs,
        history=learnt.history,
        scale=trainer.SCALE,
        opset=export.OPSET,
        torch=trainer.VERSION,
        sha256=onnx.digest(content),
        golden=export.golden(learnt.network, seed=seed),
    )
    learned = Learned(learnt.start, learnt.offsets, learnt.regression, hidden, product, content, card)
    return NeuralCf.of(config, learned)
