"""Errors are facts with stable codes: each code means one thing and has one HTTP status."""

import importlib
import re

import pytest

from apps.kernel.errors import DomainError
from project.errors import STATUS_OF_CODE, status_of
from tests.support.source import ROOT, name_of, python_files

for _path in python_files("apps"):
    if _path.name == "errors.py" or _path.parts[-2] == "kernel":
        importlib.import_module(".".join(_path.relative_to(ROOT).with_suffix("").parts))


def kinds(root: type[DomainError]) -> list[type[DomainError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


ALL = sorted(
    {kind for kind in kinds(DomainError) if kind.__module__.startswith("apps.")},
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


def test_a_code_means_the_same_wherever_it_is_raised():
    meanings: dict[str, set[tuple[str, int]]] = {}
    for kind in ALL:
        meanings.setdefault(kind.code, set()).add((kind.title, status_of(kind())))
    assert not {code: found for code, found in meanings.items() if len(found) > 1}


def test_a_status_of_its_own_is_listed_only_for_codes_that_exist():
    assert set(STATUS_OF_CODE) <= {kind.code for kind in ALL}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_error_has_a_code_a_title_a_docstring_and_a_status(kind):
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", kind.code)
    assert kind.title
    assert kind.__doc__
    assert not kind.__name__.endswith(("Error", "Exception")) or kind is DomainError
    assert 400 <= status_of(kind()) < 500 or status_of(kind()) == 503


def test_errors_live_in_their_apps_errors_module():
    homes = {kind.__module__ for kind in ALL}
    files = [name_of(path) for path in python_files("apps") if path.name == "errors.py"]
    allowed = {name.removesuffix(".py").replace("/", ".") for name in files}
    assert not {home for home in homes - allowed if not home.startswith("apps.kernel.")}
