"""What handlers say of their answers in the description of the API, and how ready bytes become one."""

from typing import Any

from litestar import Response
from litestar.openapi.datastructures import ResponseSpec

from recengine.server.problems import MEDIA_TYPE, Problem

__all__ = ("described", "encoded")

_MEANT = {
    400: "The request is wrong; the problem names the place.",
    401: "An API key is needed.",
    404: "There is nothing of that name.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    503: "Not now: nothing is deployed, or the disk refuses. Nothing was stored; the same request may be made again.",
}
_READS = (400, 401, 503)
_WRITES = (400, 401, 408, 413, 415, 503)


def described(
    ok: int = 200, kind: Any = None, *, writes: bool = False, missing: bool = False, what: str = "Done."
) -> dict[int, ResponseSpec]:
    """Describe the answers of a handler.

    Parameters
    ----------
    kind : of the success, where the handler's own return type does not say it.
    writes : it takes a body.
    missing : it may name something that is not there.
    """
    found = {} if kind is None else {ok: ResponseSpec(kind, description=what, generate_examples=False)}
    statuses = sorted({*(_WRITES if writes else _READS), *((404,) if missing else ())})
    for status in statuses:
        found[status] = ResponseSpec(
            Problem, description=_MEANT[status], media_type=MEDIA_TYPE, generate_examples=False
        )
    return found


def encoded(body: bytes) -> Response[bytes]:
    """Answer with JSON that is bytes already."""
    return Response(body, media_type="application/json")
