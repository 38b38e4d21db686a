"""The shape of the source: short modules, empty packages, documented faces, tests that do not sleep."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.source import PACKAGES, ROOT, functions_of, name_of, python_files, tracked_files, tree_of

MAX_LINES: Final = 400
_FORBIDDEN_NAMES: Final = re.compile(r"(^|_)(utils?|common|misc|helpers?)(_|$)")
_FORBIDDEN_CLASSES: Final = re.compile(r"(Manager|Helper|Util|Utils|Handler|Processor)$")
_SLEEPS: Final = frozenset({"sleep", "sleep_ms"})


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "bench"])
def test_no_module_is_longer_than_400_lines(package):
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files(package)}
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_every_package_is_an_empty_file():
    full = [name_of(path) for path in python_files(*PACKAGES, "tests") if _is_full_init(path)]
    assert not full


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_and_public_name_is_documented(package):
    assert not [place for path in python_files(package) for place in _undocumented(path)]


def test_no_module_or_class_is_named_after_nothing():
    modules = [name_of(path) for path in python_files(*PACKAGES) if _FORBIDDEN_NAMES.search(path.stem)]
    classes = [
        f"{name_of(path)}: {node.name}"
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and _FORBIDDEN_CLASSES.search(node.name)
    ]
    assert not modules + classes


def test_no_test_sleeps():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files("tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and _called_name(node) in _SLEEPS
    ]
    assert not found, "wait for a condition: tests.support.waiting.wait_until\n" + "\n".join(found)


def test_the_names_of_tests_are_sentences():
    short = [
        f"{name_of(path)}: {function.name}"
        for path in python_files("tests")
        if path.name.startswith("test_")
        for function in functions_of(path)
        if function.name.startswith("test_") and function.name.count("_") < 2
    ]
    assert not short, "\n".join(short)


def test_values_are_frozen():
    """A dataclass of a `data` module is frozen, slotted and keyword-only."""
    found = []
    for path in python_files("apps"):
        if path.name != "data.py":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not _is_frozen(node):
                found.append(f"{name_of(path)}: {node.name}")
    assert not found, "\n".join(found)


def test_no_signal_connects_our_own_apps():
    signals = re.compile(r"django\.(db\.models\.signals|dispatch)|import signals")
    assert not [name_of(path) for path in python_files("apps") if signals.search(path.read_text())]


#: paths a sandbox must not reach, and this file
_NAMES_PLACES = {"tests/architecture/test_shape.py", "tests/integration/sandbox/secret_paths.txt"}


def test_no_file_names_the_folder_it_was_made_in_or_a_home():
    places = re.compile(re.escape(f"{ROOT}/").encode() + rb"|/home/[a-z]+/|/root/")
    names = [
        name for name in tracked_files() if Path(name).suffix in (".py", ".md", ".toml", ".txt", ".json")
    ]
    found = [name for name in names if places.search((ROOT / name).read_bytes())]
    assert set(found) <= _NAMES_PLACES, found


def _is_full_init(path: Path) -> bool:
    return path.name == "__init__.py" and path.stat().st_size > 0


def _undocumented(path: Path) -> Iterator[str]:
    tree = tree_of(path)
    if path.name != "__init__.py" and not ast.get_docstring(tree):
        yield f"{name_of(path)}: the module"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{name_of(path)}:{node.lineno} {node.name}"


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _is_frozen(node: ast.ClassDef) -> bool:
    """Whether a class is no dataclass at all, or one with the three marks."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        named = call.func if call else decorator
        if isinstance(named, ast.Name) and named.id == "dataclass":
            marks = {keyword.arg for keyword in (call.keywords if call else ())}
            return {"frozen", "slots", "kw_only"} <= marks
    return True
