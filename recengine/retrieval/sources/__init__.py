"""Candidates: which items are worth scoring for each request, and which source found each. One file a noun.

`asked` what every source is told, and its shape; `declared` turns `[[candidates]]` into sources of one deployment;
`gather` asks them all and unites what they found, on both spines; the others are the sources.

Every source sees the mask of eligible items before it picks, so no later filter can empty a reply. Nothing is sampled.
"""

from recengine.retrieval.sources.asked import Asked, Find, Source
from recengine.retrieval.sources.declared import declared
from recengine.retrieval.sources.gather import CELLS, Guard, Lists, gather, union
from recengine.retrieval.sources.orders import Orders

__all__ = ("CELLS", "Asked", "Find", "Guard", "Lists", "Orders", "Source", "declared", "gather", "union")
