"""Files that a new version shares with earlier ones, held against what these say of them.

Stands between `manifest.py`, which seals a folder, and `store.py`, which makes a version of it. In: a sealed folder and
the versions that exist. Out: nothing, or the file that is not what it was. Why: an increment gives files of the version
before it a second name, and sealing hashes them as they lie. What was damaged after that version was loaded would be
the truth of the new one, which would verify while the old one, with the same file, is refused.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from recengine.artifacts.manifest import FileRecord, read_manifest
from recengine.errors import BadArtifact

__all__ = ("hold_shared",)


def hold_shared(folder: Path, files: Mapping[str, FileRecord], versions: Iterable[Path]) -> None:
    """Hold each of `files` that is also a file of an earlier version against the manifest of that version.

    Cost: one `stat` a file, of the versions too where anything is shared; nothing is read but their manifests.

    Raises
    ------
    BadArtifact : one has changed since, or the manifest of a version that shares a file is damaged.
    """
    shared = {_inode(folder / name): record for name, record in files.items() if (folder / name).stat().st_nlink > 1}
    if not shared:
        return
    for version in versions:
        names = {path.relative_to(version).as_posix(): _inode(path) for path in version.rglob("*") if path.is_file()}
        common = {name: shared[inode] for name, inode in names.items() if inode in shared}
        known = read_manifest(version).files if common else {}
        for name, record in common.items():
            if known.get(name) != record:
                raise BadArtifact(
                    f"{version.name}/{name}: the content has changed, and the new version would share the file",
                    hint="train in full, or roll back",
                )


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
