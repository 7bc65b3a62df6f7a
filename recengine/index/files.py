"""What an index leaves in its folder: a card, `index.json`, and one `.npy` an array.

In: numbers and arrays by name. Out: the same, the arrays memory-mapped and read-only. Why the card says of every file
its hash although the version's manifest does too: an index may stand in a folder of its own, and hnswlib crashes on
damaged bytes, so nothing is parsed whose hash is not known. What a manifest has had hashed is not read again.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from recengine import arrays
from recengine.errors import BadArtifact
from recengine.hashes import hashed
from recengine.index.neighbours import Index

__all__ = ("BASE", "Card", "read", "read_array", "whole", "write", "write_over")

FORMAT = 1
BASE = "base"
"""Folder, within its own, of what an index stands on."""
_AGAIN = "train again, or roll back"


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`index.json`: what the folder holds."""

    format: int = FORMAT
    kind: str
    n: int
    d: int
    settings: dict[str, int | float] = {}
    """What a search needs to know beside the arrays."""
    files: dict[str, str] = {}
    """Hex BLAKE2b-256 by name."""


def write(folder: Path, card: Card, **parts: npt.NDArray[Any]) -> None:
    """Write the arrays, then the card, which names every file that stands in `folder`."""
    arrays.write_arrays(folder, **parts)
    files = {path.name: hashed(path) for path in sorted(folder.iterdir())}
    card = msgspec.structs.replace(card, files=files)
    (folder / "index.json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1))


def write_over(folder: Path, card: Card, base: Index, **parts: npt.NDArray[Any]) -> None:
    """Write an index that stands on another: its own files, and `base` into the folder `BASE` below."""
    write(folder, card, **parts)
    (folder / BASE).mkdir()
    base.save(folder / BASE)


def read(folder: Path) -> Card:
    """Read the card, and hold every file that it names against its hash.

    Cost: one read of what is not known by its hash, about 1 s a GB; see `hashes.py`.

    Raises
    ------
    BadArtifact : a file is missing or not what was written.
    """
    where = f"{folder.name}/index.json"
    try:
        card = msgspec.json.decode((folder / "index.json").read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError) as err:
        raise BadArtifact(f"{where}: {err}", hint=_AGAIN) from err
    if card.format != FORMAT:
        raise BadArtifact(f"{where}: format {card.format}, this recengine reads {FORMAT}", hint=_AGAIN)
    for name, expected in card.files.items():
        try:
            found = hashed(folder / name)
        except OSError as err:
            raise BadArtifact(f"{folder.name}/{name}: {err}", hint=_AGAIN) from err
        if found != expected:
            raise BadArtifact(f"{folder.name}/{name}: the content has changed", hint=_AGAIN)
    return card


def read_array(folder: Path, card: Card, name: str, dtype: type[np.generic], *shape: int | None) -> npt.NDArray[Any]:
    """Map one array of `card`; None in `shape` = any length.

    Raises
    ------
    BadArtifact : it is missing, or has another dtype or shape.
    """
    if f"{name}.npy" not in card.files:
        raise BadArtifact(f"{folder.name}/{name}.npy: not part of this index", hint=_AGAIN)
    return arrays.read_array(folder, name, (dtype, shape))


def whole(folder: Path, card: Card, name: str) -> int:
    """Return a setting that must be an integer above 0.

    Raises
    ------
    BadArtifact : it is missing or something else.
    """
    value = card.settings.get(name)
    if not isinstance(value, int) or value < 1:
        raise BadArtifact(f"{folder.name}/index.json: {name} must be an integer above 0, got {value}", hint=_AGAIN)
    return value
