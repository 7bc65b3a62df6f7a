"""Which moments an event can have, and in which zone those stand that name none.

Made once from `[cleaning]`; asked by ingest and by the door of live events, so that both read a clock alike.
"""

from datetime import UTC, datetime, tzinfo
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from recengine.config.sources import Cleaning
from recengine.config.spans import microseconds

__all__ = ("Moments",)


class Moments(NamedTuple):
    """What `[cleaning]` says of moments."""

    zone: tzinfo
    earliest: int
    """In microseconds; a moment before it is impossible."""
    ahead: int
    """Microseconds by which a moment may lie in the future."""
    early: str
    """What is wrong with one before, in words."""
    late: str

    @classmethod
    def of(cls, cleaning: Cleaning) -> Self:
        """Read the section."""
        zone = UTC if cleaning.timezone == "UTC" else ZoneInfo(cleaning.timezone)
        start = datetime.fromisoformat(cleaning.earliest).replace(tzinfo=UTC)
        return cls(
            zone,
            int(start.timestamp()) * 1_000_000,
            microseconds(cleaning.ahead),
            f"lies before {cleaning.earliest}",
            f"lies more than {cleaning.ahead} in the future",
        )

    def microseconds_of(self, moment: datetime) -> int:
        """Turn a moment into microseconds since 1970.

        Without a zone it is a time of the clocks in `zone`: in the hour that they repeat, the second one is meant; in
        the hour that they skip, the time that a clock which nobody put forward would show. DuckDB decides so too.
        """
        if moment.tzinfo is not None or self.zone is UTC:
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(aware.timestamp() * 1e6)
        aware = moment.replace(tzinfo=self.zone)
        return round(max(aware.replace(fold=0).timestamp(), aware.replace(fold=1).timestamp()) * 1e6)
