"""What the configuration says of event types and values reaches the replies of a live engine, for every kind that weighs.

Two communities of taste, and users with one item of each: they are shown the rest of the one that counts more for
them, and of the other one when the weights in `recengine.toml`, or the ratings in the data, are turned round.
"""

import pyarrow as pa
import pytest

from recengine import Engine

SETTINGS = {
    "als": "factors = 4\nepochs = 8\nregularization = 0.01",
    "bpr": "factors = 8\nepochs = 100\nhardest_of = 1\nregularization = 0.05",
}
ASKED = [f"a{u}" for u in range(6)]


def configured(kind, *types):
    events = "".join(f"[[event]]\n{keys}\n" for keys in types)
    model = f'[[model]]\nkind = "{kind}"\ntime_budget_ms = 100000\nconfidence_threshold = 0.0\n{SETTINGS[kind]}\n'
    rest = '[[model]]\nkind = "popularity"\nweight = 0.0\n[serving]\ncold_below = 1\n'
    return f'{model}{rest}[training]\nsplit = "random"\ntest_share = 0.2\nvalidation_share = 0.2\ntune_blend = false\n{events}'


def share_of_left(path, toml, left, right):
    """Train on the two communities and on who did `left` (type, value) in one and `right` in the other; ask these."""
    rows = [(f"{side}{u}", f"{side}{i}", "look", None) for side in "lr" for u in range(12) for i in range(6) if (u + i) % 6]
    rows += [(user, f"{side}{u}", *did) for u, user in enumerate(ASKED) for side, did in (("l", left), ("r", right))]
    users, items, types, values = zip(*rows, strict=True)
    stamps = [1_750_000_000 + 60 * k for k in range(len(rows))]
    events = {"user_id": users, "item_id": items, "type": types, "value": pa.array(values, pa.float64()), "timestamp": stamps}
    path.mkdir()
    (path / "recengine.toml").write_text(toml)
    with Engine.open(path, create=True) as engine:
        engine.ingest(events=pa.table(events))
        engine.train(threads=1, force=True)
        replies = [engine.recommend(user, n=1, diversity=0.0) for user in ASKED]
    assert not any(reply.cold for reply in replies)
    return sum(reply.items[0].item_id.startswith("l") for reply in replies) / len(replies)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_weight_of_an_event_type_turns_replies_round(kind, tmp_path):
    buy, look = ('type = "{}"\nweight = {}'.format(*pair) for pair in (("buy", 8.0), ("look", 1.0)))
    dear = share_of_left(tmp_path / "dear", configured(kind, buy, look), ("buy", None), ("look", None))
    buy, look = ('type = "{}"\nweight = {}'.format(*pair) for pair in (("buy", 1.0), ("look", 8.0)))
    cheap = share_of_left(tmp_path / "cheap", configured(kind, buy, look), ("buy", None), ("look", None))
    assert dear > 0.8
    assert cheap < 0.2


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_rating_turns_replies_round(kind, tmp_path):
    toml = configured(kind, 'type = "rate"\nweight = 8.0\nvalue_neutral = 2.5\nvalue_full = 5.0', 'type = "look"')
    left = share_of_left(tmp_path / "left", toml, ("rate", 5.0), ("rate", 2.6))
    right = share_of_left(tmp_path / "right", toml, ("rate", 2.6), ("rate", 5.0))
    assert left > 0.8
    assert right < 0.2


def test_a_rating_without_a_scale_turns_nothing(tmp_path):
    """The control: where values do not count, turning them round changes no reply."""
    toml = configured("als", 'type = "rate"\nweight = 8.0', 'type = "look"')
    left = share_of_left(tmp_path / "left", toml, ("rate", 5.0), ("rate", 2.6))
    assert left == share_of_left(tmp_path / "right", toml, ("rate", 2.6), ("rate", 5.0))
