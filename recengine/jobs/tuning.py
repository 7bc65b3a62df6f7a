"""The scientist's door to the search of settings: files in, no data directory.

In: a training file; a part of it is held out to choose by, as for the `default` of `evaluate`. No test side is ever
read. Out: what `offline.tune` found.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from recengine.config import DEFAULT_CANDIDATES, Config
from recengine.jobs.protocols import undivided, validation_part
from recengine.jobs.settings import engine_settings, model_settings
from recengine.offline import tune
from recengine.offline.train import Progress
from recengine.offline.tune import TuneReport

__all__ = ("tune_files",)


def tune_files(
    train: object,
    columns: Mapping[str, str],
    algorithm: str,
    file: Path,
    *,
    trials: int = 27,
    resume: bool = False,
    at: int = 20,
    seed: int = 0,
    threads: int = 0,
    config: Config | None = None,
    progress: Progress | None = None,
) -> tuple[TuneReport, Config]:
    """Search settings of one kind of model; `offline.tune.run` says how.

    Parameters
    ----------
    train : paths, globs or frames.
    columns : role -> column, as in `evaluate_split`.
    algorithm : a kind of `[[model]]`; its defaults are trial 0.
    config : event types, `[[tune]]`, and how large the validation part is.

    Raises
    ------
    ConfigInvalid : there is no such algorithm, or `at`, `seed` or `threads` is out of range.
    SourceUnreadable, BadColumn, EmptyData : the file cannot be used.
    BadUsage : as in `offline.tune.run`.
    """
    arguments = {"training.at": at, "training.seed": seed, "training.threads": threads}
    model = model_settings(algorithm, {"weight": 1.0})
    whole = engine_settings(config or Config(), arguments)
    alone = msgspec.structs.replace(whole, model=(model,), candidates=DEFAULT_CANDIDATES)  # sources may need others
    task = undivided(train, columns, alone.event)
    part = validation_part(task, last_only=False, share=alone.training.validation_share, seed=seed)
    return tune.run(part, alone, model.name, file, trials=trials, resume=resume, progress=progress)
