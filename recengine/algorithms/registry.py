"""Every algorithm by its `kind`, the tag of its configuration. The laws run over this table."""

from typing import Any

from recengine.algorithms.als import Als
from recengine.algorithms.bpr import Bpr
from recengine.algorithms.ease import Ease
from recengine.algorithms.funk_svd import FunkSvd
from recengine.algorithms.graph_filter import GraphFilter
from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.neural import NeuralCf
from recengine.algorithms.nmf import Nmf
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.svd import Svd
from recengine.algorithms.user_knn import UserKnn
from recengine.config import ModelConfig

__all__ = ("ALGORITHMS", "create")

ALGORITHMS: dict[str, Any] = {
    Als.kind: Als,
    Bpr.kind: Bpr,
    Ease.kind: Ease,
    FunkSvd.kind: FunkSvd,
    GraphFilter.kind: GraphFilter,
    ItemKnn.kind: ItemKnn,
    NeuralCf.kind: NeuralCf,
    Nmf.kind: Nmf,
    Popularity.kind: Popularity,
    Svd.kind: Svd,
    UserKnn.kind: UserKnn,
}


def create(config: ModelConfig) -> Any:
    """Make the unfitted algorithm that `config` asks for."""
    return ALGORITHMS[str(type(config).__struct_config__.tag)](config)
