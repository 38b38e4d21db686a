"""A process that dies at a statement: the n-th one a piece of work sends fails; what is left is looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import OperationalError, connection

_LABELS = (
    "accounts",
    "attestation",
    "chains",
    "eventlog",
    "execution",
    "jobs",
    "keepers",
    "ledger",
    "proofs",
    "rollback",
    "settlement",
    "speculation",
    "tasks",
)


class Crash(OperationalError):
    """The connection is gone."""


@contextmanager
def crash_at(number: int) -> Iterator[None]:
    """Let the statement of this number (from 1) fail, and only that one."""
    sent = 0

    def count(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == number:
            raise Crash(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        yield


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for label in _LABELS
        for model in apps.get_app_config(label).get_models()
    }


def crash_everywhere(work: Callable[[], Any]) -> tuple[int, Any]:
    """Do the work once for each of its statements, failing there, and then to its end.

    Returns how many statements it has, and what it returned. Fails where a crash left anything behind, or
    where something was changed by no statement at all.
    """
    before = everything()
    number = 0
    while True:
        number += 1
        try:
            with crash_at(number):
                result = work()
        except Crash as crash:
            sql = str(crash)
        else:
            assert everything() != before, "the work changed nothing"
            return number - 1, result
        changed = [label for label, rows in everything().items() if rows != before[label]]
        assert not changed, f"a crash at statement {number} left {changed} changed: {sql}"
