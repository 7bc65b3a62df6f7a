"""Caps: at most so many items with the same value of an attribute.

A part of the rules stage and of the candidates that must feed it.
"""

from collections.abc import Mapping

from recengine.errors import BadExpression, BadRequest
from recengine.types import I32, Catalogue, Column

__all__ = ("Caps",)


class Caps:
    """The caps of one request over one catalogue; counts as it goes.

    One cap: whatever is kept first, the number kept is the most that can be. Several caps: greedy, in the order given.
    """

    def __init__(self, caps: Mapping[str, int], items: Catalogue) -> None:
        self._rules: list[tuple[Column, int, dict[int, int]]] = []
        for name, most in caps.items():
            column = items.columns.get(name)
            if column is None:
                raise BadExpression(
                    f"caps: no item attribute {name!r}", hint=f"known: {', '.join(sorted(items.columns)) or 'none'}"
                )
            if column.kind not in ("string", "strings", "bool"):
                raise BadRequest(f"caps[{name!r}]: expected an attribute of strings or booleans, got {column.kind}")
            self._rules.append((column, most, {}))

    def keep(self, items: I32, most: int | None = None) -> list[int]:
        """Return the positions in `items` that the caps let through, in order, at most `most` of them."""
        kept: list[int] = []
        for position, item in enumerate(items.tolist()):
            if most is not None and len(kept) == most:
                break
            if self._admit(item):
                kept.append(position)
        return kept

    def _admit(self, item: int) -> bool:
        values = []
        for column, most, counts in self._rules:
            if column.indptr is not None:
                codes = column.data[column.indptr[item] : column.indptr[item + 1]].tolist()
            else:
                code = int(column.data[item])
                codes = (
                    [] if code < 0 or (column.kind == "bool" and code == 2) else [code]
                )  # a missing value is not capped
            if any(counts.get(code, 0) >= most for code in codes):
                return False
            values.append((counts, codes))
        for counts, codes in values:
            for code in codes:
                counts[code] = counts.get(code, 0) + 1
        return True
