"""`[training]`: how the offline spine splits, validates and gates."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from recengine.config.spans import SPAN

__all__ = ("Training",)

Span = Annotated[str, Meta(pattern=SPAN)]


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Split, evaluation and gate."""

    split: Annotated[Literal["auto", "time", "leave_last", "random"], Meta(description="time = one moment for all; leave_last = each user's last item; random = a share of each user's items; auto = time, or random where the order is no time and parts the users")] = "auto"
    test_share: Annotated[float, Meta(gt=0, lt=0.9, description="share of the latest events held out for the report and the gate")] = 0.1
    validation_share: Annotated[float, Meta(gt=0, lt=0.9, description="share of the rest held out for calibration and choices")] = 0.1
    at: Annotated[int, Meta(ge=1, le=1000, description="cut-off of the metrics")] = 20
    max_users: Annotated[int, Meta(ge=1, description="users evaluated, drawn with the seed; all where fewer")] = 20_000
    tune_blend: Annotated[bool, Meta(description="choose blend weights on the validation part")] = True
    gate_metric: Annotated[Literal["ndcg", "recall", "hit_rate", "map", "mrr"], Meta(description="what the gate compares")] = "ndcg"
    gate_tolerance: Annotated[float, Meta(ge=0, le=1, description="relative loss against the live deployment that still passes")] = 0.05
    keep_versions: Annotated[int, Meta(ge=1, le=1000, description="deployments kept for rollback")] = 5
    every: Annotated[Span | None, Meta(description="a server trains in full so often by itself; none = only `recengine train` does")] = None
    incremental_every: Annotated[Span | None, Meta(description="a server folds what is new into the live models so often")] = None
    full_every: Annotated[int, Meta(ge=1, le=1_000_000, description="increments on one full training; then it is time for the next")] = 200
    full_share: Annotated[float, Meta(gt=0, le=100, description="new events, as a share of those of the full training, after which it is time for the next")] = 0.2
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="of everything random")] = 0
    threads: Annotated[int, Meta(ge=0, le=1024, description="of training; 0 = all cores")] = 0
