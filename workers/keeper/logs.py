"""The node's log: one JSON object per line on stderr, with the trace id, in the control plane's form.

The standard library only, to keep a node small. Facts are passed as `extra={"facts": {…}}`; keys and
URLs with credentials are never among them, and credentials inside a text are blanked all the same.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from apps.kernel.trace import current_trace

_CREDENTIALS: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s'\"]+@")


class JsonLines(logging.Formatter):
    """timestamp, level, logger, event, keeper, trace_id, then the facts."""

    def __init__(self, keeper: str) -> None:
        super().__init__()
        self._keeper = keeper

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "keeper": self._keeper,
            "trace_id": current_trace().trace_id,
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _CREDENTIALS.sub(r"\1[redacted]@", json.dumps(line, default=str, ensure_ascii=False))


def set_up_logging(*, keeper: str, level: str) -> None:
    """Send everything to stderr as JSON lines; chatty libraries speak only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(keeper))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    for name in ("httpx2", "httpcore2", "amqp", "kombu"):
        logging.getLogger(name).setLevel(logging.WARNING)
