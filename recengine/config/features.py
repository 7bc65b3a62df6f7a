"""`[features]`, `[[feature]]`: what is computed of users, items and both, in training and serving alike."""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from recengine.config.spans import SPAN, microseconds

__all__ = ("FeatureConfig", "Features", "TransformKind")

Span = Annotated[str, Meta(pattern=SPAN)]
FeatureName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
TransformKind: TypeAlias = Literal[
    "none", "standard", "robust", "minmax", "log", "quantile", "ordinal", "onehot", "hashing", "target", "cyclic", "embedding"
]
HOUR = 3_600_000_000


class Features(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How features are counted, transformed and selected."""

    enabled: Annotated[bool, Meta(description="train fits features and keeps them with the deployment")] = True
    windows: Annotated[tuple[Span, Span, Span], Meta(description="lengths that counts look back, in whole hours, ascending")] = ("1d", "7d", "30d")
    half_life: Annotated[Span, Meta(description="an event counts half in item_decayed after so long, in whole hours")] = "7d"
    brand: Annotated[str, Meta(description="the item attribute that is the brand")] = "brand"
    price: Annotated[str, Meta(description="the item attribute that is the price")] = "price"
    history: Annotated[int, Meta(ge=1, le=10_000, description="latest events of a user that its features look at")] = 500
    anchors: Annotated[int, Meta(ge=1, le=100, description="latest events of a user that co-visitation starts from")] = 5
    drop: Annotated[tuple[FeatureName, ...], Meta(description="features that are not computed")] = ()
    transforms: Annotated[dict[FeatureName, TransformKind], Meta(description="by feature; others have what their definition says")] = {}
    keep: Annotated[int, Meta(ge=1, le=1000, description="features that selection keeps at most")] = 40
    rows: Annotated[int, Meta(ge=1000, le=100_000_000, description="rows of the training table at most, the latest ones")] = 50_000
    negatives: Annotated[int, Meta(ge=1, le=100, description="items not taken, beside every item that was")] = 4
    duplicate: Annotated[float, Meta(gt=0, le=1, description="the later of two features with a rank correlation above this is dropped")] = 0.98
    leak: Annotated[float, Meta(gt=0.5, le=1, description="a feature that alone tells the outcome with an AUC above this is dropped as a leak")] = 0.995

    def __post_init__(self) -> None:
        lengths = [microseconds(window) for window in self.windows]
        if sorted(set(lengths)) != lengths:
            raise ValueError(f"windows must ascend, got {', '.join(self.windows)}")
        for name, length in [*zip(self.windows, lengths, strict=True), (self.half_life, microseconds(self.half_life))]:
            if length % HOUR:
                raise ValueError(f"windows and half_life are whole hours, got {name}")


class FeatureConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A feature of your own: from a query, a source, an attribute, or two other features."""

    name: FeatureName
    entity: Annotated[str, Meta(description="user | item | context (known by the time alone) | derived")]
    dtype: Annotated[Literal["number", "category"] | None, Meta(description="what its values are; none = what the attribute is, else number")] = None
    default: Annotated[float | None, Meta(description="of what is missing; none = missing is said to the model")] = None
    sql: Annotated[Annotated[str, Meta(max_length=20_000)] | None, Meta(description="a SELECT with columns entity (an id; none for context), time, value: from `time` on it is `value`; it may read events, items, users and sources")] = None
    every: Annotated[Span, Meta(description="what the query finds counts from the next multiple of this on, so that training sees what serving saw")] = "1d"
    source: Annotated[str | None, Meta(description="name of a `[[source]]` into a table")] = None
    column: Annotated[str | None, Meta(description="the column of the source")] = None
    attribute: Annotated[str | None, Meta(description="an attribute of the item or user")] = None
    op: Annotated[Literal["ratio", "product", "difference", "same"] | None, Meta(description="how two features make one")] = None
    of: Annotated[tuple[FeatureName, ...], Meta(max_length=2, description="the two features")] = ()
    transform: TransformKind = "none"
    note: Annotated[str, Meta(max_length=500, description="who owns it, and what for")] = ""

    def __post_init__(self) -> None:
        ways = [way for way in ("sql", "source", "attribute", "op") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError(f"feature {self.name!r} needs one of sql, source, attribute, op; got {', '.join(ways) or 'none'}")
        if (self.source is None) != (self.column is None):
            raise ValueError(f"feature {self.name!r}: source and column go together")
        if (self.op is not None) != (len(self.of) == 2):
            raise ValueError(f"feature {self.name!r}: op takes two features in `of`")
