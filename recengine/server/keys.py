"""API keys: made once, kept as hashes, checked in constant time.

A key is `rk_<8 hex digits>_<secret>`: the digits name it, the secret has 256 bits, so one SHA-256 is enough (a slow
hash protects short secrets). `keys/api_keys` in the data directory (mode 0600) has a line for each: digits, hash, note.
"""

import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from recengine.durable import flush
from recengine.errors import ConfigInvalid, DirectoryInvalid

__all__ = ("FILE", "Keys", "create", "loopback", "revoke")

FILE = "keys/api_keys"
_LINE = re.compile(r"([0-9a-f]{8}) ([0-9a-f]{64})(?: .*)?")
_NOBODY = bytes(32)


class Keys:
    """The keys that open the door of one data directory.

    Parameters
    ----------
    folder : the data directory.
    needed : "on", "off", or "auto": where `host` is not loopback, and where there are keys, or were since the start: a
        file that is removed lets nobody in.
    """

    def __init__(self, folder: Path, needed: Literal["auto", "on", "off"], host: str) -> None:
        self._path = folder / FILE
        self._mode = needed
        self._open = needed == "off" or (needed == "auto" and loopback(host))
        self._hashes: Mapping[bytes, bytes] = {}
        self._met = False
        self._seen: tuple[int, int, int] | None = None
        self.reload()

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def needed(self) -> bool:
        """Callers need a key."""
        return not self._open or (self._mode == "auto" and self._met)

    def allow(self, token: bytes) -> bool:
        """Say whether `token` is a key. Cost: about 1 us, the same for an unknown name and for a wrong secret."""
        kept = self._hashes.get(token[3:11], _NOBODY)
        return hmac.compare_digest(sha256(token).digest(), kept)

    def reload(self) -> bool:
        """Read the file again where it changed; says whether it did.

        Raises
        ------
        ConfigInvalid : a line is none of ours, or the file cannot be read; the keys stay as they were.
        """
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return False
            text = self._path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            seen, text = None, ""
        except OSError as err:
            raise ConfigInvalid(f"{FILE}: cannot be read: {err.strerror}", hint="check its owner") from err
        changed = seen != self._seen
        self._seen = seen
        self._hashes = dict(_parsed(text))
        self._met = self._met or bool(self._hashes)
        return changed


def loopback(host: str) -> bool:
    """Say whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _parsed(text: str) -> Iterator[tuple[bytes, bytes]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line and not line.startswith("#"):
            found = _LINE.fullmatch(line)
            if found is None:
                where = f"{FILE}: line {number}"
                raise ConfigInvalid(f"{where}: expected 8 hex digits and a SHA-256", hint="remove the line")
            yield found[1].encode(), bytes.fromhex(found[2])


def create(folder: Path, note: str = "") -> str:
    """Make a key for the data directory `folder`, keep its hash, and return it: it can be shown only now.

    Raises
    ------
    DirectoryInvalid : the file cannot be written.
    """
    digits = secrets.token_hex(4)
    key = f"rk_{digits}_{secrets.token_urlsafe(32)}"
    line = f"{digits} {sha256(key.encode()).hexdigest()}{f' {note}' if note else ''}\n"
    path = folder / FILE
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(line.encode())
        flush(path)
        flush(path.parent)
    except OSError as err:
        raise DirectoryInvalid(f"{FILE}: cannot be written: {err}", hint="check its owner and the disk") from err
    return key


def revoke(folder: Path, key: str) -> None:
    """Take a key out of the data directory `folder` again.

    Raises
    ------
    DirectoryInvalid : the file cannot be written.
    """
    path = folder / FILE
    try:
        lines = path.read_text(encoding="ascii").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{key[3:11]} ")), encoding="ascii")
        flush(path)
    except OSError as err:
        raise DirectoryInvalid(f"{FILE}: cannot be written: {err}", hint="check its owner and the disk") from err
