"""Laws of learning: what a fit depends on and what it leaves alone, and that a saved model comes back as it was."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recengine.errors import BadArtifact, EmptyData, NotFitted
from tests import strategies as make_data
from tests.laws.asking import arrays, asked, everything, fitted, same, score_matrix


def law_threads_do_not_change_a_fit(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    same(fitted(make, data, threads=1).recommend(query, 8, mask), fitted(make, data, threads=2).recommend(query, 8, mask))


def law_a_seed_repeats(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    same(fitted(make, data, seed=3).recommend(query, 8, mask), fitted(make, data, seed=3).recommend(query, 8, mask))


def law_a_fit_forgets_the_one_before(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    again = fitted(make, make_data.communities(20, 33, seed=9))
    assert again.fit(data, seed=0, threads=1) is again
    same(again.recommend(query, 8, mask), fitted(make, data).recommend(query, 8, mask))


def law_progress_reaches_its_end(make, data):
    calls = []
    model = make()
    assert model.fit(data, seed=0, threads=1, progress=lambda done, total: calls.append((done, total))) is model
    assert calls
    assert calls[-1][0] == calls[-1][1] > 0
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def law_nothing_to_learn_is_said(make, data):
    for rows, n_items in (([[], []], 3), ([], 0), ([[(0, -1.0, 0)]], 1)):
        with pytest.raises(EmptyData):
            fitted(make, make_data.training_data(rows, n_items))


def law_an_unfitted_model_says_so(make, data):
    query = asked(data)
    mask = np.ones((len(query.users), data.interactions.n_items), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for ask in (
            lambda: make().recommend(query, 3, mask),
            lambda: make().score(query, *everything(query, 1)),
            lambda: make().explain(query, 0, 0),
            lambda: make().save(Path(folder)),
        ):
            with pytest.raises(NotFitted):
                ask()
        assert list(Path(folder).iterdir()) == []


def law_the_withheld_diagonal_comes_first(make, data):
    """The checkerboard: who likes even items likes the one even item that was withheld. `data` is not used."""
    board = make_data.checkerboard()
    users = list(range(board.interactions.n_users))
    top = fitted(make, board).recommend(make_data.query(board, users), 1, make_data.unseen(board, users))
    np.testing.assert_array_equal(top.items[:, 0], users)


def law_a_loaded_model_answers_the_same_bits(make, data):
    model, query, n_items = fitted(make, data), asked(data), data.interactions.n_items
    mask = np.ones((len(query.users), n_items), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        loaded = type(model).load(model.config, Path(folder))
        for changed in (0, 1):
            query = msgspec.structs.replace(query, changed=np.full(len(query.users), changed, np.uint8))
            top = model.recommend(query, 8, mask)
            same(top, loaded.recommend(query, 8, mask))
            np.testing.assert_array_equal(score_matrix(model, query, n_items), score_matrix(loaded, query, n_items))
        for row in range(len(query.users)):
            if top.items[row, 0] >= 0:
                item = int(top.items[row, 0])
                assert model.explain(query, row, item) == loaded.explain(query, row, item)


def law_a_folder_that_lacks_a_file_is_refused(make, data):
    model = fitted(make, data)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        files = sorted(Path(folder).iterdir())
        assert files
        for file in files:
            content = file.read_bytes()
            for damaged in (None, content[: len(content) // 3], b""):
                file.unlink()
                if damaged is not None:
                    file.write_bytes(damaged)
                with pytest.raises(BadArtifact):
                    type(model).load(model.config, Path(folder))
                file.write_bytes(content)


def law_users_and_items_without_entries_change_no_score(make, data):
    """Visitors and stock that nobody touched say nothing of the rest."""
    n_items = data.interactions.n_items
    alone, among = (
        score_matrix(fitted(make, learned), asked(data), learned.interactions.n_items)[:, :n_items]
        for learned in (data, make_data.widened(data, 13, 9))
    )
    np.testing.assert_allclose(among, alone, rtol=1e-4, atol=1e-5 * np.nan_to_num(np.abs(alone)).max())


def law_inputs_are_only_read(make, data):
    """Read-only arrays are accepted, and nothing that was given is changed."""
    query = asked(data)
    mask = make_data.some_mask(len(query.users), data.interactions.n_items)
    given = [*arrays(data), *arrays(query), mask]
    before = [a.copy() for a in given]
    for a in given:
        a.setflags(write=False)
    try:
        model = fitted(make, data)
        top = model.recommend(query, 5, mask)
        score_matrix(model, query, data.interactions.n_items)
        if top.items[0, 0] >= 0:
            model.explain(query, 0, int(top.items[0, 0]))
    finally:
        for a in given:
            a.setflags(write=True)
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a, b)


def law_a_model_shares_no_memory(make, data):
    """What the caller does with the training data or with an answer, later, is not seen by the model."""
    entries = data.interactions
    own = msgspec.structs.replace(
        data, interactions=msgspec.structs.replace(entries, **{k: getattr(entries, k).copy() for k in ("indptr", "items", "weights", "times")})
    )
    model, query = fitted(make, own), asked(data)
    mask = np.ones((len(query.users), entries.n_items), np.uint8)
    first, scores = model.recommend(query, 8, mask), score_matrix(model, query, entries.n_items)
    kept, kept_scores = msgspec.structs.replace(first, items=first.items.copy(), scores=first.scores.copy()), scores.copy()
    for name in ("indptr", "items", "weights", "times"):
        getattr(own.interactions, name)[:] = 0
    first.items[:] = 0
    first.scores[:] = 0
    scores[:] = 0
    same(kept, model.recommend(query, 8, mask))
    np.testing.assert_array_equal(kept_scores, score_matrix(model, query, entries.n_items))


LAWS = {name.removeprefix("law_"): law for name, law in list(globals().items()) if name.startswith("law_")}
