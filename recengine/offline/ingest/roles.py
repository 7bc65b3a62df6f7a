"""Which column of a source plays which part: as told by `columns`, else by its name.

Part of the ingest stage. Names are compared without case, `_`, `-` and blanks, in the order listed here.
"""

import difflib
from collections.abc import Mapping

from recengine.errors import BadColumn

__all__ = ("ROLES", "check_roles", "find_roles", "what_is_there")

ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "events": {
        "user": ("userid", "user", "uid", "customerid", "visitorid", "memberid", "reviewerid"),
        "item": ("itemid", "item", "iid", "movieid", "productid", "articleid", "bookid", "asin", "sku"),
        "type": ("eventtype", "type", "event", "behaviour", "behavior", "behaviortype", "action"),
        "value": ("value", "rating", "score", "stars", "overall"),
        "order": ("timestamp", "time", "order", "ts", "at", "datetime", "eventtime", "createdat", "unixreviewtime"),
        "event_id": ("eventid",),
        "session_id": ("sessionid", "session"),
        "request_id": ("requestid",),
    },
    "items": {
        "item": ("itemid", "item", "iid", "movieid", "productid", "articleid", "bookid", "asin", "sku", "id"),
        "valid_from": ("validfrom",),
        "available": ("available", "isavailable"),
    },
    "users": {
        "user": ("userid", "user", "uid", "customerid", "visitorid", "memberid", "reviewerid", "id"),
        "valid_from": ("validfrom",),
    },
}
"""For every source the roles, and the names by which a column is taken for one."""

NEEDED = {"events": ("user", "item"), "items": ("item",), "users": ("user",)}


def check_roles(columns: Mapping[str, str]) -> None:
    """Refuse a mapping with a role that does not exist.

    Raises
    ------
    BadColumn : so.
    """
    known = sorted({role for roles in ROLES.values() for role in roles})
    for role in columns:
        if role not in known:
            raise BadColumn(
                f"columns: {role!r} is not a role of a column", hint=f"roles are {', '.join(known)}{_near(role, known)}"
            )


def find_roles(
    source: str, present: list[str], columns: Mapping[str, str], *, where: str, alone: bool
) -> dict[str, str]:
    """Find the column of every role: {role: column}. Roles without a column are absent.

    Parameters
    ----------
    source : events | items | users.
    present : the columns of the file.
    columns : {role: column} as told.
    alone : this is the only source, so that a column that was told must be here.

    Raises
    ------
    BadColumn : a needed or told column is missing.
    """
    plain: dict[str, str] = {}
    for name in present:
        plain.setdefault(_plain(name), name)
    found: dict[str, str] = {}
    for role, names in ROLES[source].items():
        told = columns.get(role)
        if told is not None and told in present:
            found[role] = told
        elif told is not None and (source == "events" or alone):
            raise BadColumn(f"{where}: has no column {told!r} for {role}", hint=what_is_there(told, present))
        else:
            guess = next((plain[name] for name in names if name in plain and plain[name] not in columns.values()), None)
            if guess is not None:
                found[role] = guess
            elif role in NEEDED[source]:
                raise BadColumn(
                    f"{where}: no column is taken for {role}",
                    hint=f"map one: {role}=<column>; {what_is_there(role, present)}",
                )
    _refuse_twice(found, where)
    return found


def what_is_there(word: str, present: list[str]) -> str:
    """Say which columns there are, for a hint, and which of them `word` may have meant."""
    shown = ", ".join(present[:20]) + (" ..." if len(present) > 20 else "")
    return f"it has {shown or 'no columns'}{_near(word, present)}"


def _refuse_twice(found: Mapping[str, str], where: str) -> None:
    used = list(found.values())
    for role, name in found.items():
        if used.count(name) > 1:
            both = [r for r, n in found.items() if n == name]
            raise BadColumn(
                f"{where}: the column {name!r} is mapped to {' and '.join(both)}", hint=f"map {role} to another"
            )


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "").replace(".", "")


def _near(word: str, names: list[str]) -> str:
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
