"""Which features there are: the built-in ones, one for every plain attribute, and those of `[[feature]]`.

Below both spines, and asked by both: what training computes and what serving would compute are the same list, so that
their versions can be compared. In: the configuration, and which attributes items and users have. Out: a `FeatureSet`.
An error in a definition names its file and line.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, cast, get_args

import msgspec

from recengine.config import Config, EventType, FeatureConfig, TransformKind, microseconds
from recengine.errors import ConfigInvalid
from recengine.features.counted import FAMILIES, Family, Line
from recengine.features.definition import AttributeOf, Counted, Derived, Entity, Feature, FeatureSet, Op, Timeline
from recengine.features.signals import BUCKET
from recengine.types import Column

__all__ = ("MANY", "Columns", "feature_set", "places")

Columns: TypeAlias = Mapping[str, Column]
MANY = 1_000
"""An attribute of text with more values names its items rather than sorting them: it is no feature by itself."""
_ENTITIES: dict[Family, Entity] = {
    "item": "item",
    "user": "user",
    "session": "session",
    "pair": "interaction",
    "context": "context",
}
_OF_CATEGORIES = frozenset(("none", "ordinal", "onehot", "hashing", "target", "embedding"))
_OF_NUMBERS = frozenset(get_args(TransformKind)) - (_OF_CATEGORIES - {"none"})
_HEADER = re.compile(r"\s*\[\[\s*feature\s*\]\]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_NUMBERS = ("number", "bool")
_LIST = "`recengine features list` names them"


def feature_set(
    config: Config, items: Columns, users: Columns, where: Sequence[str] = (), *, many: int = MANY
) -> FeatureSet:
    """List the features of a configuration, in the order of their columns.

    Parameters
    ----------
    items, users : the attributes that there are (`Catalogue.columns`).
    where : what `places` says of every `[[feature]]`; empty = they are named by their number.
    many : texts with more values make no feature by themselves.

    Raises
    ------
    ConfigInvalid : a `[[feature]]` names an entity, attribute, source, column or feature that there is not, or does not
        fit it; `features.drop` or `features.transforms` name none. The message says where.
    """
    built_in = {feature.name: feature for feature in _built_in(config, items, users, many)}
    drop = set(config.features.drop)
    unknown = sorted(drop - built_in.keys() - {f.name for f in config.feature})
    if unknown:
        raise ConfigInvalid(f"features.drop: no feature {unknown[0]!r}", hint=_LIST)
    found = _without(built_in, drop)
    for n, told in enumerate(config.feature):
        place = where[n] if n < len(where) else f"[[feature]] number {n + 1}"
        if told.name in found:
            _refuse(place, told, "a feature of that name is built in", "name it otherwise, or drop the other")
        if told.name in drop and told.name not in built_in:
            continue
        found[told.name] = _declared(told, place, config, items, users, found)
    for name, kind in config.features.transforms.items():
        if name not in found:
            raise ConfigInvalid(f"features.transforms: no feature {name!r}", hint=_LIST)
        found[name] = _transformed(found[name], kind, "features.transforms")
    return FeatureSet(tuple(found.values()))


def places(file: Path) -> tuple[str, ...]:
    """Say where each `[[feature]]` of a file stands, such as `recengine.toml:41`; empty = there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # the configuration came otherwise
        return ()
    found, inside = [], ""
    for number, line in enumerate(lines, start=1):
        if not inside and _HEADER.match(line):
            found.append(f"{file.name}:{number}")
        for mark in re.findall(r'"""|\'\'\'', line):  # a query of several lines may look like anything
            if inside in ("", mark):
                inside = "" if inside else mark
    return tuple(found)


# ------------------------------------------------------------------------------------------------------- built in


def _built_in(config: Config, items: Columns, users: Columns, many: int) -> list[Feature]:
    given = _params(config)
    windows = dict(zip(("w1", "w2", "w3"), config.features.windows, strict=True))
    counted = {family: [_counted(family, line, given, windows) for line in lines] for family, lines in FAMILIES.items()}
    counted["item"] += _attributes("item", items, config, many)
    counted["user"] += _attributes("user", users, config, many)
    names: dict[str, Feature] = {}
    for feature in (feature for family in counted.values() for feature in family):
        names.setdefault(feature.name, feature)  # an attribute whose name a count has goes without
    w2, w3 = (f"item_engaged_{windows[w]}" for w in ("w2", "w3"))
    for name, op, of, note in (
        ("price_ratio", "ratio", ("item_price", "user_price"), "the item's price over the user's usual one"),
        ("category_match", "same", ("item_category", "user_category"), "the item is of the user's commonest category"),
        ("brand_match", "same", ("item_brand", "user_brand"), "the item is of the user's commonest brand"),
        ("trend_ratio", "ratio", (w2, w3), "share of the longest window's events that lie in the middle one"),
    ):
        if all(part in names for part in of) and name not in names:
            transform: TransformKind = "robust" if op == "ratio" else "none"
            names[name] = Feature(
                name=name, entity="derived", how=Derived(cast("Op", op), of), transform=transform, note=note
            )
    return list(names.values())


