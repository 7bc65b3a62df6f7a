"""What training decides on the validation part: weights, judged by the lists that are served."""

import msgspec
import numpy as np
import pytest

from recengine.metrics.ranking import evaluate
from recengine.offline import build, train
from recengine.offline.choose import choose, with_choice
from recengine.offline.rank import blended
from tests.unit.shop import shop
from tests.unit.test_train import config


@pytest.mark.parametrize("relevance", [0.3, 1.0])
def test_no_model_alone_serves_the_validation_part_better_than_the_blend_and_the_report_says_how_well(relevance):
    events, users, items = shop()
    knobs = config()
    diversity = msgspec.structs.replace(knobs.diversity, enabled=True, relevance=relevance)
    knobs = msgspec.structs.replace(knobs, diversity=diversity)
    part = build.split(events, knobs, users, items).validation
    fitted, _ = train.fit(part.data, knobs)
    chosen = choose(fitted, part, knobs)
    at, targets = knobs.training.at, part.targets

    def served(weights):
        deployment = with_choice(fitted, msgspec.structs.replace(chosen, weights=weights))
        lists = blended(deployment, part, targets.users, at, knobs)
        return evaluate(lists, targets.indptr, targets.items, at)["ndcg"].mean()

    assert served(chosen.weights) == pytest.approx(chosen.ndcg)
    count = len(chosen.weights)
    for model in range(count):
        alone = 0.99 * np.eye(count)[model] + 0.01 * np.eye(count)[fitted.popular]  # popularity keeps its least share
        assert served(chosen.weights) >= served(tuple(alone)) - 1e-9
