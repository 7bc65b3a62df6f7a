"""Stage 1, context: who asks, when, against which catalogue; cold or warm. Requests in, `Context` out.

Unknown users are not an error: they are cold. A field out of range is one, and names itself.
"""

from time import time_ns

import numpy as np

from recengine.config import Serving
from recengine.errors import BadRequest
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.store.vocab import Vocabulary
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
        rows = np.empty(len(requests), np.int32)
        cold = np.empty(len(requests), np.bool_)
        for b, request in enumerate(requests):
            self._check(request)
            user = -1 if request.user_id is None else self._users.row(request.user_id)
            rows[b] = user
            cold[b] = len(self._state.histories.entries(user)[0]) < self._config.cold_below
        trace.mark("context")
        return Context(requests, rows, cold, time_ns() // 1000, self._state.items, threads)

    def _check(self, request: Request) -> None:
        if not 1 <= request.n <= self._config.max_n:
            raise BadRequest(
                f"n: expected 1..{self._config.max_n}, got {request.n}", hint="`serving.max_n` sets the longest reply"
            )
        if request.diversity is not None and not 0 <= request.diversity <= 1:
            raise BadRequest(f"diversity: expected 0..1, got {request.diversity}")
        if request.deadline_ms is not None and not request.deadline_ms > 0:
            raise BadRequest(f"deadline_ms: expected > 0, got {request.deadline_ms}")
        for name, most in request.caps.items():
            if most < 1:
                raise BadRequest(
                    f"caps[{name!r}]: expected >= 1, got {most}", hint="use a filter to exclude a value altogether"
                )
