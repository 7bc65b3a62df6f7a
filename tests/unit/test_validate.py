"""The gate: a report passes or raises, the live deployment is judged only where it can be, and the metrics are the formula's."""

import msgspec
import numpy as np
import pytest

from recengine.errors import GateFailed
from recengine.metrics.ranking import evaluate
from recengine.offline import build, choose, train, validate
from recengine.offline.rank import blended
from recengine.retrieval.deployment import Deployment
from tests.unit.shop import shop
from tests.unit.test_train import MODELS, config


@pytest.fixture(scope="module")
def built():
    events, users, items = shop()
    return build.split(events, config(), users, items)


@pytest.fixture(scope="module")
def trained(built):
    return train.run(built, config())


@pytest.fixture(scope="module")
def report(built, trained):
    return validate.run(built, trained, config())


def worse(deployment: Deployment) -> Deployment:
    """The same models, ranking backwards."""
    return msgspec.structs.replace(deployment, slopes=-deployment.slopes, intercepts=-deployment.intercepts)


def test_metrics_are_full_ranking_by_the_formula(built, trained, report):
    part, model = built.test, trained.deployment.members[0]
    every = np.arange(part.data.items.n, dtype=np.int32)
    hits = []
    for row, user in enumerate(part.targets.users):
        wanted = set(part.targets.items[part.targets.indptr[row] : part.targets.indptr[row + 1]].tolist())
        asked = build.query(part.data, np.array([user], np.int32), limit=500)
        scores = model.scorer.score(asked, np.array([0, len(every)], np.int64), every).astype(np.float64)
        may = build.eligible(part, np.array([user], np.int32))[0] == 1
        ranked = [i for i in np.lexsort((every, -np.nan_to_num(scores, nan=-1))) if may[i] and scores[i] > 0][:5]
        hits.append(len(wanted & set(ranked)) / len(wanted))
    alone = next(m for m in report.models if m.name == model.name)
    assert alone.metrics["recall@5"] == pytest.approx(np.mean(hits))
    assert alone.users == len(part.targets.users)


def test_the_report_says_what_the_pool_holds_and_no_list_finds_more(report, built):
    pool = report.pool
    assert pool.users == len(built.test.targets.users)
    assert pool.targets == len(built.test.targets.items)
    assert max(s.held for s in pool.sources) <= pool.held <= sum(s.held for s in pool.sources)
    assert sum(s.alone for s in pool.sources) <= pool.held
    shown = report.candidate.metrics["precision@5"] * 5 * pool.users
    assert round(shown) <= pool.held <= pool.targets


def test_the_report_covers_everyone_and_says_who_was_warm(report, built):
    assert {m.name for m in report.models} == {"popularity", "item_knn", "user_knn"}
    assert {"recall@5", "precision@5", "f1@5", "ndcg@5", "map@5", "mrr@5", "hit_rate@5", "coverage@5", "gini@5", "novelty@5"} == set(
        report.candidate.metrics
    )
    low, high = report.candidate.intervals["ndcg@5"]
    assert low < report.candidate.metrics["ndcg@5"] < high
    assert report.warm[0].users + report.cold[0].users == report.candidate.users == len(built.test.targets.users)
    assert report.live is None
    assert [c.rival for c in report.comparisons] == ["popularity"]


def test_a_report_survives_json(report):
    assert msgspec.json.decode(msgspec.json.encode(report), type=validate.ValidationReport) == report


def test_a_good_candidate_passes_and_only_a_passed_report_is_one(report):
    passed = validate.gate(report)
    assert isinstance(passed, validate.PassedReport)
    assert not isinstance(report, validate.PassedReport)
    assert passed.candidate == report.candidate
    assert passed.overruled == ()


def test_a_candidate_that_loses_against_popularity_is_refused_or_forced(built, trained):
    bad = msgspec.structs.replace(trained, deployment=worse(trained.deployment))
    report = validate.run(built, bad, config())
    with pytest.raises(GateFailed, match="of popularity"):
        validate.gate(report)
    assert len(validate.gate(report, force=True).overruled) == 1


def test_a_candidate_worse_than_the_live_one_is_refused_beyond_the_tolerance(built, trained):
    live = trained.deployment  # has learned from nothing of the test part
    popular = msgspec.structs.replace(trained.choice, weights=(0.0, 0.0, 1.0))
    weak = msgspec.structs.replace(trained, deployment=choose.with_choice(live, popular))
    report = validate.run(built, weak, config(), live=live)
    assert report.live is not None
    with pytest.raises(GateFailed, match="of live"):
        validate.gate(report)
    tolerant = config(gate_tolerance=0.95)
    assert validate.gate(validate.run(built, weak, tolerant, live=live))


def test_a_loss_by_chance_passes_and_a_loss_beyond_it_does_not():
    rng = np.random.default_rng(0)
    theirs = {"ndcg": rng.random(60)}
    noisy = {"ndcg": rng.permutation(theirs["ndcg"]) - 0.04}
    steady = {"ndcg": theirs["ndcg"] - 0.04}
    for rival in ("popularity", "live"):
        assert validate._compare(rival, noisy, theirs, config()).passed
        assert not validate._compare(rival, steady, theirs, config()).passed
    assert validate._compare("live", steady, theirs, config(gate_tolerance=0.2)).passed
    assert validate._compare("popularity", theirs, theirs, config()).passed


