"""Whether an inline script is a program of its language at all, and one of bearable size: read, never run.

Python is compiled by this process's Python (the keepers' has to be as new), JavaScript and TypeScript are
parsed by tree-sitter, which takes what the grammar takes: what only an engine refuses (`return` outside of a
function, a name declared twice) fails when the script runs.
"""

import ast
import threading
import warnings
from dataclasses import dataclass
from typing import Final

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Tree

from apps.jobs.domain.values import Language
from apps.jobs.errors import ScriptImportRefused, ScriptSyntaxInvalid, ScriptTooComplex

#: what a script is called in the parser's words; no file has this name
_NAME: Final = "<script>"
#: the filters of warnings are the whole process's
_LOCK: Final = threading.Lock()
_GRAMMARS: Final = {
    Language.JAVASCRIPT: Grammar(tree_sitter_javascript.language()),
    Language.TYPESCRIPT: Grammar(tree_sitter_typescript.language_typescript()),
}
_TITLES: Final = {Language.JAVASCRIPT: "JavaScript", Language.TYPESCRIPT: "TypeScript"}
_QUOTED_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """How complex a script may be.

    `nodes` and `depth` count the named nodes of its syntax tree: some six to a plain line, some three
    levels to a nested block. `line` is in characters.
    """

    nodes: int = 20_000
    depth: int = 128
    line: int = 5_000


def require_program(
    source: str, pointer: str, language: Language = Language.PYTHON, limits: ScriptLimits = ScriptLimits()
) -> None:
    """Raise ScriptSyntaxInvalid or ScriptImportRefused, with line and column, or ScriptTooComplex."""
    if language is Language.PYTHON:
        nodes, depth = _measure_python(_parse_python(source, pointer))
    else:
        tree = Parser(_GRAMMARS[language]).parse(source.encode())
        _require_whole(tree, source, pointer, language)
        _require_alone(tree, source, pointer)
        nodes, depth = _measure_tree(tree)

    line = max(map(len, source.splitlines()), default=0)
    found = {"nodes": (nodes, limits.nodes), "depth": (depth, limits.depth), "line": (line, limits.line)}
    for measure, (value, limit) in found.items():
        if value > limit:
            raise ScriptTooComplex(pointer=pointer, measure=measure, found=value, limit=limit)


def _parse_python(source: str, pointer: str) -> ast.Module:
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, _NAME, "exec", dont_inherit=True)
            return ast.parse(source, _NAME)
    except SyntaxError as exc:
        line, column = exc.lineno or 1, max(exc.offset or 1, 1)
        raise _invalid(pointer, exc.msg, Language.PYTHON, line, column) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as exc:
        reason = f"it cannot be compiled ({type(exc).__name__})"
        raise ScriptSyntaxInvalid(pointer=pointer, reason=reason, language=str(Language.PYTHON)) from None


def _measure_python(module: ast.Module) -> tuple[int, int]:
    """How many nodes there are, and how deep; what only says how a name is used (Load, Store) is none."""
    nodes, depth = 0, 0
    level: list[ast.AST] = list(module.body)
    while level:
        nodes, depth = nodes + len(level), depth + 1
        level = [
            child
            for node in level
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.expr_context | ast.operator | ast.unaryop | ast.boolop | ast.cmpop)
        ]
    return nodes, depth


def _measure_tree(tree: Tree) -> tuple[int, int]:
    """How many named nodes there are below the root, and how deep."""
    nodes, depth, level = 0, 0, tree.root_node.named_children
    while level:
        nodes, depth = nodes + len(level), depth + 1
        level = [child for node in level for child in node.named_children]
    return nodes, depth


def _require_whole(tree: Tree, source: str, pointer: str, language: Language) -> None:
    """Raise ScriptSyntaxInvalid at the first place the grammar could make nothing of."""
    node = tree.root_node
    if not node.has_error:
        return
    while not (node.is_error or node.is_missing):
        node = next(child for child in node.children if child.has_error or child.is_missing)
    if node.is_missing:
        reason = f"{node.type} is missing"
    else:
        text = (node.text or b"").decode("utf-8", "replace").strip().partition("\n")[0]
        reason = f"{text[:_QUOTED_MAX]!r} is not expected" if text else "the end is not expected"
    line, column = _place(node, source)
    raise _invalid(pointer, f"no {_TITLES[language]}: {reason}", language, line, column)


def _require_alone(tree: Tree, source: str, pointer: str) -> None:
    """Raise ScriptImportRefused at the first import or re-export: a sandbox holds one file."""
    for node in tree.root_node.named_children:
        origin = node.child_by_field_name("source")
        if node.type == "import_statement" or (node.type == "export_statement" and origin is not None):
            line, column = _place(node, source)
            name = b"" if origin is None or origin.text is None else origin.text
            module = name.decode("utf-8", "replace").strip("\"'")[:_QUOTED_MAX]
            raise ScriptImportRefused(pointer=pointer, module=module, line=line, column=column)


def _place(node: Node, source: str) -> tuple[int, int]:
    """Line and column, from 1; the parser counts bytes."""
    before = source.encode()[: node.start_byte].decode("utf-8", "replace")
    return node.start_point.row + 1, len(before) - (before.rfind("\n") + 1) + 1


def _invalid(pointer: str, reason: str, language: Language, line: int, column: int) -> ScriptSyntaxInvalid:
    return ScriptSyntaxInvalid(
        pointer=pointer, reason=reason, language=str(language), line=line, column=column
    )
