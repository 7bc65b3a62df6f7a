"""Every knob: one TOML file becomes one frozen tree. Nothing here reads the environment; `cli.py` alone does.

Unknown keys fail, ranges stand in the types, and an error names the place (`$.model[1].factors`). `commented()` prints the whole
tree with its defaults and is the manual.
"""

from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from recengine.config.candidates import (
    DEFAULT_CANDIDATES,
    Alike,
    BestOfModels,
    CandidateConfig,
    FactorNeighbors,
    InCategories,
    LatestItems,
    MostPopular,
    OfSimilarUsers,
    SimilarToLast,
    TrendingItems,
    favourites,
    translated,
)
from recengine.config.events import DEFAULT_EVENTS, EventType
from recengine.config.features import FeatureConfig, Features, TransformKind
from recengine.config.index import Index
from recengine.config.models import (
    Als,
    Bpr,
    Ease,
    FunkSvd,
    GraphFilter,
    ItemKnn,
    ModelConfig,
    NeuralCf,
    Nmf,
    Popularity,
    Svd,
    UserKnn,
)
from recengine.config.moments import Moments
from recengine.config.server import Server
from recengine.config.serving import Diversity, Serving
from recengine.config.sources import Cleaning, Expectation, Source
from recengine.config.spans import microseconds
from recengine.config.storage import Storage
from recengine.config.training import Training
from recengine.config.tune import KINDS as TUNED
from recengine.config.tune import RANGES, Tune, checked
from recengine.errors import ConfigInvalid

__all__ = (
    "DEFAULT_CANDIDATES",
    "DEFAULT_EVENTS",
    "FACTORS",
    "RANGES",
    "Alike",
    "Als",
    "BestOfModels",
    "Bpr",
    "CandidateConfig",
    "Cleaning",
    "Config",
    "Diversity",
    "Ease",
    "EventType",
    "Expectation",
    "FactorNeighbors",
    "FeatureConfig",
    "Features",
    "FunkSvd",
    "GraphFilter",
    "InCategories",
    "Index",
    "ItemKnn",
    "LatestItems",
    "ModelConfig",
    "Moments",
    "MostPopular",
    "NeuralCf",
    "Nmf",
    "OfSimilarUsers",
    "Popularity",
    "Server",
    "Serving",
    "SimilarToLast",
    "Source",
    "Storage",
    "Svd",
    "Training",
    "TransformKind",
    "TrendingItems",
    "Tune",
    "UserKnn",
    "commented",
    "favourites",
    "load",
    "microseconds",
    "parse",
)


