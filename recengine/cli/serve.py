"""`recengine serve`: a data directory as an HTTP service, until Ctrl-C or SIGTERM."""

import os
import re
import sys
from argparse import Namespace
from pathlib import Path
from urllib.parse import quote

import msgspec

from recengine.cli import show
from recengine.client import Client
from recengine.config import Config, load
from recengine.errors import BadUsage, DirectoryInvalid, RecEngineError
from recengine.server import keys, run
from recengine.store import directory

__all__ = ("serve",)

FIRST_KEY = "keys/first_key"
"""Where the key that the first start makes goes, if it cannot be shown in a terminal."""
_PLAIN = re.compile(r"[\w.:/@-]+")


def serve(args: Namespace) -> None:
    """Resolve the configuration, see to the key's file, and serve."""
    directory.check(args.dir)
    config = _resolved(args)
    args.key_file = args.key_file or _hidden(args.dir, config)
    key = _kept_key(args.dir, args.key_file, config) if args.key_file else None

    def started(about: run.Serving) -> None:
        file = str(args.key_file) if key else None
        answer = {"directory": str(args.dir), **msgspec.structs.asdict(about), "key_file": file}
        show.result(args.json, answer, lambda: _say(args, about, key or about.key))

    run.serve(args.dir, config, started, dict(os.environ))
    if not args.json:
        show.line("stopped")


def _say(args: Namespace, about: run.Serving, key: str | None) -> None:
    """Print where it is and lines that can be pasted."""
    url = about.url
    show.line(f"{args.dir} is served at {url}; Ctrl-C stops it")
    if about.docs:
        show.line(f"  docs     {about.docs}{' (with the key, so not in a browser)' if about.keys_needed else ''}")
    show.line(f"  metrics  {url}/metrics")
    if about.key:
        show.line(f"  key      {about.key}\n           shown only now; callers send it, keep it safe")
    elif key:
        show.line(f"  key      in {args.key_file}")
    show.line("try:")
    if about.keys_needed:
        show.line(f"  export RECENGINE_API_KEY={about.key or (f'$(cat {args.key_file})' if key else '...')}")
    who = """ -H "Authorization: Bearer $RECENGINE_API_KEY\"""" if about.keys_needed else ""
    user, item = _sample(url, key)
    event = f'{{"user_id": "{user}", "item_id": "{item}", "type": "click"}}'
    show.line(f"  curl{who} '{url}/v1/users/{quote(user, safe='')}/recommendations?n=3'")
    show.line(f"  curl{who} {url}/v1/events -H 'Content-Type: application/json' -d '{event}'")


def _sample(url: str, key: str | None) -> tuple[str, str]:
    """Name a user and an item of the shop that can stand in a quoted line; words in their place where there is none."""
    user, item = "USER", "ITEM"
    try:
        with Client(url, key, timeout=2.0, retries=0) as client:
            users, _ = client.list_users(limit=1)
            user = next((one.user_id for one in users if _PLAIN.fullmatch(one.user_id)), user)
            shown = client.recommend(user, 1).items
            item = next((one.item_id for one in shown if _PLAIN.fullmatch(one.item_id)), item)
    except RecEngineError as err:
        show.warn(f"  no example: {err}")
    return user, item


def _resolved(args: Namespace) -> Config:
    config = load(args.dir / directory.CONFIG)
    given = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
    try:
        server = msgspec.convert(msgspec.structs.asdict(config.server) | given, type(config.server))
    except msgspec.ValidationError as err:
        raise BadUsage(f"serve: {err}") from err
    return msgspec.structs.replace(config, server=server)


def _hidden(folder: Path, config: Config) -> Path | None:
    """Name a file for the key that is to be made, where stdout is none that only a person reads; else None."""
    there = keys.Keys(folder, config.server.keys, config.server.host)
    if sys.stdout.isatty() or there or not there.needed:
        return None
    file = folder / FIRST_KEY
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.unlink(missing_ok=True)  # of a key that is known no more
    except OSError as err:
        raise DirectoryInvalid(f"{file}: {err.strerror}", hint="`--key-file` puts the key elsewhere") from err
    return file


def _kept_key(folder: Path, file: Path, config: Config) -> str:
    """Read the API key in `file`; make one where there is no such file.

    Raises
    ------
    BadUsage : the file holds a key that this directory does not know.
    DirectoryInvalid : the file cannot be read or written.
    """
    try:
        if file.exists():
            key = file.read_text(encoding="ascii", errors="replace").strip()
            if not keys.Keys(folder, config.server.keys, config.server.host).allow(key.encode()):
                raise BadUsage(f"{file}: {folder} does not know the key in it", hint="remove the file for a new one")
            return key
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            key = keys.create(folder, "made by serve")
            opened.write(f"{key}\n")
    except OSError as err:
        if isinstance(err, RecEngineError):
            raise
        raise DirectoryInvalid(f"{file}: {err.strerror}", hint="where should the key go?") from err
    return key
