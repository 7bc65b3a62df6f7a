"""`--set name=value` -> the configuration tree, with errors that name the valid keys. Part of `evaluate`."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from recengine.config import Config, ModelConfig
from recengine.errors import ConfigInvalid

__all__ = ("ALGORITHMS", "engine_settings", "model_settings")

ALGORITHMS: Mapping[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(ModelConfig)
}
"""The configuration Struct of every algorithm, by its kind."""


def model_settings(algorithm: str, settings: Mapping[str, Any]) -> ModelConfig:
    """Make the configuration of one algorithm; values may be text, as a command line gives them.

    Raises
    ------
    ConfigInvalid : there is no such algorithm or key, or a value is out of range.
    """
    kind = ALGORITHMS.get(algorithm)
    if kind is None:
        raise ConfigInvalid(f"no algorithm {algorithm!r}", hint=f"known: default, {', '.join(sorted(ALGORITHMS))}")
    _check(settings, kind.__struct_fields__, algorithm)
    model: ModelConfig = _converted({key: _plain(value) for key, value in settings.items()}, kind, algorithm)
    return model


def engine_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Change keys of the whole tree: `training.at=10`, or `als.factors=128` for the model, or candidate source, `als`.

    Raises
    ------
    ConfigInvalid : as in `model_settings`.
    """
    tree = msgspec.to_builtins(config)
    models = {model["name"]: model for model in tree["model"]}
    sources = {source["name"]: source for source in tree["candidates"]}
    tables = models | sources | {name: tree[name] for name in ("serving", "diversity", "training")}
    for key, value in settings.items():
        table, dot, name = key.partition(".")
        if not dot or table not in tables:
            raise ConfigInvalid(
                f"no setting {key!r} of the whole engine", hint=f"write TABLE.KEY, TABLE one of {', '.join(tables)}"
            )
        _check({name: value}, [k for k in tables[table] if k != "kind"], table)
        tables[table][name] = _plain(value)
    changed: Config = _converted(tree, Config, "default")
    return changed


def _plain(value: Any) -> Any:
    """Read a number out of text as Python does, `.5` and `1e-3` included."""
    if not isinstance(value, str):
        return value
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def _check(settings: Mapping[str, Any], known: Any, where: str) -> None:
    for key in settings:
        if key not in known:
            raise ConfigInvalid(f"{where}: no setting {key!r}", hint=f"known: {', '.join(sorted(known))}")


def _converted(values: Mapping[str, Any], kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(values, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as err:
        raise ConfigInvalid(f"{where}: {err}", hint="`recengine config` prints every key with its default") from err
