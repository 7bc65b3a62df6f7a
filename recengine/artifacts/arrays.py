"""The arrays of a model folder: written by whoever learned, mapped by whoever answers.

In: numpy arrays by name. Out: one `.npy` file each, and read-only maps of these. Why `.npy`, never pickles: to read a
pickle is to run it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recengine.errors import BadArtifact

__all__ = ("read_arrays", "write_arrays")


def write_arrays(folder: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write each array as `<name>.npy` into `folder`, C order."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)  # objects fail


def read_arrays(folder: Path, *names: str) -> tuple[npt.NDArray[Any], ...]:
    """Memory-map the named arrays of `folder`, read-only.

    Raises
    ------
    BadArtifact : a file is missing or is no array.
    """
    arrays = []
    for name in names:
        try:
            mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # a pickle runs code
        except (OSError, ValueError, EOFError) as err:
            where = f"{folder.name}/{name}.npy"
            raise BadArtifact(f"{where}: expected a numpy array: {err}", hint="train again, or roll back") from err
        arrays.append(mapped.view(np.ndarray))  # the memmap subclass makes every slice 2 us slower
    return tuple(arrays)
