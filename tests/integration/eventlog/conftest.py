"""The sample tables, once per test database."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.eventlog import verification
from tests.support import sample_rows


@pytest.fixture(scope="session")
def _sample_tables(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        sample_rows.create_tables()
    yield
    with django_db_blocker.unblock():
        sample_rows.drop_tables()


@pytest.fixture
def samples(_sample_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test use SampleRow and SampleNote, and the verification know them. Ask for it before `db`."""
    monkeypatch.setattr(
        verification, "_evented_models", lambda: {model.AGGREGATE: model for model in sample_rows.MODELS}
    )


@pytest.fixture
def committed(samples: None, transactional_db: None) -> Iterator[None]:
    """For tests whose transactions really commit."""
    yield
    sample_rows.delete_rows()
