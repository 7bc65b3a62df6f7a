"""The report on indexes: what it measures is true, and what it draws is what it measured."""

import re
import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest

from recengine.algorithms.als import Als
from recengine.algorithms.calibration import Curve
from recengine.algorithms.popularity import Popularity
from recengine.config import Als as AlsConfig
from recengine.config import Config
from recengine.config import Index as IndexConfig
from recengine.config import Popularity as PopularityConfig
from recengine.errors import BadUsage, EmptyData, NotFitted
from recengine.index.trials import KINDS, trials
from recengine.jobs.index_page import drawing, page, said, write
from recengine.jobs.index_report import IndexReport, Point, report
from recengine.offline.indexing import ASKED, askers, asking, indexed
from recengine.retrieval.deployment import Member, assemble
from tests.strategies import catalogue, communities

DATA = communities(900, 700, groups=7)


def deployed(kind="auto", *, factors=True, data=DATA):
    config = Config(index=IndexConfig(kind=kind))
    popularity = Popularity(PopularityConfig()).fit(data)
    scorer = Als(AlsConfig(factors=8, epochs=3)).fit(data, seed=1, threads=1) if factors else popularity
    members = (Member(scorer, Curve(), 1.0),)
    made = assemble("v<1>", members, popularity, None, n_users=data.users.n, n_items=data.items.n, last_seq=0)
    return indexed(made, data, config), config


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    made, config = deployed()
    told = []
    return report(made, tmp_path_factory.mktemp("v"), DATA, config, queries=40, progress=lambda *one: told.append(one)), told


def test_every_kind_is_tried_at_rising_effort_until_all_is_found(found):
    made, told = found
    assert tuple(dict.fromkeys(p.kind for p in made.points)) == KINDS
    for kind in KINDS[1:]:
        mine = [p for p in made.points if p.kind == kind]
        efforts = [p.effort for p in mine]
        assert efforts == sorted(set(efforts))
        assert all(p.recall < 0.999 for p in mine[:-1])
    assert made.points[0].recall == 1.0
    assert all(0 < p.ms <= p.ms_p99 + 1e-9 for p in made.points)
    assert {what for what, _, _ in told} == {"build", *(f"ask {kind}" for kind in KINDS)}
    assert all(0 <= done <= total for _, done, total in told)
    last = {what: (done, total) for what, done, total in told}
    assert all(done == total for done, total in last.values())


def test_what_scans_without_an_index_is_the_exact_scan(found):
    made, _ = found
    assert made.live == "scan"
    assert [p.kind for p in made.points if p.live] == ["exact"]
    assert made.fastest is min((p for p in made.points if p.recall >= 0.95), key=lambda p: p.ms)


@pytest.mark.parametrize("kind", ["int8", "hnsw", "pq"])
def test_the_live_index_is_a_point_of_its_own(kind, tmp_path):
    made, config = deployed(kind)
    (tmp_path / "index").mkdir()
    made.index.save(tmp_path / "index")
    answers = made.index.search(asking(made.factors.scorer, DATA, config), 30).items
    told = report(made, tmp_path, DATA, config, kinds=("exact", kind), queries=30)
    assert told.live == kind
    assert [(p.kind, p.live) for p in told.points][:2] == [(kind, True), ("exact", False)]
    assert any(p.kind == kind and not p.live for p in told.points)
    after = made.index.search(asking(made.factors.scorer, DATA, config), 30).items
    np.testing.assert_array_equal(answers, after)  # trying efforts left the live graph as it was


def test_users_who_ask_are_not_those_the_build_measured_with():
    made, config = deployed()
    model = made.factors.scorer
    drawn = [{row.tobytes() for row in asking(model, DATA, config, beyond=beyond)} for beyond in (False, True)]
    assert len(drawn[0]) > 300
    assert not drawn[0] & drawn[1]
    few = communities(60, 40)
    small, config = deployed(data=few)
    assert len(asking(small.factors.scorer, few, config, beyond=True)) <= 60 < ASKED


def test_a_user_who_measured_the_build_is_not_asked_after_others_joined():
    measured = set(askers(2 * ASKED, 0, ASKED, beyond=False).tolist())
    assert len(measured) > 300
    for users in (2 * ASKED, 2 * ASKED + 1, 5 * ASKED):
        assert not measured & set(askers(users, 0, 10 * ASKED, beyond=True).tolist())


def test_without_factors_it_says_which_models_have_them(tmp_path):
    made, config = deployed(factors=False)
    with pytest.raises(NotFitted, match="no model of v<1> has factors") as met:
        report(made, tmp_path, DATA, config)
    assert "als" in met.value.hint


def test_nobody_to_ask_and_no_question_are_refused(tmp_path):
    made, config = deployed()
    with pytest.raises(BadUsage, match="--queries"):
        report(made, tmp_path, DATA, config, queries=0)
    nobody = msgspec.structs.replace(DATA, users=catalogue(0))
    with pytest.raises(EmptyData, match="no user"):
        report(made, tmp_path, nobody, config)


def point(kind, recall, ms, effort=None, live=False, size=100.0):
    return Point(kind=kind, effort=effort, recall=recall, ms=ms, ms_p99=2 * ms, bytes_per_vector=size, live=live)


def drawn_from(*points, fastest=None):
    return IndexReport(
        version="v<1>", model="a&b", items=1000, factors=8, users=10, at=100, wanted=0.95, live="hnsw", points=points, fastest=fastest
    )


def test_the_drawing_is_whole_and_puts_faster_left_and_better_up():
    made = drawn_from(point("exact", 1.0, 2.0, live=True), point("hnsw", 0.6, 0.1, 100), point("hnsw", 0.97, 0.4, 400))
    text = drawing(made, alone=True)
    root = ET.fromstring(text)  # noqa: S314 - ours
    dots = [one for one in root.iter("{http://www.w3.org/2000/svg}circle") if one.get("class") == "dot"]
    exact, low, high = [(float(one.get("cx")), float(one.get("cy"))) for one in dots]
    assert low[0] < high[0] < exact[0]
    assert exact[1] == 0 < high[1] < low[1] <= 330
    assert text.count('class="ring"') == 1
    assert "at effort 400: recall 0.9700, 0.400 ms, 100 bytes" in text
    assert not re.search(r"<script|https?://(?!www.w3.org/2000/svg)|url\(", text)


def test_the_page_escapes_names_and_lists_every_point(tmp_path):
    made = drawn_from(point("pq", 0.9, 0.1, 5), point("int8", 1.0, 0.2, 2), fastest=point("int8", 1.0, 0.2, 2))
    text = page(made)
    assert "v<1>" not in text
    assert "a&amp;b" in text
    assert text.count("<tr><td>") == 2
    assert "int8 at effort 2 is the fastest of recall 0.95: 0.200 ms" in text
    assert "nothing reaches" in said(drawn_from(point("pq", 0.9, 0.1, 5)))
    for name in ("a.html", "a.svg"):
        write(made, tmp_path / name)
        assert (tmp_path / name).read_text().startswith(("<!doctype html>", "<svg"))
    with pytest.raises(BadUsage, match="ends in"):
        write(made, tmp_path / "a.png")


def test_a_single_point_and_none_at_all_can_be_drawn():
    assert drawing(drawn_from(point("exact", 1.0, 0.1))).count('class="dot"') == 1
    assert 'class="dot"' not in drawing(drawn_from())


def test_trials_take_the_graph_they_are_given(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    first = next(trials(vectors, IndexConfig(), ("hnsw",), threads=1)).built
    given = next(trials(vectors, IndexConfig(), ("hnsw",), graph=first)).built
    assert given is first
