"""Features as a deployment keeps them: which, with what versions, what their codes stand for, how they are transformed.

Below both spines: written at the end of training, read before serving. On disk, in the folder `features` of a version:
`features.json` (definitions with versions, which of them the model sees, labels, the report of the selection) and what
`Program.save` writes. A deployment is served only where every definition it was trained with still is what it was.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from recengine.config import Config
from recengine.errors import BadArtifact, ConfigInvalid, FeaturesChanged
from recengine.features.builtin import Columns, feature_set
from recengine.features.definition import FeatureSet
from recengine.features.lanes import Labels
from recengine.features.selection import SelectionReport
from recengine.features.transforms import Program
from recengine.types import I32

__all__ = ("FOLDER", "DeployedFeatures", "agree", "load", "save")

FOLDER = "features"
_FILE = "features.json"
_AGAIN = "train again, or roll back"
_ALL = int(np.iinfo(np.int64).max)


class DeployedFeatures(msgspec.Struct, frozen=True):
    """What serving computes, and how it becomes the model's matrix."""

    features: FeatureSet
    """To be computed: what the model sees, and what some of that is derived from."""
    kept: tuple[str, ...]
    """What the model sees, in the order of `features`: the rows that `program` takes."""
    labels: Labels
    program: Program
    selection: SelectionReport

    @property
    def rows(self) -> I32:
        """Places of `kept` among `features`."""
        place = {name: k for k, name in enumerate(self.features.names)}
        return np.array([place[name] for name in self.kept], np.int32)

    @property
    def versions(self) -> dict[str, str]:
        """By feature."""
        return {feature.name: feature.version for feature in self.features.features}


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    features: FeatureSet
    versions: dict[str, str]
    kept: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    selection: SelectionReport


def save(deployed: DeployedFeatures, folder: Path) -> None:
    """Write features into the existing, empty `folder`."""
    written = _Written(
        features=deployed.features,
        versions=deployed.versions,
        kept=deployed.kept,
        labels=dict(deployed.labels),
        selection=deployed.selection,
    )
    (folder / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1))
    deployed.program.save(folder)


def load(folder: Path) -> DeployedFeatures:
    """Read what `save` wrote.

    Raises
    ------
    BadArtifact : a file is missing or damaged, or they do not belong together.
    FeaturesChanged : this recengine says another version of a definition than the one that wrote it.
    """
    where = f"{folder.name}/{_FILE}"
    try:
        written = msgspec.json.decode((folder / _FILE).read_bytes(), type=_Written)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as err:
        raise BadArtifact(f"{where}: cannot be read: {err}", hint=_AGAIN) from err
    program = Program.load(folder)
    if program.features != written.kept or not set(written.kept) <= set(written.features.names):
        raise BadArtifact(f"{where}: does not go with its transforms", hint=_AGAIN)
    _compare(written.versions, {feature.name: feature.version for feature in written.features.features})
    return DeployedFeatures(written.features, written.kept, written.labels, program, written.selection)


def agree(
    deployed: DeployedFeatures, config: Config, items: Columns, users: Columns, where: Sequence[str] = ()
) -> None:
    """See that every feature of a deployment is what this engine would compute by its name.

    Parameters
    ----------
    items, users : the attributes that there are; `where` as in `feature_set`.

    Raises
    ------
    FeaturesChanged : a definition is gone or another one, or those of the configuration cannot be used.
    """
    try:
        defined = feature_set(config, items, users, where, many=_ALL)
    except ConfigInvalid as err:
        raise FeaturesChanged(f"features cannot be told: {err.message}", hint=err.hint) from err
    _compare(deployed.versions, {feature.name: feature.version for feature in defined.features})


def _compare(trained: dict[str, str], defined: dict[str, str]) -> None:
    for name, version in trained.items():
        if defined.get(name) != version:
            now = f"is version {defined[name]} now" if name in defined else "is not defined any more"
            raise FeaturesChanged(
                f"feature {name!r} was trained as version {version} and {now}",
                hint="train again, put the definition back, or roll back",
            )
