"""The HTTP client: a served engine, asked from Python with the names and the types of `Engine`.

In go ids and Structs, out come the same Structs; one method an endpoint. A problem that the server answers is raised
as the class that the engine itself would raise, found by its `code`.
"""

from recengine.client.endpoints import Client

__all__ = ("Client",)
