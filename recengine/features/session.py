"""Features of the current visit; `read_user` of `features/user.py` reads them with the user's own.

Below both spines. A visit is a run of events with no longer than `session_minutes` between one and the next; it is the
current one while its last event is no older than that. Else a new visit begins, and all of these are 0. Of long visits
the latest `history` events count.
"""

__all__ = ("SESSION_VALUES",)

SESSION_VALUES = (
    "session_hours",
    "session_views",
    "session_interactions",
    "session_conversions",
    "session_position",
)
"""What is read of the visit at t.

session_hours          from its first event to t
session_views          events engaged in that are views
session_interactions   those that are neither views nor conversions
session_conversions    those that are conversions
session_position       events of any kind
"""