def test_a_live_deployment_that_has_learned_from_the_test_part_is_not_compared(built, trained):
    final = train.final(built, trained.choice, config())
    report = validate.run(built, trained, config(), live=final)
    assert report.live is None
    assert any("has learned from the test part" in note for note in report.notes)
    assert [c.rival for c in report.comparisons] == ["popularity"]
    assert validate.gate(report)


def test_a_live_deployment_of_a_smaller_shop_is_compared(trained):
    events, users, items = shop(n_users=160, n_items=66)
    grown = build.split(events, config(), users, items)
    candidate = train.run(grown, config())
    report = validate.run(grown, candidate, config(), live=trained.deployment)
    assert report.live is not None
    assert report.live.users == len(grown.test.targets.users)


def test_too_few_users_cannot_judge_the_live_one(trained):
    events, users, items = shop(n_users=30, per_user=10)
    few = build.split(events, config(), users, items)
    candidate = train.run(few, config())
    report = validate.run(few, candidate, config(), live=candidate.deployment)
    assert report.live is None
    assert any("50 are needed" in note for note in report.notes)


def test_users_are_drawn_where_there_are_too_many(built, trained):
    settings = config(max_users=40)
    report = validate.run(built, trained, settings)
    assert report.candidate.users == 40
    assert any(note.startswith("40 of") for note in report.notes)
    assert validate.run(built, trained, settings) == report


def newcomers(n_users=230, first=165):
    """Cut a shop whose users from `first` on come when the rest is over, so that the test part is about them."""
    events, users, items = shop(n_users=n_users, per_user=6, days=40)
    settings = config(MODELS, test_share=0.3)
    late = events.user >= first
    moved = msgspec.structs.replace(events, time=events.time + late * 50 * 86_400_000_000)
    order = np.lexsort((moved.seq, moved.time, moved.user))
    moved = msgspec.structs.replace(moved, seq=moved.seq[order], item=moved.item[order], time=moved.time[order])
    return build.split(moved, settings, users, items), settings


def test_cold_users_are_judged_with_what_serving_would_show_them():
    cut, settings = newcomers(200, 150)
    report = validate.run(cut, train.run(cut, settings), settings)
    assert report.cold[0].users >= 40
    assert report.cold[0].metrics["recall@5"] > 0
    assert report.warm[0].users == report.candidate.users - report.cold[0].users


def test_a_candidate_that_fails_cold_users_is_refused_where_enough_of_them_tell():
    cut, settings = newcomers()
    trained = train.run(cut, settings)
    report = validate.run(cut, trained, settings)
    assert [(c.rival, c.among) for c in report.comparisons] == [("popularity", "all"), ("popularity", "cold")]
    cold = report.comparisons[1]
    assert (cold.candidate, cold.other) == tuple(s.metrics["ndcg@5"] for s in report.cold[:2])
    assert cold.users == report.cold[0].users >= build.ENOUGH_USERS
    assert validate.gate(report)
    deaf = msgspec.structs.replace(worse(trained.deployment), demographic=None)
    bad = msgspec.structs.replace(trained, deployment=deaf)
    with pytest.raises(GateFailed, match="cold users: lost"):
        validate.gate(validate.run(cut, bad, settings))
    few, settings = newcomers(230, 190)
    assert [c.among for c in validate.run(few, train.run(few, settings), settings).comparisons] == ["all"]


def test_the_live_deployment_is_folded_in_as_it_would_serve():
    events, users, items = shop()
    settings = config([{"kind": "als", "factors": 8, "epochs": 6}, {"kind": "popularity", "weight": 0.1}])
    cut = build.split(events, settings, users, items)
    learned = cut.validation.first_seq - 1  # in this shop numbers go by time
    live = train.fit(cut.validation.data, settings, last_seq=learned)[0]
    report = validate.run(cut, train.run(cut, settings), settings, live=live)
    part, asked = cut.test, cut.test.targets.users
    newer = {int(u) for u, s in zip(events.user, events.seq, strict=True) if learned < s < part.first_seq}
    changed = np.array([u in newer for u in asked], np.uint8)
    assert 0 < changed.sum() < len(changed)
    fair, stale = (
        evaluate(blended(live, part, asked, 5, settings, changed=c), part.targets.indptr, part.targets.items, 5)["ndcg"]
        for c in (changed, np.zeros_like(changed))
    )
    assert not np.array_equal(fair, stale)
    assert report.live.metrics["ndcg@5"] == pytest.approx(fair.mean(), abs=1e-12)


def test_a_live_deployment_that_learned_up_to_a_time_within_the_test_part_is_not_compared(built, trained):
    live = trained.deployment  # its last number tells nothing, as after a training as of a moment
    assert validate.run(built, trained, config(), live=live, until=built.test.data.as_of).live is not None
    report = validate.run(built, trained, config(), live=live, until=built.test.first_time)
    assert report.live is None
    assert any("has learned from the test part" in note for note in report.notes)
