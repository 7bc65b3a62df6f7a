"""A deployment: the fitted models, how much each counts, and what the candidate sources need.

Made by `offline`, read by `online`.

On disk (inside one version folder, whose files `artifacts` verifies before anything here is called):
`deployment.json` the configuration, calibration and weight of every member; `models/<name>/` what each `save`
wrote; `popularity/`; `demographic/`; `features/` and `index/` where the deployment has them.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from recengine.algorithms.base import Factors, Scorer, Vectors
from recengine.algorithms.calibration import Curve
from recengine.algorithms.demographic import Demographic
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.registry import ALGORITHMS
from recengine.config import Index as IndexConfig
from recengine.config import ModelConfig
from recengine.config import Popularity as PopularityConfig
from recengine.errors import BadArtifact
from recengine.features import deployed
from recengine.features.deployed import DeployedFeatures
from recengine.index import Index
from recengine.index import load as load_index
from recengine.types import F32

__all__ = ("Deployment", "Member", "assemble", "load", "save")


_WRITERS = 2
"""Threads; to copy what is written to the system is work of a core, and a fast disk keeps up with two."""


class Member(msgspec.Struct, frozen=True):
    """One model of the blend: how sure its scores make us, and how much it counts."""

    scorer: Scorer
    curve: Curve
    """P(engaged | score)."""
    weight: float

    @property
    def name(self) -> str:
        """The model's name in replies and reports."""
        return str(self.scorer.config.name)

    @property
    def threshold(self) -> float:
        """The z of the curve's line below which the model abstains."""
        return self.curve.line_at(self.scorer.config.confidence_threshold)


class Deployment(msgspec.Struct, frozen=True):
    """What answers requests."""

    version: str
    members: tuple[Member, ...]
    popularity: Popularity
    """Feeds the popular, trending, latest and category sources, whether or not it is a member too."""
    demographic: Demographic | None
    n_users: int
    n_items: int
    last_seq: int
    """The last event that was learned from; a user with later ones is folded in."""
    slopes: F32
    """Of each model's line: slope * score + intercept = log-odds beyond the model's threshold."""
    intercepts: F32
    weights: F32
    vectors: F32
    """(n_items, d) unit length, for measuring variety; d = 1 and all zero where no member has vectors."""
    popular: int
    """The member that is popularity; -1 = none is."""
    features: DeployedFeatures | None = None
    """What models see of users, items and both; None = training was told to make none."""
    curve: Curve = Curve()
    """P(engaged | pooled log-odds of the blend)."""
    index: Index | None = None
    """Over `item_factors` of `factors`, for its `query_vectors`; None = its own scan of all items is as good."""

    @property
    def factors(self) -> Member | None:
        """The first member that scores by dot products."""
        return next((member for member in self.members if isinstance(member.scorer, Factors)), None)

    def blending(self, members: tuple[Member, ...], curve: Curve) -> "Deployment":
        """Return the same deployment with other calibrations and weights of its models."""
        return msgspec.structs.replace(self, members=members, curve=curve, **_lines(members))


class _Entry(msgspec.Struct, frozen=True):
    config: ModelConfig
    curve: Curve
    weight: float


class _Card(msgspec.Struct, frozen=True, kw_only=True):
    members: tuple[_Entry, ...]
    popularity: PopularityConfig
    demographic: bool
    n_users: int
    n_items: int
    last_seq: int
    curve: Curve
    features: bool = False
    index: bool = False


def assemble(
    version: str,
    members: tuple[Member, ...],
    popularity: Popularity,
    demographic: Demographic | None,
    *,
    n_users: int,
    n_items: int,
    last_seq: int,
    features: DeployedFeatures | None = None,
    curve: Curve = Curve(),  # noqa: B008 - frozen
    index: Index | None = None,
) -> Deployment:
    """Put a deployment together from fitted parts."""
    source = next((m.scorer for m in members if isinstance(m.scorer, Vectors)), None)
    vectors = source.item_vectors() if source is not None else np.zeros((n_items, 1), np.float32)
    return Deployment(
        version,
        members,
        popularity,
        demographic,
        n_users,
        n_items,
        last_seq,
        **_lines(members),
        vectors=np.ascontiguousarray(vectors, dtype=np.float32),
        popular=next((m for m, member in enumerate(members) if isinstance(member.scorer, Popularity)), -1),
        features=features,
        curve=curve,
        index=index,
    )


def _lines(members: tuple[Member, ...]) -> dict[str, F32]:
    """Lay out what the blend kernel reads."""
    return {
        "slopes": np.array([m.curve.slope for m in members], np.float32),
        "intercepts": np.array([m.curve.intercept - m.threshold for m in members], np.float32),
        "weights": np.array([m.weight for m in members], np.float32),
    }


def save(deployment: Deployment, folder: Path) -> None:
    """Write `deployment` into the existing, empty `folder`."""
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="recengine-save") as pool:
        parts = [pool.submit(_made, folder / "models" / member.name, member.scorer) for member in deployment.members]
    for part in parts:
        part.result()
    _made(folder / "popularity", deployment.popularity)
    if deployment.demographic is not None:
        _made(folder / "demographic", deployment.demographic)
    if deployment.features is not None:
        (folder / deployed.FOLDER).mkdir()
        deployed.save(deployment.features, folder / deployed.FOLDER)
    if deployment.index is not None:
        (folder / "index").mkdir()
        deployment.index.save(folder / "index")
    card = _Card(
        members=tuple(_Entry(m.scorer.config, m.curve, m.weight) for m in deployment.members),
        popularity=deployment.popularity.config,
        demographic=deployment.demographic is not None,
        n_users=deployment.n_users,
        n_items=deployment.n_items,
        last_seq=deployment.last_seq,
        curve=deployment.curve,
        features=deployment.features is not None,
        index=deployment.index is not None,
    )
    (folder / "deployment.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2))


def load(folder: Path, version: str) -> Deployment:
    """Read what `save` wrote.

    Raises
    ------
    BadArtifact : a file is missing, damaged, or of another format.
    FeaturesChanged : this recengine defines a feature otherwise than the one that trained the deployment.
    """
    try:
        card = msgspec.json.decode((folder / "deployment.json").read_bytes(), type=_Card)
    except (OSError, msgspec.DecodeError) as err:
        raise BadArtifact(f"{version}/deployment.json: {err}", hint="train again, or roll back") from err
    members = tuple(
        Member(
            ALGORITHMS[_kind(e.config)].load(e.config, folder / "models" / e.config.name),
            e.curve,
            e.weight,
        )
        for e in card.members
    )
    popularity = next(
        (m.scorer for m in members if m.name == card.popularity.name and isinstance(m.scorer, Popularity)), None
    )
    return assemble(
        version,
        members,
        popularity or Popularity.load(card.popularity, folder / "popularity"),
        Demographic.load(folder / "demographic") if card.demographic else None,
        n_users=card.n_users,
        n_items=card.n_items,
        last_seq=card.last_seq,
        curve=card.curve,
        features=deployed.load(folder / deployed.FOLDER) if card.features else None,
        index=load_index(IndexConfig(), folder / "index") if card.index else None,
    )


def _kind(config: ModelConfig) -> str:
    return str(type(config).__struct_config__.tag)


def _made(folder: Path, part: Scorer | Demographic) -> None:
    folder.mkdir(parents=True)
    part.save(folder)
