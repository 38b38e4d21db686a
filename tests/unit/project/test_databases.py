"""One URL says which database; SQLite is told to behave under several writers."""

import pytest

from project.databases import database_settings
from project.env import Database
from project.variables import SettingInvalid


def database(url: str) -> dict:
    return database_settings(Database(url=url))


def test_a_sqlite_url_gives_immediate_transactions_wal_and_a_busy_timeout():
    found = database("sqlite:////srv/forekeep/db.sqlite3")
    assert found["NAME"] == "/srv/forekeep/db.sqlite3"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert found["OPTIONS"]["timeout"] == 30
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]
    assert "synchronous=NORMAL" in found["OPTIONS"]["init_command"]


def test_three_slashes_and_a_path_from_the_root_name_the_same_file():
    assert database("sqlite:////srv/db")["NAME"] == "/srv/db"
    assert database("sqlite:///srv/db")["NAME"] == "/srv/db"


def test_a_postgres_url_is_taken_apart_and_unquoted():
    found = database("postgres://me:p%40ss@db.example:5433/forekeep?sslmode=require")
    assert found["ENGINE"] == "django.db.backends.postgresql"
    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("me", "p@ss", "db.example")
    assert (found["PORT"], found["NAME"], found["OPTIONS"]) == ("5433", "forekeep", {"sslmode": "require"})


@pytest.mark.parametrize("url", ["postgres://localhost", "postgres://localhost/", "sqlite://", "sqlite:///"])
def test_a_url_that_names_no_database_is_refused(url):
    with pytest.raises(SettingInvalid, match="DATABASE_URL"):
        database(url)
