"""The alert port's default: a line in the log. Mail and messengers come in through the same port."""

from collections.abc import Sequence

import structlog

from apps.keepers.data import OfflineKeeper

_log = structlog.get_logger("forekeep.keepers")


class LogAlerts:
    """Writes one warning per keeper."""

    def send(self, keepers: Sequence[OfflineKeeper]) -> None:
        """Log each keeper that went offline; contact details stay out of the log."""
        for keeper in keepers:
            _log.warning(
                "keeper went offline",
                keeper=keeper.address,
                name=keeper.name,
                last_checkin_at=keeper.last_checkin_at,
            )
