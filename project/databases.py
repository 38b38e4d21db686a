"""SQLite or PostgreSQL from one URL.

SQLite: WAL, immediate transactions (a writer takes its lock at BEGIN, so nothing is upgraded in the
middle and nobody meets "locked" after reading), a long busy timeout, synchronous NORMAL.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from project.env import Database
from project.variables import SettingInvalid

_SQLITE_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA mmap_size=268435456;"
    "PRAGMA cache_size=-65536;"
    "PRAGMA journal_size_limit=67108864;"
)


def database_settings(database: Database) -> dict[str, Any]:
    """The `DATABASES["default"]` of a URL; raise SettingInvalid where it names no database."""
    parts = urlsplit(database.url)
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path), database)
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise SettingInvalid(
            variable="DATABASE_URL",
            given="the URL names no database",
            expected="postgres://user:password@host:port/name or sqlite:///path",
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": database.connection_max_age_seconds,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


def _sqlite(path: str, database: Database) -> dict[str, Any]:
    name = path.removeprefix("/") if path.startswith("//") or path == "/:memory:" else path
    if not name.strip("/"):
        raise SettingInvalid(
            variable="DATABASE_URL", given="the URL names no file", expected="sqlite:///path/to/db.sqlite3"
        )
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": database.connection_max_age_seconds,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": database.busy_timeout_seconds,
            "init_command": _SQLITE_PRAGMAS,
        },
    }
