"""Instants as people of a zone read them."""

from datetime import datetime
from zoneinfo import ZoneInfo


def localize(instant: datetime, zone: str) -> str:
    """Day, date, time and the zone's own name of its offset."""
    return f"{instant.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M:%S %Z}"
