"""What an engine says of its features. Nothing here changes what is stored."""

from recengine.engine.held import Held
from recengine.jobs.feature_page import Report
from recengine.jobs.feature_report import of_store

__all__ = ("Featured",)


class Featured(Held):
    """The side of an engine that lays its features open."""

    def feature_report(self, *, rows: int | None = None, threads: int = 0) -> Report:
        """Compute the training table as of now, and describe every feature of it.

        Parameters
        ----------
        rows : of the table at most; None = `features.rows`.
        threads : cores to compute with; 0 = as configured.

        Raises
        ------
        ConfigInvalid : a definition cannot be used; the message names file and line.
        """
        self._feedback.flush()  # what was acknowledged is in it
        threads = threads or self.config.training.threads
        return of_store(self._database, self.config, self.artifacts, rows=rows, threads=threads)
