"""The online spine: this file is the whole way of a request, in order.

Each stage reads the type before it and returns the next one's, mutates nothing it was given, and writes its time
and reasons to the trace. Between stages data travels as flat arrays for a batch of requests; an item becomes a
Python object only in `response`. Features come before eligibility, so that one read of a user's history serves
both.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from recengine.config import Config, favourites
from recengine.online.candidates import CandidateStage
from recengine.online.context import Resolver
from recengine.online.counters import Live
from recengine.online.diversity import Diversity
from recengine.online.ensemble import Ensemble
from recengine.online.feature_store import FeatureStore
from recengine.online.features import FeatureService
from recengine.online.lists import Lists
from recengine.online.response import Renderer
from recengine.online.rules import Rules
from recengine.online.scoring import Scoring
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.store.vocab import Vocabulary
from recengine.types import Explanation, Pool, Query, Request, Response

__all__ = ("Recommender",)


class Recommender:
    """Answers requests from one deployment and the live state. Thread-safe.

    Nothing in it changes but the state's fold.
    """

    def __init__(
        self, deployment: Deployment, state: State, users: Vocabulary, items: Vocabulary, config: Config
    ) -> None:
        self.deployment = deployment
        self.context = Resolver(state, users, items, config.serving)
        deployed, store = deployment.features, None
        if deployed is not None and state.counted is not None:
            store = FeatureStore(state, config, deployed.features, deployed.labels, {}, deployed.program)
        categories = favourites(config.candidates)
        self.features = FeatureService(state, config.serving, categories, deployment.last_seq, store, items)
        self.rules = Rules(state, items, config.event, config.serving)
        live = Live(deployment.popularity, state.counters, deployment.last_seq)
        self.candidates = CandidateStage(deployment, state, self.rules, live, config)
        self.scoring = Scoring(deployment)
        self.ensemble = Ensemble(deployment, config.serving)
        self.diversity = Diversity(deployment, config.diversity)
        self.response = Renderer(deployment, items)
        self.lists = Lists(deployment, state, live, self.candidates)

    def answer(
        self, requests: Sequence[Request], *, threads: int = 1
    ) -> Iterator[tuple[list[int], list[Response], Trace]]:
        """Answer any requests: those that are alike in size go down the spine together.

        Gives for every group the places of its requests, their replies, and the trace.

        Why: pool and shortlist are as large as `n` and the rules need, so that a row of a batch may only have company
        that needs the same; that is what makes a batch answer as one by one, bit for bit.

        Raises
        ------
        RequestError : a field is out of range, a filter does not parse.
        """
        if len(requests) == 1:
            yield [0], *self.recommend(requests, threads=threads)
            return
        groups: dict[tuple[int, bool, bool, float | None], list[int]] = {}
        for place, request in enumerate(requests):
            kind = (request.n, bool(request.pins), bool(request.caps), request.deadline_ms)
            groups.setdefault(kind, []).append(place)
        for places in groups.values():
            replies, trace = self.recommend([requests[place] for place in places], threads=threads)
            yield places, replies, trace

    def recommend(self, requests: Sequence[Request], *, threads: int = 1) -> tuple[list[Response], Trace]:
        """Go down the spine with requests alike in size (see `answer`); one request is a batch of one."""
        requests = tuple(requests)
        trace = Trace(requests)
        context = self.context.resolve(requests, trace, threads)  # who, when, against which catalogue; cold or warm
        features = self.features.of(context, trace)  # the same code as training
        eligible = self.rules.eligible(context, trace)  # mask over the catalogue, before any cut
        pool = self.candidates.gather(
            context, features, eligible, trace
        )  # <= 1,000 items; which source found each; pins are a source
        table = self.scoring.score(context, features, pool, trace)  # items x models; models isolated
        ranked = self.ensemble.blend(context, table, trace)  # weighted average of calibrated scores
        shaped = self.rules.shape(context, ranked, trace)  # pins, caps; may never add
        slate = self.diversity.arrange(context, shaped, trace)  # MMR
        return self.response.render(context, features, slate, trace), trace

    def explain(self, request: Request, item: int) -> Explanation:
        """Say why item row `item` would, or would not, be shown: the same stages with a pool of one."""
        trace = Trace((request,))
        context = self.context.resolve((request,), trace, 1)
        features = self.features.of(context, trace)
        pool = Pool(np.array([0, 1], np.int64), np.array([item], np.int32), np.zeros(1, np.uint32), ())
        ranked = self.ensemble.blend(context, self.scoring.score(context, features, pool, trace), trace)
        excluded_by = self.rules.excluded_by(context, item)
        return self.response.explain(context, features, ranked, excluded_by, trace)

    def query(self, request: Request) -> Query:
        """Return what the models would be told of the user of `request`."""
        trace = Trace((request,))
        return self.features.of(self.context.resolve((request,), trace, 1), trace).query
