"""Who may see whom: the layers (import-linter) and each app's public face."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import grimp
import pytest

from tests.support.source import PACKAGES, ROOT, name_of, python_files, tree_of

#: What of an app everybody above it may import.
PUBLIC: Final = frozenset({"data", "errors", "models", "selectors", "services"})

#: What else some apps offer to those above them, and why it is not one of the five.
ALSO_PUBLIC: Final[Mapping[str, frozenset[str]]] = {
    # How rows are locked and written is the event store's own service to all apps.
    "eventlog": frozenset(
        {"domain.actor", "domain.forms", "domain.replay", "immutability", "locking", "writing"}
    ),
    # Pure builders of transactions; posting them is one call of the service.
    "ledger": frozenset({"domain.postings"}),
    # The guarded way out and the rules on its addresses.
    "egress": frozenset({"client", "guard", "terms"}),
    # What every REST door shares.
    "gateway": frozenset({"rest"}),
    # Addressing and storing without Django: the keeper node uses them too.
    "content": frozenset({"domain.cid", "store"}),
    # The typed client of the chain, its contracts and its keys; the service that credits deposits.
    "chains": frozenset(
        {"client", "deploy", "deposits", "domain.settlement_abi", "keys", "networks", "registry"}
    ),
    # The port for alerts and its first adapter.
    "keepers": frozenset({"alerts", "ports"}),
    # What a job costs and may do now, the firings that others bring and open, and values a migration of the
    # tasks above was made with; how keepers check what fired; the shape of a job's body, for a dry run.
    "jobs": frozenset(
        {"domain.evidence", "domain.values", "firings", "rest.examples", "rest.serializers", "terms"}
    ),
    # What a script may keep: the same for keepers, for receipts and for the database.
    "storage": frozenset({"domain.updates"}),
    # The pass over a chain's logs and who makes it: the listener's and beat's.
    "watching": frozenset({"asking", "chains", "conditions", "evaluations", "leases"}),
    # All conditions of a poller at once; it wants NumPy, which the keeper node does without.
    "triggers": frozenset({"domain.vectors"}),
    # The one way a task's row is moved by the stages above it, and the look of their admin pages.
    "tasks": frozenset({"changes", "following", "operator_pages"}),
    # Signed assignments: read by the keeper node, re-issued by the stages above.
    "execution": frozenset(
        {
            "admission",
            "attempts",
            "claims",
            "dispatcher",
            "domain.action",
            "domain.receipt",
            "domain.scoring",
        }
    ),
    # Its rules are asked from above: admission decides by them, a cascade is planned over bonds and graph,
    # lineages are stamped on messages.
    "speculation": frozenset(
        {
            "domain.bonds",
            "domain.breaker",
            "domain.case",
            "domain.chains",
            "domain.decision",
            "domain.frontier",
            "domain.graph",
            "domain.lineage",
            "domain.postings",
            "terms",
        }
    ),
    # The prover process and the keeper node live on these: the statement and its witness, its keys, the proof
    # system, the port it fills.
    "proofs": frozenset({"domain.statement", "domain.task_witness", "groth16", "keys", "ports"}),
    # How whatever must not be read in a dump of the tables is sealed, webhooks' own secrets too.
    "vault": frozenset({"sealing"}),
    # Pages are mounted by the project; whoever writes events nudges those who show them.
    "progress": frozenset({"pages.urls", "streams.nudge"}),
}

#: What the keeper node may import of the apps.
NODE_SEES: Final = (
    "apps.kernel",
    "apps.content.store",
    "apps.content.domain",
    "apps.execution.domain.action",
    "apps.jobs.domain.evidence",
    "apps.proofs.domain",
    "apps.speculation.domain.lineage",
    "apps.storage.domain",
)

#: Who may write the rows of other apps: it sets a poison row aside, which is no change of state.
MAY_WRITE: Final = frozenset({"workers/isolation.py"})

#: An import inside a function is excused on its own line, with the reason behind the mark.
EXCUSED: Final = re.compile(r"# noqa: PLC0415 +\S+")

_WRITES: Final = frozenset(
    {
        "abulk_create",
        "acreate",
        "adelete",
        "aupdate",
        "bulk_create",
        "bulk_update",
        "create",
        "delete",
        "get_or_create",
        "update",
        "update_or_create",
    }
)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_every_import_goes_down_the_layers():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_an_apps_private_parts_are_imported_by_nobody_else(graph):
    found = [
        f"{importer} -> {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if not _is_open_to(importer, imported)
    ]
    assert not found, "\n".join(sorted(found))


def test_nothing_is_listed_as_public_that_nobody_uses(graph):
    used = {
        imported.removeprefix("apps.")
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.startswith("apps.") and _app_of(importer) != _app_of(imported)
    }
    idle = [
        f"{app}.{part}"
        for app, parts in ALSO_PUBLIC.items()
        for part in parts
        if not any(name == f"{app}.{part}" or name.startswith(f"{app}.{part}.") for name in used)
    ]
    assert not idle, idle


def test_the_keeper_node_sees_only_the_kernel_values_content_addressing_and_itself(graph):
    found = [
        f"{importer} -> {imported}"
        for importer in graph.modules
        if importer == "workers.keeper" or importer.startswith("workers.keeper.")
        for imported in graph.find_modules_directly_imported_by(importer)
        if not _is_seen_by_node(imported)
    ]
    assert not found, "\n".join(sorted(found))


def test_rows_are_written_only_by_the_app_that_owns_them():
    found = [
        f"{name_of(path)}:{line} writes {model}"
        for path in python_files(*PACKAGES)
        if name_of(path) not in MAY_WRITE
        for model, line in _foreign_writes(path)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "bench"])
def test_no_function_imports(package):
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files(package)
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not EXCUSED.search(path.read_text().splitlines()[node.lineno - 1])
    ]
    assert not found, "\n".join(found)


def _app_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("apps.") else ""


def _is_open_to(importer: str, imported: str) -> bool:
    app = _app_of(imported)
    if not app or app == "kernel" or app == _app_of(importer):
        return True
    part = ".".join(imported.split(".")[2:])
    if part.split(".")[0] in PUBLIC or (importer == "project.urls" and part == "rest.urls"):
        return True
    return any(part == name or part.startswith(f"{name}.") for name in ALSO_PUBLIC.get(app, ()))


def _is_seen_by_node(imported: str) -> bool:
    if imported == "workers.keeper" or imported.startswith("workers.keeper."):
        return True
    if not imported.startswith(PACKAGES):
        return True
    if imported.startswith("apps.") and imported.split(".")[2:] in (["data"], ["errors"]):
        return True
    return any(imported == name or imported.startswith(f"{name}.") for name in NODE_SEES)


def _foreign_writes(path: Path) -> Iterator[tuple[str, int]]:
    """Calls like `Model.objects.filter(…).update(…)` on a model imported from another app."""
    parts = path.relative_to(ROOT).parts
    own = f"apps.{parts[1]}.models" if parts[0] == "apps" else ""
    foreign = {
        alias.asname or alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("apps.")
        and (node.module or "").endswith(".models")
        and node.module != own
        for alias in node.names
    }
    for node in ast.walk(tree_of(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _WRITES
            and _root_of(node.func) in foreign
        ):
            yield str(_root_of(node.func)), node.lineno


def _root_of(node: ast.expr) -> str | None:
    """The name a chain of attributes and calls starts at, where it goes through `objects`."""
    is_manager = False
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        if isinstance(node, ast.Attribute):
            is_manager = is_manager or node.attr in ("objects", "_default_manager")
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if is_manager and isinstance(node, ast.Name) else None
