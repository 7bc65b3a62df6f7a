"""The cuts of the offline spine, by hand: what is learned from, what is held back, and that nothing later leaks."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import Config
from recengine.errors import EmptyData
from recengine.offline import build
from recengine.types import EventColumns
from tests.strategies import catalogue

TYPES = ("interaction", "ignore", "dislike", "view")


def events(rows):
    """Rows of (user, item, time) or (user, item, time, type)."""
    rows = [(*row, "interaction")[:4] for row in rows]
    seq = sorted(range(len(rows)), key=lambda k: (rows[k][0], rows[k][2], k))
    column = lambda part, dtype: np.array([part(rows[k]) for k in seq], dtype)  # noqa: E731
    return EventColumns(
        np.array(seq, np.int64),
        column(lambda r: r[0], np.int32),
        column(lambda r: r[1], np.int32),
        column(lambda r: TYPES.index(r[3]), np.int16),
        np.full(len(rows), np.nan, np.float32),
        column(lambda r: r[2], np.int64),
        TYPES,
    )


def config(**training):
    return msgspec.convert({"training": training}, Config)


def split(rows, n_users=3, n_items=9, after=None, **training):
    return build.split(events(rows), config(**training), catalogue(n_users), catalogue(n_items), after=after)


def targets(part):
    t = part.targets
    return {int(u): t.items[t.indptr[r] : t.indptr[r + 1]].tolist() for r, u in enumerate(t.users)}


def learned(data):
    old = data.interactions
    return {u: sorted(old.items[old.indptr[u] : old.indptr[u + 1]].tolist()) for u in range(old.n_users)}


# user 0 takes up items 0..5 at times 0, 10, .. ; user 1 items 3..8 at 5, 15, ..
TWO = [(0, k, 10 * k) for k in range(6)] + [(1, 3 + k, 10 * k + 5) for k in range(6)]


def test_a_time_split_is_one_moment_for_all_and_both_cuts_are_of_the_latest():
    built = split(TWO, test_share=0.25, validation_share=0.3)
    assert learned(built.test.data) == {0: [0, 1, 2, 3, 4], 1: [3, 4, 5, 6], 2: []}
    assert targets(built.test) == {0: [5], 1: [7, 8]}
    assert learned(built.validation.data) == {0: [0, 1, 2, 3], 1: [3, 4, 5], 2: []}
    assert targets(built.validation) == {0: [4], 1: [6]}
    assert learned(built.everything) == {0: [0, 1, 2, 3, 4, 5], 1: [3, 4, 5, 6, 7, 8], 2: []}
    assert built.test.data.as_of == 40
    assert built.validation.data.as_of == 30
    assert built.report.test_users == 2
    assert built.report.validation_targets == 2


def test_events_of_one_moment_stay_together_on_the_later_side():
    rows = [(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 2, 1), *((0, k, 2) for k in range(2, 6)), (1, 5, 2)]
    built = split(rows, test_share=0.2, validation_share=0.5)
    assert targets(built.test) == {0: [2, 3, 4, 5], 1: [5]}


def test_only_new_items_are_targets_and_a_disliked_one_is_none():
    rows = [*TWO, (0, 0, 90), (0, 7, 91), (1, 0, 92, "dislike"), (1, 1, 93), (1, 1, 94, "dislike")]
    built = split(rows, test_share=0.3)
    assert targets(built.test) == {0: [7]}


def test_what_hides_an_item_is_seen_and_what_does_not_is_not():
    rows = [*TWO, (0, 7, 6, "ignore"), (0, 8, 7, "dislike")]
    part = split(rows, test_share=0.25).test
    mask = build.eligible(part, np.array([0, 2], np.int32))
    assert mask[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert mask[1].all()


def test_leave_last_takes_each_users_newest_item_and_the_one_before():
    rows = [*TWO, (2, 0, 1), (0, 0, 99)]
    built = split(rows, split="leave_last")
    assert targets(built.test) == {0: [5], 1: [8]}
    assert targets(built.validation) == {0: [4], 1: [7]}
    assert learned(built.test.data) == {0: [0, 1, 2, 3, 4], 1: [3, 4, 5, 6, 7], 2: [0]}
    assert learned(built.validation.data) == {0: [0, 1, 2, 3], 1: [3, 4, 5, 6], 2: [0]}


def test_a_random_split_holds_out_a_share_of_each_users_items_whole_and_repeats_itself():
    rows = [(u, i, 10 * u + k) for u in range(3) for i in range(8) for k in range(2)] + [(3, 0, 99)]
    built = split(rows, n_users=4, split="random", test_share=0.25, validation_share=0.34)
    assert {u: len(items) for u, items in targets(built.test).items()} == {0: 2, 1: 2, 2: 2}
    assert {u: len(items) for u, items in targets(built.validation).items()} == {0: 2, 1: 2, 2: 2}
    assert learned(built.test.data)[3] == [0], "a user keeps an item"
    assert targets(split(rows, n_users=4, split="random", test_share=0.25, validation_share=0.34).test) == targets(
        built.test
    )
    assert targets(split(rows, n_users=4, split="random", test_share=0.25, seed=1).test) != targets(built.test)


def test_auto_is_random_where_an_order_that_is_no_time_parts_the_users():
    user_by_user = [(u, i, 10 * u + i) for u in range(10) for i in range(8)]
    assert split(user_by_user, n_users=10, split="auto").report.split == "random"
    mixed = [(u, i, 10 * i + u) for u in range(10) for i in range(8)]
    assert split(mixed, n_users=10, split="auto").report.split == "time"
    stamped = [(u, i, 10**15 + t) for u, i, t in user_by_user]
    assert split(stamped, n_users=10, split="auto", test_share=0.25).report.split == "time"


def test_a_user_without_a_history_is_a_target_too():
    rows = [*TWO, (2, 8, 60)]
    assert targets(split(rows, test_share=0.2).test)[2] == [8]


@pytest.mark.parametrize(
    "rows", [[], [(0, 0, 5)], [(0, k, 5) for k in range(9)], [(0, k, 5, "ignore") for k in range(9)]]
)
def test_too_little_to_learn_or_to_judge_by_is_an_error_that_says_so(rows):
    with pytest.raises(EmptyData):
        split(rows, split="time")


def test_a_type_that_is_not_listed_is_reported():
    columns = events(TWO)
    odd = msgspec.structs.replace(columns, types=("wishlist", *TYPES[1:]))
    built = build.split(odd, config(), catalogue(3), catalogue(9))
    assert built.report.unlisted_types == ("wishlist",)


def test_what_came_after_the_live_deployment_is_held_out_where_it_concerns_enough_users():
    rows = [(u, (u + k) % 40, 100 * k + u) for u in range(60) for k in range(10)]
    late = split(rows, n_users=60, n_items=40, after=899, test_share=0.5)
    assert late.test.data.as_of == 859
    assert late.test.first_seq > max(k for k, row in enumerate(rows) if row[2] <= 0)
    assert all(len(found) == 1 for found in targets(late.test).values())
    few = split(rows, n_users=60, n_items=40, after=930, test_share=0.5)
    assert few.test.data.as_of < 500, "30 users are not enough, so the cut stays where the share puts it"
    early = split(rows, n_users=60, n_items=40, after=10, test_share=0.5)
    assert early.test.data.as_of == few.test.data.as_of, "the live one is older than the cut"


def test_first_seq_is_the_lowest_number_held_out():
    built = split([(0, 8, 1000), *TWO], test_share=0.1, validation_share=0.3)
    assert built.test.first_seq == 0, "an event that arrived first may be the latest in time"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 20), st.sampled_from(TYPES)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(["time", "leave_last", "random"]),
)
def test_no_target_was_met_before_and_no_later_event_is_learned_from(rows, how):
    try:
        built = split(rows, n_users=5, n_items=7, split=how, test_share=0.3, validation_share=0.3)
    except EmptyData:
        return
    for part in (built.validation, built.test):
        mask = build.eligible(part, part.targets.users)
        for row, (user, items) in enumerate(targets(part).items()):
            assert mask[row, items].all()
            assert not set(items) & set(learned(part.data)[user])
            assert items
    assert learned(built.validation.data).keys() == learned(built.test.data).keys()
    for user, items in learned(built.validation.data).items():
        assert set(items) <= set(learned(built.test.data)[user]) | {r[1] for r in rows if r[0] == user}
    if how == "time":
        for user, items in targets(built.test).items():
            times = [t for u, i, t, _ in rows if u == user and i in items]
            assert min(times) > built.test.data.as_of


def test_rows_are_taken_with_their_latest_entries():
    indptr = np.array([0, 3, 3, 5], np.int64)
    rows, at = build.take(indptr, np.array([2, 0, 1, 0], np.int32), 2)
    assert rows.tolist() == [0, 2, 4, 4, 6]
    assert at.tolist() == [3, 4, 1, 2, 1, 2]


def test_a_query_holds_the_histories_in_order():
    data = split(TWO, test_share=0.25).test.data
    asked = build.query(data, np.array([1, 2, 0], np.int32), limit=3)
    assert asked.history.indptr.tolist() == [0, 3, 3, 6]
    assert asked.history.items.tolist() == [4, 5, 6, 2, 3, 4]
    assert asked.now == data.as_of
