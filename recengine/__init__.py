"""recengine: a recommendation engine in one process and one folder.

>>> import recengine
>>> with recengine.Engine.open("shop") as engine:  # doctest: +SKIP
...     engine.recommend("u1", n=5)
"""

from recengine.config import Config
from recengine.engine import Engine
from recengine.errors import RecEngineError
from recengine.types import Event, Item, Request, Response, User

__all__ = ("Config", "Engine", "Event", "Item", "RecEngineError", "Request", "Response", "User")
__version__ = "0.1.0"
