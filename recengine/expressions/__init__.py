"""Expressions: the small safe language of filters and rules over item attributes.

`price < 50 and (category in ["shoes", "bags"] or brand == "Acme") and not discontinued and released > "2024-01-01"`

`parse` turns text into a tree once, `mask` evaluates the tree over the catalogue's columns. Nothing is ever
executed: a tree can only compare attributes with literals.
"""

from recengine.expressions.evaluate import mask
from recengine.expressions.parse import parse
from recengine.expressions.tree import Expression, attributes, depends_on_now, render

__all__ = ("Expression", "attributes", "depends_on_now", "mask", "parse", "render")
