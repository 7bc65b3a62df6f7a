"""The rivals of the HTTP bench, one Litestar application on one Granian worker, as the server itself runs.

GET  /bare     a body of bytes that is ready: what Litestar and Granian cost by themselves
GET  /struct   the same reply as a Struct, encoded for each request
POST /bare     one event decoded and validated into the same Struct, nothing done with it
GET  /implicit/{user}   implicit's ALS: `recommend` with what the user has liked filtered out, on one thread

    python -m bench.rivals PORT FOLDER      FOLDER holds body.json and, for implicit, model.npz and likes.npz
"""

import sys
from functools import partial
from pathlib import Path

import implicit
import msgspec
import scipy.sparse as sp
from litestar import Litestar, MediaType, Response, get, post
from threadpoolctl import threadpool_limits

from bench.worker import serve
from recengine.types import Event, Receipt, Recommendation
from recengine.types import Response as Reply


def application(folder: Path) -> Litestar:
    """Make the application; the model is loaded here, in the worker."""
    body = (folder / "body.json").read_bytes()
    reply = msgspec.json.decode(body, type=Reply)
    receipt = Receipt(stored=1)
    threadpool_limits(1)
    model = likes = None
    if (folder / "model.npz").exists():
        model = implicit.cpu.als.AlternatingLeastSquares.load(str(folder / "model.npz"))
        model.num_threads = 1
        likes = sp.load_npz(folder / "likes.npz")

    @get("/bare")
    async def bare() -> Response[bytes]:
        return Response(body, media_type=MediaType.JSON)

    @get("/struct")
    async def struct() -> Reply:
        return reply

    @post("/bare", status_code=201)
    async def bare_post(data: Event) -> Receipt:  # noqa: ARG001 - decoding it is the work
        return receipt

    @get("/implicit/{user:int}")
    async def peer(user: int) -> Reply:
        rows, scores = model.recommend(user, likes[user], N=10, filter_already_liked_items=True)
        lines = zip(rows.tolist(), scores.tolist(), strict=True)
        items = tuple(Recommendation(item_id=str(row), score=score) for row, score in lines)
        return Reply(request_id=reply.request_id, user_id=str(user), items=items, version="implicit")

    return Litestar([bare, struct, bare_post, peer], openapi_config=None, logging_config=None)


def main(port: str, folder: str) -> None:
    serve("rivals", int(port), partial(application, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
