"""Stage 1, context: who asks, when, against which catalogue; cold or warm. Requests in, `Context` out.

Unknown users are not an error: they are cold. A field out of range is one, and names itself.
"""

from time import time_ns

import numpy as np

from recengine.config import Serving
from recengine.errors import BadRequest
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.store.vocab import Vocabulary, valid_id
from recengine.types import Context, Request

__all__ = ("Resolver",)


class Resolver:
    """Turns ids into rows and tells cold users from warm ones."""

    def __init__(self, state: State, users: Vocabulary, config: Serving) -> None:
        self._state = state
        self._users = users
        self._config = config

    def resolve(self, requests: tuple[Request, ...], trace: Trace, threads: int) -> Context:
        """Resolve B requests.

        Raises
        ------
        BadRequest : a field is out of range.
        """
        held = self._state.histories
        rows = []
        for request in requests:
            self._check(request)
            rows.append(-1 if request.user_id is None else self._users.row(request.user_id))
        histories = tuple(held.row(user) for user in rows)  # one look, so that no stage sees a user at another moment
        cold = np.array([len(history.items) < self._config.cold_below for history in histories], np.bool_)
        items = self._state.items  # after the histories: their items are in it
        trace.mark("context")
        return Context(requests, np.array(rows, np.int32), histories, cold, time_ns() // 1000, items, threads)

    def _check(self, request: Request) -> None:
        if not 1 <= request.n <= self._config.max_n:
            raise BadRequest(
                f"n: expected 1..{self._config.max_n}, got {request.n}", hint="`serving.max_n` sets the longest reply"
            )
        user = request.user_id
        if user is not None and self._users.row(user) < 0 and not valid_id(user):
            raise BadRequest("user_id: expected 1 to 256 bytes of text without control characters")
        if request.diversity is not None and not 0 <= request.diversity <= 1:
            raise BadRequest(f"diversity: expected 0..1, got {request.diversity}")
        if request.deadline_ms is not None and not request.deadline_ms > 0:
            raise BadRequest(f"deadline_ms: expected > 0, got {request.deadline_ms}")
        for name, most in request.caps.items():
            if most < 1:
                raise BadRequest(
                    f"caps[{name!r}]: expected >= 1, got {most}", hint="use a filter to exclude a value altogether"
                )
