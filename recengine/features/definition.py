"""What a feature is, and which there are: the one list that training, serving and `recengine features` read.

Below both spines. A definition says how a value comes about, not where: `how` names the value of a kernel (by family
and name), an attribute, a timeline (query or source), or an operation on two others. Its `version` is a digest of all
that, so that a deployment can name what it was trained with.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from recengine.config import TransformKind

__all__ = ("AttributeOf", "Counted", "Derived", "Entity", "Feature", "FeatureSet", "How", "Op", "Timeline")

Entity: TypeAlias = Literal["user", "item", "context", "interaction", "session", "derived"]
Op: TypeAlias = Literal["ratio", "product", "difference", "same"]
"""How a derived feature comes of two others; `kernels/derive.py` says what each gives."""


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """A value that a kernel counts from events."""

    family: Literal["item", "user", "session", "pair", "context"]
    value: str
    """Its name in the family's list of values (`features/{item,user,session,pairs,context}.py`)."""
    params: Mapping[str, int] = {}
    """What the kernel is told: windows, half-life, in hours."""
    formula: int = 1
    """Goes up when the kernel comes to something else."""


class AttributeOf(msgspec.Struct, frozen=True, tag="attribute"):
    """An attribute of the item or user, as it stood."""

    owner: Literal["item", "user"]
    attribute: str
    aspect: Literal["value", "count", "length"] = "value"
    """value; count of a list; length of a text, in characters."""


class Timeline(msgspec.Struct, frozen=True, tag="timeline"):
    """Values by entity and moment: from a query or a source."""

    owner: Literal["item", "user", "context"]
    sql: str = ""
    every: int = 0
    """Hours of the grid on which a query's values begin to count."""
    source: str = ""
    column: str = ""


class Derived(msgspec.Struct, frozen=True, tag="derived"):
    """Two features made into one; missing where either is, and a ratio where the divisor is 0."""

    op: Op
    of: tuple[str, str]


How: TypeAlias = Counted | AttributeOf | Timeline | Derived


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature."""

    name: str
    entity: Entity
    how: How
    dtype: Literal["number", "category"] = "number"
    default: float | None = None
    """Stands for what is missing; None = NaN goes on."""
    domain: str = ""
    """Of a category: whose labels its codes count, such as `item.category`."""
    transform: TransformKind = "none"
    window: str = ""
    note: str = ""
    """What it says and who owns it."""
    where: str = ""
    """File and line of the definition; empty where it is built in."""

    @property
    def version(self) -> str:
        """Twelve hex digits that stand for how it is computed: not for its transform, note or place."""
        said = (self.name, self.entity, self.how, self.dtype, self.default, self.domain)
        return blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=6).hexdigest()


class FeatureSet(msgspec.Struct, frozen=True):
    """All features of a configuration, in the order of their columns; what `of` names stands before who names it."""

    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(f.name for f in self.features)

    def __getitem__(self, name: str) -> Feature:
        """Return one by name."""
        return next(f for f in self.features if f.name == name)

    def only(self, names: frozenset[str]) -> "FeatureSet":
        """Return those of `names`, and what they are derived from, in the same order."""
        wanted = set(names)
        for feature in reversed(self.features):
            if feature.name in wanted and isinstance(feature.how, Derived):
                wanted.update(feature.how.of)
        return FeatureSet(tuple(f for f in self.features if f.name in wanted))