RESERVED = frozenset(("calibration", "demographic", "pinned", "capped", "fill"))
"""Names that replies and reports use for something else, beside the sources'."""
KINDS = {"model": get_args(ModelConfig), "candidates": get_args(CandidateConfig)}
FACTORS = (Als, Bpr, FunkSvd, Nmf, Svd)
"""Models that score by dot products: what `factors` searches."""
MOST_SOURCES = 28
"""A candidate says in 32 bits who found it; four are for what requests ask for, what fills up, and room."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree. `Config()` is the default engine."""

    store: Storage = Storage()
    event: Annotated[tuple[EventType, ...], Meta(min_length=1)] = DEFAULT_EVENTS
    model: Annotated[tuple[ModelConfig, ...], Meta(min_length=1, max_length=20)] = (Als(), GraphFilter(), Ease(), UserKnn(), Popularity())
    candidates: Annotated[tuple[CandidateConfig, ...], Meta(min_length=1)] = DEFAULT_CANDIDATES
    serving: Serving = Serving()
    diversity: Diversity = Diversity()
    index: Index = Index()
    training: Training = Training()
    server: Server = Server()
    source: tuple[Source, ...] = ()
    expect: tuple[Expectation, ...] = ()
    cleaning: Cleaning = Cleaning()
    features: Features = Features()
    feature: tuple[FeatureConfig, ...] = ()
    tune: tuple[Tune, ...] = ()

    def __post_init__(self) -> None:
        for what, names in (
            ("model", [m.name for m in self.model]),
            ("event", [e.type for e in self.event]),
            ("source", [s.name for s in self.source]),
            ("feature", [f.name for f in self.feature]),
            ("candidates", [c.name for c in self.candidates]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"`[[{what}]]` names must differ, these stand there twice: {', '.join(twice)}")
        known = {"events", "items", "users"} | {s.name for s in self.source}
        for expectation in self.expect:
            if expectation.source not in known:
                raise ValueError(f"`[[expect]]` of {expectation.source!r}: there is no such source; known: {', '.join(sorted(known))}")
        taken = sorted((RESERVED | {c.name for c in self.candidates}) & {m.name for m in self.model})
        if taken:
            raise ValueError(f"`[[model]]` cannot be called {taken[0]}: a candidate source of recengine is")
        self._check_sources()
        kinds = dict(TUNED) | {m.name: type(m) for m in self.model}
        for tune in self.tune:
            if tune.model not in kinds:
                raise ValueError(f"`[[tune]]` of {tune.model!r}: no `[[model]]` has this name, and no kind is called so")
            checked(tune, kinds[tune.model])
        if not any(m.weight > 0 for m in self.model):
            raise ValueError("at least one `[[model]]` needs weight > 0")

    def _check_sources(self) -> None:
        taken = sorted((RESERVED - {"demographic"}) & {c.name for c in self.candidates})
        if taken:
            raise ValueError(f"`[[candidates]]` cannot be called {taken[0]}: replies use the name for something else")
        count = sum(len(self.model) if isinstance(c, BestOfModels) else 1 for c in self.candidates)
        if count > MOST_SOURCES:
            raise ValueError(f"`[[candidates]]` and the models that they ask are {count} sources, at most {MOST_SOURCES} can be told apart")
        if sum(isinstance(c, BestOfModels) for c in self.candidates) > 1:
            raise ValueError("`[[candidates]]` of kind models stands there twice: each model is a source under its own name")
        for source, needed in ((OfSimilarUsers, UserKnn), (SimilarToLast, ItemKnn)):
            if any(isinstance(c, source) for c in self.candidates) and not any(isinstance(m, needed) for m in self.model):
                kind, model = source.__struct_config__.tag, needed.__struct_config__.tag
                raise ValueError(f"`[[candidates]]` of kind {kind} needs a `[[model]]` of kind {model}; there is none")
        if any(isinstance(c, FactorNeighbors) for c in self.candidates) and not any(isinstance(m, FACTORS) for m in self.model):
            kinds = ", ".join(str(kind.__struct_config__.tag) for kind in FACTORS)
            raise ValueError(f"`[[candidates]]` of kind factors needs a `[[model]]` with vectors: {kinds}; there is none")

    def expected(self, *places: str) -> tuple[Expectation, ...]:
        """List what `[[expect]]` says of any of these: events, items, users, the name of a source."""
        return tuple(expectation for expectation in self.expect if expectation.source in places)


def load(path: Path) -> Config:
    """Read the TOML file at `path`; the default tree where there is none.

    Raises
    ------
    ConfigInvalid : the file does not parse, has an unknown key, or a value out of range.
    """
    if not path.exists():
        return Config()
    try:
        return parse(path.read_text(encoding="utf-8"), where=path.name)
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigInvalid(f"{path.name}: cannot be read: {err}", hint="the file must be UTF-8 text") from err


def parse(text: str, *, where: str = "configuration") -> Config:
    """Turn TOML text into the tree; `where` names the source in errors.

    Raises
    ------
    ConfigInvalid : as in `load`.
    """
    try:
        return msgspec.toml.decode(text, type=Config)
    except msgspec.DecodeError as err:
        _refuse_former(text, where)
        raise ConfigInvalid(f"{where}: {err}", hint="`recengine config` prints every key with its default") from err


def _refuse_former(text: str, where: str) -> None:
    """Say what to write where a file still has the one table `[candidates]`."""
    try:
        former = msgspec.toml.decode(text).get("candidates")
    except msgspec.DecodeError:
        return  # what is no TOML has an error of its own
    if isinstance(former, dict):
        raise ConfigInvalid(
            f"{where}: `[candidates]` is now a list of sources, an entry `[[candidates]]` each, and its limit is `[serving] pool`",
            hint=f"write instead, {translated(former)}",
        )


def commented(config: Config | None = None) -> str:
    """Render the tree as TOML, each key with its meaning as a comment above it."""
    config = config or Config()
    lines: list[str] = ["# recengine.toml: every key with its value; what is left out has its default."]
    hints = get_type_hints(Config)
    for section in config.__struct_fields__:
        value = getattr(config, section)
        if value == ():
            lines += _form(section, get_args(hints[section])[0])
        for table in value if isinstance(value, tuple) else (value,):
            head = f"[[{section}]]" if isinstance(value, tuple) else f"[{section}]"
            doc = (type(table).__doc__ or "").strip().splitlines()[0]
            lines += ["", f"# {doc}", head]
            tag = type(table).__struct_config__.tag
            if tag is not None:
                lines.append(f'kind = "{tag}"')
            lines += _fields(table)
        for kind in KINDS.get(section, ()):
            lines += [] if any(isinstance(entry, kind) for entry in value) else _form(section, kind)
    return "\n".join(lines) + "\n"


def _form(section: str, table: type[msgspec.Struct]) -> list[str]:
    """Show what an entry that the list does not hold would look like."""
    hints = get_type_hints(table, include_extras=True)
    lines = ["", f"# {(table.__doc__ or '').strip().splitlines()[0]} Any number of them:", f"# [[{section}]]"]
    tag = table.__struct_config__.tag
    if tag is not None:
        lines.append(f'# kind = "{tag}"')
    for field in msgspec.structs.fields(table):
        default: Any = "" if field.required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        shown = "" if default is None or field.required else f" {msgspec.json.encode(default).decode()}"
        lines.append(f"# {field.name} ={shown}{_meaning(hints[field.name])}")
    return lines


def _fields(table: msgspec.Struct) -> list[str]:
    hints = get_type_hints(type(table), include_extras=True)
    lines = []
    for name in table.__struct_fields__:
        value: Any = getattr(table, name)
        comment = _meaning(hints[name])
        if value is None:
            lines.append(f"# {name} ={comment}")
        else:
            lines.append(f"{name} = {_written(value)}{comment}")
    return lines


def _written(value: Any) -> str:
    """Write a value as TOML, which for all but tables is JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)} = {_written(one)}" for key, one in value.items()) + "}"
    return msgspec.json.encode(value).decode()


def _meaning(hint: Any) -> str:
    metas = getattr(hint, "__metadata__", ())
    meanings = [m.description for m in metas if isinstance(m, Meta) and m.description]
    return f"  # {'; '.join(meanings)}" if meanings else ""
