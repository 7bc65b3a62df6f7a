"""What an engine says of features as such: which there are, which are deployed, their training table, their timelines.

What features say of users and items is the matter of `features.py`.
"""

from pathlib import Path
from typing import Any

from recengine.engine.held import Held
from recengine.errors import NotTrained
from recengine.features.definition import FeatureSet
from recengine.features.deployed import DeployedFeatures
from recengine.jobs.feature_table import TableReport, write_table
from recengine.kernels.threads import cores
from recengine.offline.featuring import Materialized, defined, materialize, training_table
from recengine.online.arrivals import moment

__all__ = ("Definitions",)


class Definitions(Held):
    """The side of an engine that features are defined on."""

    def feature_set(self) -> FeatureSet:
        """List the features of the configuration, of the attributes that there are, and of `[[feature]]`.

        Raises
        ------
        ConfigInvalid : a definition cannot be used; the message names file and line.
        """
        return defined(self._database, self.config)

    def deployed_features(self) -> DeployedFeatures | None:
        """Return what the live deployment was trained with; None where nothing is live, or it has no features.

        Raises
        ------
        FeaturesChanged : a definition is another one now.
        BadArtifact : the live deployment is damaged.
        """
        try:
            return self.spine().deployment.features
        except NotTrained:
            return None

    def feature_table(
        self, target: Path, *, rows: int | None = None, as_of: Any = None, threads: int = 0
    ) -> TableReport:
        """Write the training table of all features to a Parquet file: every row as of its own moment.

        Parameters
        ----------
        rows : at most, the latest ones; None = `features.rows`.
        as_of : as if nothing later had happened: a datetime, an ISO text, or a number of the kind that events are
            ordered by; None = all.
        threads : 0 = as configured for training.

        Raises
        ------
        BadRequest : `target` does not end in .parquet, or `as_of` is no moment.
        ConfigInvalid : a definition cannot be used; the message names file and line.
        EmptyData : no event leaves a row.
        DirectoryInvalid : nothing can be written there.
        """
        until = None if as_of is None else moment(as_of, self._state.kind, "as_of", self._moments)
        self._feedback.flush()  # so that everything that was acknowledged is in it
        count = cores(threads or self.config.training.threads)
        table = training_table(self._database, self.config, rows=rows, as_of=until, threads=count)
        return write_table(table, self._ids.users, self._ids.items, target)

    def materialize_features(self) -> tuple[Materialized, ...]:
        """Evaluate every feature that is a query or a column of a source again, and keep what they say.

        Raises
        ------
        ConfigInvalid : a definition cannot be used; the message names file and line, and nothing was kept.
        """
        self._feedback.flush()  # so that queries see everything that was acknowledged
        with self._writing:
            return materialize(self._database, self.config)
