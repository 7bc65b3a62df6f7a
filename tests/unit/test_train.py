"""Training decides on the validation part: calibrations that hold, and a blend that no start of the search beats."""

import msgspec
import numpy as np
import pytest

from recengine.config import Config
from recengine.errors import TrainingFailed
from recengine.metrics.ranking import evaluate
from recengine.offline import build, choose, rank, train
from recengine.offline.rank import blended, of_model
from tests.unit.shop import shop

MODELS = [
    {"kind": "item_knn", "neighbors": 20},
    {"kind": "user_knn", "neighbors": 20},
    {"kind": "popularity", "weight": 0.7},
]


def config(models=MODELS, **training):
    return msgspec.convert({"model": models, "training": {"at": 5, "threads": 1} | training}, Config)


@pytest.fixture(scope="module")
def built():
    events, users, items = shop()
    return build.split(events, config(), users, items)


@pytest.fixture(scope="module")
def early(built):
    return train.fit(built.validation.data, config())[0]


def ndcg(deployment, part, settings):
    lists = blended(deployment, part, part.targets.users, settings.training.at, settings)
    return evaluate(lists, part.targets.indptr, part.targets.items, settings.training.at)["ndcg"].mean()


def test_the_chosen_blend_is_not_beaten_by_the_configured_one_or_by_a_model_alone(built, early):
    settings = config()
    choice = choose.choose(early, built.validation, settings)
    assert sum(choice.weights) == pytest.approx(1, abs=1e-5)
    assert choice.users == len(built.validation.targets.users)
    chosen = ndcg(choose.with_choice(early, choice), built.validation, settings)
    assert chosen == pytest.approx(choice.ndcg)
    configured = tuple(m.weight for m in early.members)
    rivals = [configured, *np.eye(len(configured)).tolist(), [1 / 3] * 3]
    for weights in rivals:
        floored = choose._floored(tuple(weights), early.popular)
        rival = choose.with_choice(early, msgspec.structs.replace(choice, weights=floored))
        assert chosen >= ndcg(rival, built.validation, settings) - 1e-12


def test_the_blend_beats_the_configured_one_where_that_is_bad(built, early):
    bad = config([MODELS[0] | {"weight": 0.01}, MODELS[1] | {"weight": 0.01}, MODELS[2] | {"weight": 9.0}])
    fitted = train.fit(built.validation.data, bad)[0]
    tuned = choose.choose(fitted, built.validation, bad)
    untuned = choose.choose(fitted, built.validation, msgspec.structs.replace(bad, training=config(tune_blend=False).training))
    assert untuned.weights == (0.01, 0.01, 9.0)
    assert np.isnan(untuned.ndcg)
    assert tuned.ndcg > ndcg(choose.with_choice(fitted, untuned), built.validation, bad) * 1.05


def test_choosing_is_repeatable_and_does_not_depend_on_threads(built, early):
    first, second = (choose.choose(early, built.validation, config(), threads=n) for n in (1, 2))
    assert first == second


def test_calibrated_scores_tell_held_out_items_from_random_ones(built, early):
    personal = choose.choose(early, built.validation, config()).calibrations[:2]
    assert all(c.slope > 0 for c in personal)


def test_drawing_users_is_seeded_sorted_and_bounded():
    users = np.arange(0, 200, 2, dtype=np.int32)
    assert choose.drawn(users, 500, 1) is users
    one = choose.drawn(users, 10, 1)
    assert len(one) == 10
    assert np.array_equal(one, np.sort(one))
    assert np.array_equal(one, choose.drawn(users, 10, 1))
    assert not np.array_equal(one, choose.drawn(users, 10, 2))


