"""Make the report on features: the training table and what selection found -> `Report` -> one HTML file.

A job: it needs the offline spine's table and, where a deployment is live, what it was trained with. In: the store. Out:
a page for people, and the same facts for machines.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from recengine.artifacts.store import ArtifactStore
from recengine.config import Config
from recengine.errors import BadArtifact, FeaturesChanged
from recengine.features import deployed
from recengine.features.definition import FeatureSet
from recengine.features.lanes import Labels
from recengine.features.selection import SelectionReport
from recengine.jobs import standalone
from recengine.jobs.feature_facts import Pair, correlations, cut, describe_feature
from recengine.jobs.feature_page import Report, page
from recengine.kernels import cores
from recengine.offline.featuring import training_table
from recengine.offline.featuring.fit import chosen
from recengine.offline.featuring.leaks import find_leaks
from recengine.store.database import Database
from recengine.types import F32, F64, I64, MICROSECONDS_FROM

__all__ = ("of_store", "report_on", "strongest", "write")

STRONG = 0.7
"""Rank correlation from which a pair is listed."""
MOST_PAIRS = 20


def of_store(
    database: Database, config: Config, artifacts: ArtifactStore, *, rows: int | None = None, threads: int = 0
) -> Report:
    """Compute the training table as of now, and say what the selection of the live deployment found.

    Where there is no such selection, one is made for the report, from the same table and in the same way.

    Parameters
    ----------
    rows : of the table at most; None = `features.rows`.
    threads : 0 = all cores.

    Raises
    ------
    ConfigInvalid : a definition cannot be used; the message names file and line.
    """
    threads = cores(threads)
    table = training_table(database, config, rows=rows, threads=threads)
    found, source = _selection(artifacts)
    if found is None and len(table.drawn.taken):
        leaks = find_leaks(database, table.features, table.past, table.drawn.probes.times)
        found = chosen(table, config, leaks)
        source += "; the selection shown was made for this page"
    return report_on(
        database.path.parent.resolve().name,
        table.features,
        table.values,
        table.labels,
        table.drawn.probes.times,
        table.drawn.taken,
        found,
        source=source,
    )


def write(report: Report, target: Path) -> None:
    """Write the page; the file appears under its name only when it is complete.

    Raises
    ------
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    standalone.write(page(report), target)


def _selection(artifacts: ArtifactStore) -> tuple[SelectionReport | None, str]:
    """Read what the selection of the live deployment found; and say in words whose it is, or why there is none."""
    version = artifacts.current()
    if version is None:
        return None, "Nothing is trained yet"
    try:
        folder = artifacts.open(version) / deployed.FOLDER
        if not folder.is_dir():
            return None, f"Deployment {version} was trained without features"
        found = msgspec.convert(deployed.load(folder).selection, SelectionReport)
    except (BadArtifact, FeaturesChanged) as err:  # the page says it, and shows what can be shown
        return None, f"The selection of deployment {version} cannot be read: {err.message}"
    except msgspec.ValidationError as err:
        return None, f"The selection of deployment {version} cannot be read: {err}"
    return found, f"Selection and importance are those of deployment {version}"


def report_on(
    title: str,
    features: FeatureSet,
    values: F32,
    labels: Labels,
    times: I64,
    taken: F32,
    found: SelectionReport | None,
    *,
    source: str = "",
    now: datetime | None = None,
) -> Report:
    """Gather what a report says.

    Parameters
    ----------
    values : (F, m) float32, a row a feature, rows of the table oldest first; NaN = missing, a category is its code.
    times : (m,) int64, ascending; moments, or numbers that only sort.
    taken : (m,) float32, 1 = the item was taken up.
    found : by the selection.
    source : whose selection it is, in words.
    now : the moment that the page says it was made at.

    Cost: a sort of every row of `values`; about 0.2 us a value.
    """
    at = cut(times)
    facts = tuple(
        describe_feature(feature, row, at, labels, found)
        for feature, row in zip(features.features, values, strict=True)
    )
    names, matrix = correlations(features, values)
    made = now or datetime.now(UTC)
    return Report(
        title=title,
        made=made.strftime("%Y-%m-%d %H:%M UTC"),
        rows=len(times),
        taken=float(taken.mean()) if len(taken) else 0.0,
        periods=(_period(times[:at]), _period(times[at:])),
        source=source,
        features=facts,
        auc=found.auc if found else None,
        names=names,
        matrix=matrix,
        pairs=strongest(names, matrix),
    )


def strongest(names: tuple[str, ...], matrix: F64) -> tuple[Pair, ...]:
    """List the pairs that correlate at least 0.7, the strongest first, 20 at most."""
    one, other = np.tril_indices(len(names), -1)
    r = matrix[one, other]
    order = np.argsort(-np.abs(r), kind="stable")
    order = order[np.abs(r[order]) >= STRONG][:MOST_PAIRS]
    return tuple(Pair(names[other[k]], names[one[k]], float(r[k])) for k in order)


def _period(times: I64) -> str:
    """Say a period in words."""
    if len(times) == 0:
        return "no rows"
    first, last = int(times[0]), int(times[-1])
    if first < MICROSECONDS_FROM:
        return f"order {first:,} to {last:,}"
    minutes = np.array([first, last], "datetime64[us]").astype("datetime64[m]")
    return " to ".join(str(minute).replace("T", " ") for minute in minutes)
