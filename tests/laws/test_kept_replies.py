"""The law of the reply cache, by a state machine: what is kept is what would be computed now, or it is not served."""

import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from recengine import Engine, Request, Response
from recengine.config import Config, Serving, Training
from tests.laws.world import patient

ENTRIES = 20
CONFIG = Config(
    model=patient(Config().model),
    candidates=patient(Config().candidates),
    training=Training(tune_blend=False),
    serving=Serving(cache_entries=ENTRIES),
)
USERS, ITEMS = ["u0", "u1", "stranger"], [f"i{k}" for k in range(9)]
WISHES = [
    {},
    {"filter": 'category == "a"'},
    {"exclude_seen": False, "n": 4},
    {"exclude_seen": False},
]
users, items = st.sampled_from(USERS), st.sampled_from([*ITEMS, "fresh"])
_home = None


def home():
    """A shop with two deployments, made once."""
    global _home  # noqa: PLW0603 - a state machine takes no fixtures
    if _home is None:
        _home = Path(tempfile.mkdtemp()) / "shop"
        with Engine.open(_home, create=True, config=CONFIG) as engine:
            for part in range(2):
                engine.ingest(
                    events=[
                        {
                            "user_id": f"u{u}",
                            "item_id": f"i{(u * 5 + k * (part + 1)) % 9}",
                            "type": "purchase",
                            "timestamp": 1_760_000_000 + part * 90_000 + u * 100 + k,
                        }
                        for u in range(24)
                        for k in range(5)
                    ],
                    items=[{"item_id": i, "category": "abc"[k % 3]} for k, i in enumerate(ITEMS)],
                    users=[{"user_id": u, "country": "xy"[k % 2]} for k, u in enumerate(USERS[:-1])],
                )
                engine.train(force=True)
    return _home


def told(body):
    """A reply without what differs from one time to the next."""
    return msgspec.structs.replace(msgspec.json.decode(body, type=Response), request_id="")


class KeptReplies(RuleBasedStateMachine):
    """Anything may happen between a reply that is kept and the next request for it."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp()) / "shop"
        shutil.copytree(home(), self.folder)
        self.engine = Engine.open(self.folder, config=CONFIG)
        self.asked = {
            f"{user} {wish}".encode(): msgspec.convert({"user_id": user, **WISHES[wish]}, Request)
            for user in USERS
            for wish in range(len(WISHES))
        }
        self.names = set()

    @rule(user=users, item=items, kind=st.sampled_from(["view", "purchase"]))
    def look(self, user, item, kind):
        self.engine.record({"user_id": user, "item_id": item, "type": kind})

    @rule(user=users, item=items, kind=st.sampled_from(["block", "dislike"]))
    def click(self, user, item, kind):
        self.engine.record({"user_id": user, "item_id": item, "type": kind})

    @rule(item=items, available=st.booleans())
    def stock(self, item, available):
        self.engine.put_items([{"item_id": item, "available": available}], merge=True)

    @rule(item=items, category=st.sampled_from("abcd"))
    def describe(self, item, category):
        self.engine.put_items([{"item_id": item, "attributes": {"category": category}}])

    @rule(user=users, country=st.sampled_from("xyz"))
    def move(self, user, country):
        self.engine.put_users([{"user_id": user, "attributes": {"country": country}}])

    @rule(user=users, granted=st.booleans())
    def consent(self, user, granted):
        self.engine.consent(user, "personalisation", granted=granted)

    @rule(user=users)
    def forget(self, user):
        self.engine.forget(user)

    @rule()
    def swap(self):
        versions = self.engine.artifacts.list_versions()
        live = self.engine.artifacts.current()
        self.engine.promote(next(v for v in versions if v != live))

    @rule(user=users, item=items)
    def ingest(self, user, item):
        self.engine.ingest(events=[{"user_id": user, "item_id": item, "type": "view", "timestamp": 1_770_000_000}])

    @invariant()
    def what_is_kept_is_what_would_be_computed(self):
        """After every step ask everything, and keep what had to be computed."""
        for key, request in getattr(self, "asked", {}).items():
            body = self.engine.cached(key)
            if body is None:
                body = self.engine.reply(request, key)
                assert self.engine.cached(key) is not None, "kept, for nothing happened since"
            else:
                now = msgspec.structs.replace(self.engine.recommend(request), request_id="")
                assert told(body) == told(msgspec.json.encode(now))
            name = msgspec.json.decode(body)["request_id"]
            assert name not in self.names, "every reply has a name of its own"
            self.names.add(name)

    @invariant()
    def the_cache_is_bounded(self):
        if hasattr(self, "engine"):
            assert self.engine.facts()["replies kept"] <= ENTRIES

    def teardown(self):
        if hasattr(self, "engine"):
            self.engine.close()
            shutil.rmtree(self.folder.parent)


TestKeptReplies = KeptReplies.TestCase
TestKeptReplies.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