def test_the_candidate_has_not_seen_the_test_part_and_the_final_one_has(built):
    settings = config()
    trained = train.run(built, settings)
    final = train.final(built, trained.choice, settings)
    assert trained.deployment.last_seq == 0
    assert final.last_seq == built.last_seq
    for mine, last in zip(trained.deployment.members, final.members, strict=True):
        assert (mine.curve, mine.weight) == (last.curve, last.weight)
    part = built.test
    users = part.targets.users
    seen_later = [of_model(d.members[0].scorer, part, users, 5, settings) for d in (trained.deployment, final)]
    scores = [evaluate(lists, part.targets.indptr, part.targets.items, 5)["recall"].mean() for lists in seen_later]
    assert scores[1] > scores[0], "having seen the test part helps, so the candidate had not"


def test_the_report_names_every_model_and_progress_hears_of_each_fit(built):
    heard = []
    trained = train.run(built, config(), progress=lambda what, done, total: heard.append((what, done, total)))
    assert [m.name for m in trained.report.models] == ["item_knn", "user_knn", "popularity"]
    assert {what for what, _, _ in heard} == {f"{goal}: {m}" for goal in ("choose", "judge") for m in ("item_knn", "user_knn", "popularity")}
    assert all(0 <= done <= total for _, done, total in heard)
    assert msgspec.json.decode(msgspec.json.encode(trained.report), type=train.TrainReport) == trained.report


def test_a_deployment_without_a_popularity_model_still_has_its_orders(built):
    deployment, _ = train.fit(built.test.data, config(MODELS[:1]))
    assert len(deployment.popularity.ranking("popular")) == built.test.data.items.n
    assert deployment.demographic is not None
    bare = msgspec.structs.replace(built.test.data, users=msgspec.structs.replace(built.test.data.users, columns={}))
    assert train.fit(bare, config(MODELS[:1]))[0].demographic is None


def test_a_model_that_fails_is_named(built):
    short = msgspec.structs.replace(built.test.data.interactions, weights=np.ones(3, np.float32))  # not one an entry
    with pytest.raises(TrainingFailed, match="item_knn"):
        train.fit(msgspec.structs.replace(built.test.data, interactions=short), config(MODELS[:1]))


def test_popularity_keeps_a_share_of_the_blend_unless_it_is_configured_to_have_none(built):
    bad = config([MODELS[0], {"kind": "popularity", "weight": 0.001, "trending_share": 1.0, "half_life_days": 0.01}])
    noisy = train.fit(built.validation.data, bad)[0]
    choice = choose.choose(noisy, built.validation, bad)
    assert choice.weights == pytest.approx((1 - choose.POPULAR_SHARE, choose.POPULAR_SHARE)), "a search would give none"
    silent = config([bad.model[0], msgspec.structs.replace(bad.model[1], weight=0.0)])
    assert choose.choose(train.fit(built.validation.data, silent)[0], built.validation, silent).weights == (1.0, 0.0)
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.96, 0.04), (0.5, 0.5)):
        floored = choose._floored(weights, 1)
        assert floored[1] == max(weights[1], choose.POPULAR_SHARE)
        assert sum(floored) == pytest.approx(1)
        assert choose._floored(weights, -1) == weights


@pytest.mark.parametrize("cells", [1, 60, 333, 60 * 2000])
def test_batches_are_bounded_by_users_times_items_and_change_no_answer(built, early, monkeypatch, cells):
    settings, part = config(), built.test
    users, n_items = part.targets.users, part.data.items.n
    whole = blended(early, part, users, 5, settings)
    alone = of_model(early.members[0].scorer, part, users, 5, settings)
    monkeypatch.setattr(rank, "CELLS", cells)
    sizes = [len(some) for some in rank.batches(users, n_items)]
    assert max(sizes) == min(len(users), max(1, cells // n_items))
    assert sum(sizes) == len(users)
    masks = []
    monkeypatch.setattr(rank, "eligible", lambda *a: masks.append(build.eligible(*a)) or masks[-1])
    assert np.array_equal(blended(early, part, users, 5, settings), whole)
    assert np.array_equal(of_model(early.members[0].scorer, part, users, 5, settings), alone)
    assert max(mask.size for mask in masks) <= max(cells, n_items)


def test_a_large_catalogue_gets_small_batches():
    assert len(next(rank.batches(np.arange(5000, dtype=np.int32), 500_000))) == 32
