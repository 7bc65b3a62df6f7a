"""Vocabularies: rows never change, drafts are seen only once they are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import EngineFault
from recengine.store.vocab import Draft, Vocabulary, valid_id


def test_ids_and_rows_are_the_inverse_of_each_other():
    words = Vocabulary(["a", "b", "c"])
    assert words.rows(["c", "x", "a"]).tolist() == [2, -1, 0]
    assert words.ids(np.array([2, 0], dtype=np.int32)) == ["c", "a"]
    assert (words.row("b"), words.row("x"), words.id(1), len(words)) == (1, -1, "b", 3)
    assert "a" in words
    assert "x" not in words
    assert words.rows([]).dtype == np.int32


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_does_not_exist_is_our_fault(row):
    words = Vocabulary(["a", "b", "c"])
    with pytest.raises(EngineFault):
        words.id(row)
    with pytest.raises(EngineFault):
        words.ids(np.array([0, row], dtype=np.int32))


@given(st.lists(st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True), max_size=5), st.integers(0, 4))
def test_a_draft_numbers_ids_by_first_sight_after_the_committed_ones(batches, committed):
    base = Vocabulary([f"base{k}" for k in range(committed)] + ["a"])
    expected = {name: row for row, name in enumerate([f"base{k}" for k in range(committed)] + ["a"])}
    draft = Draft(base, "user_ids")
    for batch in batches:
        for name in batch:
            expected.setdefault(name, len(expected))
        assert draft.rows(batch).tolist() == [expected[name] for name in batch]
    assert len(base) == committed + 1
    draft.keep()
    assert base.rows(list(expected)).tolist() == list(expected.values())
    assert base.ids(np.arange(len(base), dtype=np.int32)) == list(expected)


def test_a_draft_adds_only_what_is_pointed_to():
    draft = Draft(Vocabulary(["a"]), "user_ids")
    positions = np.array([2, 0, 2])
    assert draft.encoded(positions, ["a", "skipped", "new"], some=True).tolist() == [1, 0, 1]
    assert draft.added == ["new"]


@pytest.mark.parametrize("name", ["a", "x" * 256, "\u00e9" * 128, "with space", "a|b", "0"])
def test_ids_of_up_to_256_bytes_are_fit(name):
    assert valid_id(name)
    assert Draft(Vocabulary(), "user_ids").fit([name, "other"]).tolist() == [True, True]


@pytest.mark.parametrize("name", ["", "x" * 257, "\u00e9" * 129, "a\nb", "a\x00", "\x7f", "\u2028", "a\u200e", "\u202eb", "\u2066", "\u2069", "\u061c", "\ufeffa", None])
def test_other_ids_are_not(name):
    assert name is None or not valid_id(name)
    assert Draft(Vocabulary(), "user_ids").fit(["a", name, "b"]).tolist() == [True, False, True]
