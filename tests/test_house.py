"""The house stays livable: rooms of bounded size, no circle of imports, no crowded class, function or file.

The numbers are those of the issue that built the rooms; what goes beyond them is split where its concepts part.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("protocol", "sender", "receiver", "talkface_core", "training", "talkface", "benchmarks")
MAX_MODULES = 20
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ATTRIBUTES = 15

FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def statement_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body; the table of a command's options above it and its docstring are not counted."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def attributes(cls: ast.ClassDef) -> set[str]:
    """Names set on self anywhere in a class."""
    return {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def imports(tree: ast.AST) -> set[str]:
    """Our modules that a file imports, functions included: an import put off hides a circle, it does not undo it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(names & MODULES.keys() or {node.module} & MODULES.keys())
    return found


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in FILES}
    crowded = {str(f.relative_to(ROOT)): n for f in folders if (n := len(list(f.glob("*.py"))) - 1) > MAX_MODULES}
    assert not crowded


def test_no_file_is_too_long() -> None:
    assert not {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > MAX_FILE_LINES}


def test_no_function_is_too_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": lines
        for path, tree in TREES.items()
        for function in functions(tree)
        if (lines := statement_lines(function)) > MAX_FUNCTION_LINES
    }
    assert not long


def test_no_class_holds_too_much() -> None:
    crowded = {
        f"{path.relative_to(ROOT)}:{node.name}": len(names)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and len(names := attributes(node)) > MAX_ATTRIBUTES
    }
    assert not crowded


def test_imports_form_no_circle() -> None:
    arrows = {name: imports(TREES[path]) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> None:
        if name in trail:
            pytest.fail("a circle of imports: " + " -> ".join([*trail[trail.index(name) :], name]))
        if name in done:
            return
        for target in sorted(arrows[name]):
            walk(target, [*trail, name])
        done.add(name)

    for name in sorted(arrows):
        walk(name, [])
