"""What confidences are worth: a part of the validation stage.

In: the candidate, and the test part. Out: for the blend and for every model how often what was said with probability p
came true, on the test users' held-out items and as many random eligible ones. No calibration has seen any of these
users where there are enough of them (`choose.calibrating` takes the other half).
"""

import msgspec
import numpy as np

from recengine.config import Config
from recengine.metrics.calibration import Bin, brier, ece, reliability
from recengine.offline.build import ENOUGH_USERS, Part
from recengine.offline.choose import CALIBRATION_USERS, drawn, drawn_pairs, reporting
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.matrix import confidence, pooled
from recengine.types import F64, Bools

__all__ = ("Reliability", "run")

COIN = 0.25
"""Brier score of saying 0.5 of everything."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """The calibration of one model, or of the blend."""

    name: str
    """`candidate` is the blend."""
    family: str
    """Of the curve: `platt` or `beta`."""
    users: int
    pairs: int
    """Half of them engaged."""
    ece: float | None
    """Expected calibration error over ten bins; None where the model scored nothing."""
    brier: float | None
    threshold: float | None
    """The model's `confidence_threshold`; None for the blend."""
    abstains: float | None
    """Share of the pairs on which it has no say; for the blend, that no model wants."""
    bins: tuple[Bin, ...]
    useful: bool = True
    """False = its Brier score is above .25, which saying 0.5 of everything has."""


def run(candidate: Deployment, part: Part, config: Config, *, threads: int = 1) -> tuple[Reliability, ...]:
    """Judge the blend, then every model. Cost: two scorings of the pairs of at most `CALIBRATION_USERS` users."""
    users = part.targets.users
    others = users[reporting(users, config.training.seed)]
    asked = drawn(others if len(others) >= ENOUGH_USERS else users, CALIBRATION_USERS, config.training.seed)
    pairs = drawn_pairs(candidate, part, asked, config, threads=threads)
    logits = pooled(candidate, pairs.scores)
    _, sure = confidence(candidate, logits)
    found = [_judged("candidate", candidate.curve.family, len(asked), sure, pairs.engaged, None, logits <= 0)]
    for member, scores in zip(candidate.members, pairs.scores.T, strict=True):
        threshold = member.scorer.config.confidence_threshold
        said = member.curve.confidence(scores)
        found.append(
            _judged(
                member.name, member.curve.family, len(asked), said, pairs.engaged, threshold, ~(said >= threshold)
            )
        )
    return tuple(found)


def _judged(
    name: str, family: str, users: int, said: F64, engaged: Bools, threshold: float | None, silent: Bools
) -> Reliability:
    error, loss = ece(said, engaged), brier(said, engaged)
    return Reliability(
        name=name,
        family=family,
        users=users,
        pairs=len(engaged),
        ece=None if np.isnan(error) else error,
        brier=None if np.isnan(loss) else loss,
        threshold=threshold,
        abstains=float(silent.mean()) if len(silent) else None,
        bins=reliability(said, engaged),
        useful=not bool(loss > COIN),
    )
