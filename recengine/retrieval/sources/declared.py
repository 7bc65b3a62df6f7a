"""`[[candidates]]` -> the sources of one deployment, in the order of the configuration.

A kind whose model or data the deployment does not have brings no source: `demographic` where users have no attributes,
`factors` where no model has factors.

Why the default list is what it is: the share of held-out items that the pool holds, on validation parts (candidates a
user in brackets; als, item_knn, user_knn and popularity; `recengine train` says the same of any shop):

                                          demo shop   ml100k      s3rec_beauty  Gowalla
    100 a model, popular 50, others       .452 (292)  .410 (168)  .314 (318)    .484 (275)
    .. and similar_users                  .468 (312)  .417 (184)  .317 (320)    .511 (312)
    .. and similar_items                  .469 (317)  .413 (173)  .322 (328)    .528 (317)
    150 a model                           .501 (357)  .419 (192)  .353 (406)    .560 (367)
    100 a model, popular 100, demog. 200  .479 (323)  .563 (227)  .324 (361)    .488 (313)

`similar_users` and `similar_items` cost 30 to 50 us a request each and find less than the best 50 more of every model,
which cost 30 us of the demo shop's 520: all three wait to be declared by who has the time. Longer orders cost next to
nothing, and of ml100k's test users 6 in 10 are cold: deep lists of what is popular, and of what people alike like, are
what holds their items. So the default is the last line.
"""

from collections.abc import Iterator

from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.user_knn import UserKnn
from recengine.config import (
    Alike,
    BestOfModels,
    CandidateConfig,
    FactorNeighbors,
    InCategories,
    LatestItems,
    MostPopular,
    OfSimilarUsers,
    SimilarToLast,
    TrendingItems,
)
from recengine.retrieval.cold import alike
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.sources.asked import Asked, Find, Source
from recengine.retrieval.sources.factors import nearest_to
from recengine.retrieval.sources.models import best_of
from recengine.retrieval.sources.orders import Orders
from recengine.retrieval.sources.similar_items import similar_to_last
from recengine.retrieval.sources.similar_users import of_similar_users
from recengine.types import I32

__all__ = ("declared",)


def declared(deployment: Deployment, candidates: tuple[CandidateConfig, ...]) -> tuple[Source, ...]:
    """Make the sources that `candidates` declare over `deployment`."""
    return tuple(source for config in candidates for source in _sources(deployment, config))


def _sources(deployment: Deployment, config: CandidateConfig) -> Iterator[Source]:
    match config:
        case BestOfModels():
            for member in deployment.members:
                if not isinstance(member.scorer, Popularity):  # the same for all: the orders have its best
                    indexed = deployment.index is not None and member is deployment.factors
                    n = config.per_model
                    best = nearest_to(member, n, deployment.index) if indexed else best_of(member, n)
                    yield Source(member.name, best, member.scorer.config.time_budget_ms)
        case InCategories():
            yield Source(config.name, _in_categories(config), None)
        case MostPopular():
            yield Source(config.name, _along(Orders.POPULAR, config.n), None)
        case TrendingItems():
            yield Source(config.name, _along(Orders.TRENDING, config.n), None)
        case LatestItems():
            yield Source(config.name, _along(Orders.LATEST, config.n), None)
        case _:
            find = _personal(deployment, config)
            if find is not None:
                yield Source(config.name, find, config.time_budget_ms)


def _personal(deployment: Deployment, config: OfSimilarUsers | SimilarToLast | FactorNeighbors | Alike) -> Find | None:
    scorers = [member.scorer for member in deployment.members]
    match config:
        case OfSimilarUsers():
            users = next((s for s in scorers if isinstance(s, UserKnn)), None)
            return None if users is None else of_similar_users(users, config, deployment.n_items)
        case SimilarToLast():
            items = next((s for s in scorers if isinstance(s, ItemKnn)), None)
            return None if items is None else similar_to_last(items, config, deployment.n_items)
        case FactorNeighbors():
            member = deployment.factors
            return None if member is None else nearest_to(member, config.n, deployment.index)
        case Alike():
            return _alike(deployment, config.n)


def _along(order: int, n: int) -> Find:
    return lambda asked: asked.orders.first(order, asked.mask, n)


def _alike(deployment: Deployment, n: int) -> Find | None:
    source = deployment.demographic
    if source is None:
        return None

    def find(asked: Asked) -> I32 | None:
        if not asked.cold.any():
            return None
        return alike(source, asked.query.users, asked.mask, n, asked.cold, asked.attributes)

    return find


def _in_categories(config: InCategories) -> Find:
    def find(asked: Asked) -> I32 | None:
        if not (asked.favourites.shape[1] and asked.orders.rows):
            return None
        return asked.orders.of_categories(asked.favourites[:, : config.categories], asked.mask, config.per_category)

    return find