def _counted(family: Family, line: Line, given: Mapping[str, int], windows: Mapping[str, str]) -> Feature:
    whose = "item" if line.domain in ("category", "brand") else "context"
    told = ("events",) if family != "context" else ()
    return Feature(
        name=line.value.format(**windows),
        entity=_ENTITIES[family],
        how=Counted(family, line.value, {name: given[name] for name in (*line.params, *told)}),
        dtype="category" if line.domain else "number",
        domain=f"{whose}.{line.domain}" if line.domain else "",
        transform=line.transform,
        window=", ".join(windows[w] for w in line.params if w in windows),
        note=line.note.format(**windows),
    )


def _params(config: Config) -> dict[str, int]:
    """Name what counts rest on, in hours or as they are; names and meanings as a number that stands for them."""
    told = config.features
    hours = [microseconds(window) // BUCKET for window in told.windows]
    return {
        **dict(zip(("w1", "w2", "w3"), hours, strict=True)),
        "half_life": microseconds(told.half_life) // BUCKET,
        "history": told.history,
        "anchors": told.anchors,
        "session": round(config.serving.session_minutes * 60),
        "category": _print(config.serving.category),
        "brand": _print(told.brand),
        "price": _print(told.price),
        "events": _print(sorted(_meaning(rule) for rule in config.event)),
    }


def _meaning(rule: EventType) -> tuple[str, int, str, float | None]:
    """Say what features take an event for: the size of its weight does not matter to them."""
    return rule.type, (rule.weight > 0) - (rule.weight < 0), rule.role, rule.value_neutral


def _print(told: Any) -> int:
    return int.from_bytes(blake2b(msgspec.json.encode(told), digest_size=4).digest())


def _attributes(owner: Literal["item", "user"], columns: Columns, config: Config, many: int) -> list[Feature]:
    """Make features of the attributes that are plain; those with a part to play come first, under its name."""
    out: list[Feature] = []
    plays: dict[str, str] = {}
    if owner == "item":
        parts = {"category": config.serving.category, "brand": config.features.brand, "price": config.features.price}
        plays = {name: part for part, name in parts.items()}
    for name in sorted(columns, key=lambda name: (name not in plays, name)):
        column, part = columns[name], plays.get(name)
        if (part == "price" and column.kind != "number") or (part != "price" and column.kind in _NUMBERS):
            part = None  # it cannot be what the configuration takes it for
        called = f"{owner}_{part or _slug(name)}"
        if column.kind in _NUMBERS:
            kind: TransformKind = "quantile" if part == "price" else "none" if column.kind == "bool" else "standard"
            out.append(_attribute(called, owner, name, kind))
        elif part or (column.kind == "string" and len(column.labels) <= many):
            out.append(_attribute(called, owner, name, _encoding(column), domain=f"{owner}.{part or name}"))
        if column.kind == "strings":
            out.append(_attribute(f"{owner}_{_slug(name)}_count", owner, name, "log", aspect="count"))
        if column.kind == "text":
            out.append(_attribute(f"{called}_length", owner, name, "log", aspect="length"))
    return [feature for feature in out if _NAME.fullmatch(feature.name)]


def _attribute(
    name: str,
    owner: Literal["item", "user"],
    attribute: str,
    transform: TransformKind,
    *,
    domain: str = "",
    aspect: Literal["value", "count", "length"] = "value",
) -> Feature:
    said = {"value": "as it stood", "count": "how many", "length": "its length in characters"}[aspect]
    return Feature(
        name=name,
        entity=owner,
        how=AttributeOf(owner, attribute, aspect),
        dtype="category" if domain else "number",
        domain=domain,
        transform=transform,
        note=f"the {owner}'s {attribute}, {said}",
    )


def _encoding(column: Column) -> TransformKind:
    return "onehot" if len(column.labels) <= 32 else "target"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _without(found: dict[str, Feature], drop: set[str]) -> dict[str, Feature]:
    """Leave out what is dropped, and what is derived from it."""
    kept: dict[str, Feature] = {}
    for name, feature in found.items():
        parts = feature.how.of if isinstance(feature.how, Derived) else ()
        if name not in drop and all(part in kept for part in parts):
            kept[name] = feature
    return kept


# ------------------------------------------------------------------------------------------------------- declared


def _declared(
    told: FeatureConfig, place: str, config: Config, items: Columns, users: Columns, known: Mapping[str, Feature]
) -> Feature:
    how, domain, entity = _way(told, place, config, {"item": items, "user": users}, known)
    dtype = told.dtype or ("category" if domain else "number")
    if isinstance(how, AttributeOf) and dtype != (found := "category" if domain else "number"):
        _refuse(place, told, f"the attribute {told.attribute!r} is a {found}, not a {dtype}")
    if isinstance(how, Timeline) and dtype == "category":
        domain = f"feature.{told.name}"
    made = Feature(
        name=told.name,
        entity=entity,
        how=how,
        dtype=dtype,
        default=told.default,
        domain=domain,
        window=told.every if told.sql is not None else "",
        note=told.note,
        where=place,
    )
    return _transformed(made, told.transform, place)


def _way(
    told: FeatureConfig, place: str, config: Config, columns: Mapping[str, Columns], known: Mapping[str, Feature]
) -> tuple[AttributeOf | Timeline | Derived, str, Entity]:
    entities = ("derived",) if told.op else ("item", "user") if told.attribute else ("user", "item", "context")
    if told.entity not in entities:
        _refuse(place, told, f"expected an entity of {', '.join(entities)}, got {told.entity!r}")
    entity = cast("Entity", told.entity)
    owner = cast('Literal["item", "user", "context"]', told.entity)
    if told.op is not None:
        return _derivation(told, place, known), "", entity
    if told.attribute is not None:
        column = columns[told.entity].get(told.attribute)
        if column is None or column.kind not in ("number", "bool", "string", "strings"):
            came = f"no {told.entity} has it" if column is None else f"it is of kind {column.kind}"
            _refuse(place, told, f"expected an attribute {told.attribute!r} of numbers or words: {came}")
        parts = {config.serving.category: "category", config.features.brand: "brand"} if owner == "item" else {}
        name = parts.get(told.attribute, f"={told.attribute}" if told.attribute in parts.values() else told.attribute)
        domain = "" if column.kind in _NUMBERS else f"{told.entity}.{name}"
        return AttributeOf(cast('Literal["item", "user"]', owner), told.attribute), domain, entity
    if told.sql is not None:
        if microseconds(told.every) % BUCKET:
            _refuse(place, told, f"`every` is whole hours, got {told.every}")
        return Timeline(owner, sql=told.sql, every=microseconds(told.every) // BUCKET), "", entity
    source = next((source for source in config.source if source.name == told.source), None)
    if source is None or source.into != "table":
        known_tables = ", ".join(s.name for s in config.source if s.into == "table") or "none"
        _refuse(place, told, f"no `[[source]]` {told.source!r} into a table", f"there is: {known_tables}")
    if told.entity != "context" and told.entity not in source.columns:
        what = f"source {source.name!r} has no column that is the {told.entity}"
        _refuse(place, told, what, "name it in `columns` of the source")
    return Timeline(owner, source=told.source or "", column=told.column or ""), "", entity


def _derivation(told: FeatureConfig, place: str, known: Mapping[str, Feature]) -> Derived:
    for part in told.of:
        if part not in known:
            _refuse(place, told, f"`of` names {part!r}, and no feature before it is called so")
    op, (a, b) = cast("Op", told.op), told.of
    kinds = {known[a].dtype, known[b].dtype}
    if op == "same":
        if len(kinds) > 1 or known[a].domain != known[b].domain:
            _refuse(place, told, f"{a} and {b} are not of one kind, so that they are never the same")
    elif kinds != {"number"}:
        _refuse(place, told, f"a {op} is of two numbers; {a if known[a].dtype == 'category' else b} is a category")
    if told.dtype == "category":
        _refuse(place, told, "what is derived is a number")
    return Derived(op, (a, b))


def _transformed(feature: Feature, kind: TransformKind, place: str) -> Feature:
    fit = _OF_CATEGORIES if feature.dtype == "category" else _OF_NUMBERS
    if kind not in fit:
        raise ConfigInvalid(
            f"{place}: feature {feature.name!r} is a {feature.dtype}, and {kind} is not for it",
            hint=f"it takes one of {', '.join(sorted(fit))}",
        )
    return msgspec.structs.replace(feature, transform=kind)


def _refuse(place: str, told: FeatureConfig, what: str, hint: str = "") -> NoReturn:
    raise ConfigInvalid(f"{place}: feature {told.name!r}: {what}", hint=hint)
