"""Logs: one JSON object per line on stderr, with the trace id, never with a secret.

structlog and the standard library go through the same processors. `redact` is the last one before
rendering: it blanks values under secret-looking names and anything in a text that has the form of an
API key, a bearer token or a URL's credentials.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from apps.kernel.trace import current_trace

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"(?:^|_|-)(?:secret|password|passwd|token|authorization|cookie|api[_-]?key|private[_-]?key|secret[_-]?key"
    r"|credentials?|keystore|basic[_-]?auth)(?:$|_|-)",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    (re.compile(r"\bfk_([A-Za-z0-9]+)_[A-Za-z0-9_-]{16,}"), r"fk_\1_" + REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 " + REDACTED),
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s'\"]+@"), r"\1" + REDACTED + "@"),
    (
        re.compile(
            r"(?i)(private_?key|secret(?:_key)?|passw(?:or)?d|basic_?auth|api_?key)(['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"
        ),
        r"\1\2" + REDACTED,
    ),
)


def redact_text(text: str) -> str:
    """The text with everything that has the form of a secret blanked."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact_value(value: Any) -> Any:
    """The value, its texts and its nested values blanked where they are secret."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            key: REDACTED if _SECRET_NAME.search(str(key)) and item else redact_value(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor."""
    return redact_value(event)  # type: ignore[no-any-return]


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put the running work's trace and span on the line."""
    trace = current_trace()
    event.setdefault("trace_id", trace.trace_id)
    event.setdefault("span_id", trace.span_id)
    return event


_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    add_trace,
]


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """The formatter of every handler."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                structlog.processors.JSONRenderer(default=str),
            ],
        )


def logging_settings(level: str) -> dict[str, Any]:
    """Configure structlog and return the standard library's dictConfig."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    quiet = {"level": max(logging.WARNING, logging.getLevelName(level))}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "project.logging.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "celery.app.trace": quiet,
            "celery.beat": quiet,
            "celery.worker.strategy": quiet,
            "flower.command": quiet,
            # it writes the addresses it sends to, and those hold tokens
            "apprise": {"level": "CRITICAL"},
            "httpx": quiet,
            "httpcore": quiet,
            "httpx2": quiet,
            "httpcore2": quiet,
            "urllib3": quiet,
            "web3": quiet,
            "asyncio": quiet,
            "uvicorn.access": quiet,
        },
    }
