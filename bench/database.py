"""A scratch database beside the one a URL names: made for one bench, dropped at its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from bench.errors import ServiceMissing


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database on the server of `url`; raise ServiceMissing."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ServiceMissing(f"{parts.scheme}:// is no PostgreSQL URL (postgresql://user@host:port/name)")
    name = f"forekeep_bench_{os.getpid()}_{os.urandom(3).hex()}"
    _execute(url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield parts._replace(path=f"/{name}").geturl()
    finally:
        _execute(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def backend_pids(url: str) -> list[int]:
    """The server's processes behind the connections to this database, as the server numbers them."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [row[0] for row in rows]


def _execute(url: str, statement: sql.Composed) -> None:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)
    except psycopg.OperationalError as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise ServiceMissing(f"no PostgreSQL at {_shown(url)}: {reason}") from None


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"
