"""What kernels count from events, by family and in the order of their columns: names, meanings, usual transforms.

Below both spines; `builtin.py` makes features of these lines. A name with {w1}, {w2} or {w3} stands for the windows of
`features.windows`. `params` are what a value rests on besides events: a change of any of these is another version.
"""

from typing import Literal, NamedTuple

from recengine.config import TransformKind

__all__ = ("CONTEXT", "FAMILIES", "ITEM", "PAIR", "SESSION", "USER", "Family", "Line")

Family = Literal["item", "user", "session", "pair", "context"]


class Line(NamedTuple):
    """One value of a family."""

    value: str
    """Its name among the values of the family; the feature's name, once windows are put in."""
    params: tuple[str, ...]
    transform: TransformKind
    note: str
    domain: Literal["", "category", "brand", "device", "location", "referrer"] = ""
    """Of a category: whose labels its codes count."""


ITEM = (
    Line("item_engaged_{w1}", ("w1",), "log", "events that engaged with the item in {w1}"),
    Line("item_engaged_{w2}", ("w2",), "log", "events that engaged with the item in {w2}"),
    Line("item_engaged_{w3}", ("w3",), "log", "events that engaged with the item in {w3}"),
    Line("item_engaged", (), "log", "events that ever engaged with the item"),
    Line("item_converted_{w2}", ("w2",), "log", "conversions of the item in {w2}"),
    Line("item_converted_{w3}", ("w3",), "log", "conversions of the item in {w3}"),
    Line("item_conversion_{w3}", ("w3",), "standard", "conversions an engagement in {w3}, drawn to all items' rate"),
    Line("item_trend", ("w2", "w3"), "robust", "events a day in {w2} less those a day in the rest of {w3}"),
    Line("item_decayed", ("half_life",), "log", "events, each half as much after every half-life, eight of them back"),
    Line("item_freshness", (), "log", "days since the item was first known"),
    Line("item_idle", (), "log", "days since an event last engaged with the item"),
    Line("item_rating", (), "standard", "mean rating, drawn to the mean of all ratings by 5 of them"),
    Line("item_ratings", (), "log", "ratings"),
)
USER = (
    Line("user_events_{w1}", ("w1", "history"), "log", "engagements of the user in {w1}"),
    Line("user_events_{w2}", ("w2", "history"), "log", "engagements of the user in {w2}"),
    Line("user_events_{w3}", ("w3", "history"), "log", "engagements of the user in {w3}"),
    Line("user_events", (), "log", "engagements of the user"),
    Line("user_idle", (), "log", "days since the user's last event"),
    Line("user_tenure", (), "log", "days since the user's first event"),
    Line("user_spend_{w3}", ("w3", "history"), "log", "amounts of the user's conversions in {w3}"),
    Line("user_spend", (), "log", "amounts of the user's conversions"),
    Line("user_conversion", ("history",), "standard", "share of the user's engagements that were conversions"),
    Line("user_diversity", ("history", "category"), "standard", "entropy of the user's categories, bits"),
    Line("user_category", ("history", "category"), "onehot", "the user's commonest category", "category"),
    Line("user_category_share", ("history", "category"), "standard", "its share of the user's engagements"),
    Line("user_brand", ("history", "brand"), "target", "the user's commonest brand", "brand"),
    Line("user_price", ("history", "price"), "log", "mean price of what the user engaged with"),
    Line("user_rating", ("history",), "standard", "mean rating that the user gave"),
    Line("user_hours", ("history",), "standard", "share of the user's engagements in this quarter of the day, UTC"),
    Line("user_bounce", ("history", "session"), "standard", "share of the user's visits with one event"),
)
SESSION = (
    Line("session_hours", ("history", "session"), "log", "hours since the visit began"),
    Line("session_views", ("history", "session"), "log", "views in the visit"),
    Line("session_interactions", ("history", "session"), "log", "what in the visit is neither view nor conversion"),
    Line("session_conversions", ("history", "session"), "log", "conversions in the visit"),
    Line("session_position", ("history", "session"), "log", "events in the visit so far"),
)
PAIR = (
    Line("pair_events", ("history",), "log", "engagements of the user with the item"),
    Line("pair_idle", ("history",), "log", "days since the last of these"),
    Line("category_events", ("history", "category"), "log", "engagements of the user with the item's category"),
    Line("category_share", ("history", "category"), "standard", "their share of the user's engagements"),
    Line("category_idle", ("history", "category"), "log", "days since the last of these"),
    Line("brand_events", ("history", "brand"), "log", "engagements of the user with the item's brand"),
    Line("brand_idle", ("history", "brand"), "log", "days since the last of these"),
    Line("pair_covisits", ("anchors",), "log", "how others go from the user's latest items to it"),
)
"""The last one is counted by `covisits`, the others by `trails`."""
CONTEXT = (
    Line("context_hour", (), "cyclic", "hour of the day, UTC"),
    Line("context_weekday", (), "cyclic", "day of the week, 0 = Monday"),
    Line("context_weekend", (), "none", "1 on Saturday and Sunday"),
    Line("context_season", (), "cyclic", "day of the year, 0 = the first of January"),
    Line("context_device", (), "onehot", "`device` of the request's context", "device"),
    Line("context_location", (), "onehot", "`location` of the request's context", "location"),
    Line("context_referrer", (), "onehot", "`referrer` of the request's context", "referrer"),
    Line("context_position", (), "log", "`position` of the request's context"),
)
FAMILIES: dict[Family, tuple[Line, ...]] = {
    "item": ITEM,
    "user": USER,
    "session": SESSION,
    "pair": PAIR,
    "context": CONTEXT,
}
