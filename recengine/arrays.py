"""Arrays on disk: what a model or an index learned, written by whoever learned, mapped by whoever answers.

Stands on floor 1, below `artifacts`, `index` and `algorithms`, which all leave arrays in a folder of theirs. In: numpy
arrays by name. Out: one `.npy` file each, and read-only maps of these. Why `.npy` and nothing that serialises objects:
to read such a file is to run what stands in it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine.errors import BadArtifact
from recengine.hashes import kept

__all__ = ("Expected", "read_array", "read_arrays", "write_arrays")

Expected: TypeAlias = tuple[type[np.generic], tuple[int | None, ...]]
"""Dtype and shape of an array; None = any length."""
_AGAIN = "train again, or roll back"


def write_arrays(folder: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write each array as `<name>.npy` into `folder`, C order.

    One that is the whole of what `read_arrays` mapped is not written again: its file gets a second name here. Files of
    arrays are never changed in place, and each goes when the last of its names does.
    """
    for name, array in arrays.items():
        if _linked(array, folder / f"{name}.npy"):
            continue
        # an object array would be pickled, and to read one is to run it
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)


def read_arrays(folder: Path, *names: str) -> tuple[npt.NDArray[Any], ...]:
    """Memory-map the named arrays of `folder`, read-only.

    Raises
    ------
    BadArtifact : a file is missing or is no array.
    """
    return tuple(_mapped(folder, name) for name in names)


def read_array(folder: Path, name: str, expected: Expected) -> npt.NDArray[Any]:
    """Memory-map one array of `folder`, read-only, that must have this dtype and shape.

    Raises
    ------
    BadArtifact : as in `read_arrays`; or it has another dtype or shape.
    """
    array, (dtype, shape) = _mapped(folder, name), expected
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = f"{np.dtype(dtype)} ({', '.join('any' if n is None else str(n) for n in shape)})"
        raise BadArtifact(
            f"{folder.name}/{name}.npy: expected {wanted}, got {array.dtype} {array.shape}",
            hint=f"it was made with other settings, or by another recengine; {_AGAIN}",
        )
    return array


def _linked(array: npt.NDArray[Any], target: Path) -> bool:
    """Give the file that `array` is mapped from the name `target` too, where it has one and the disk can do that."""
    whole = array.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not array.flags.c_contiguous:
        return False
    if array.dtype != whole.dtype or array.shape != whole.shape or array.ctypes.data != whole.ctypes.data:
        return False
    with suppress(OSError):  # another disk, one without links, or the file is gone: then it is written
        with kept([Path(whole.filename)]):
            os.link(whole.filename, target)
        return True
    return False


def _mapped(folder: Path, name: str) -> npt.NDArray[Any]:
    try:
        # an object array would have been pickled, and to read one is to run it
        mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise BadArtifact(f"{folder.name}/{name}.npy: expected a numpy array: {err}", hint=_AGAIN) from err
    array: npt.NDArray[Any] = mapped.view(np.ndarray)  # the memmap subclass makes every slice 2 us slower
    return array
