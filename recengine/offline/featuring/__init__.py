"""Features stage of the offline spine: the store -> a training table -> features that are kept, with transforms.

Files in their order: `history` reads all there is, `probes` draws the rows, `table` computes them, `training` puts
these together; `leaks` looks for queries that see the future; `fit` chooses, fits the transforms, and is the stage;
`materialized` evaluates timelines on their own.
"""

from recengine.offline.featuring.fit import Featured, FeaturesReport, run
from recengine.offline.featuring.materialized import Materialized, materialize
from recengine.offline.featuring.training import Table, defined, training_table

__all__ = ("Featured", "FeaturesReport", "Materialized", "Table", "defined", "materialize", "run", "training_table")
