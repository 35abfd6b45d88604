"""The package's modules as syntax trees, with their imports resolved to the modules of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = "arm_vcpu_cli"
ROOT: Final = Path(__file__).parents[2]
ImportNode = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Module:
    """One source file; ``name`` is dotted, without ``__init__``."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def part(self) -> str:
        """The part of the package that the module belongs to: ``arch``, ``errors``; nothing for the package itself."""
        pieces = self.name.split(".")
        return pieces[1] if len(pieces) > 1 else ""

    def imports(self) -> set[str]:
        """All modules that are imported, wherever in the file; those of the package by their full name."""
        return {name for node in ast.walk(self.tree) if isinstance(node, ImportNode) for name in self._targets(node)}

    def loads(self) -> set[str]:
        """The modules that are imported with this one: not those that only type checkers see."""
        return {
            name for node in _run_at_import(self.tree) if isinstance(node, ImportNode) for name in self._targets(node)
        }

    def _targets(self, node: ImportNode) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            here = self.name.split(".")
            above = len(here) - node.level + int(self.is_package)
            base = ".".join([*here[:above], *([base] if base else [])])
        # `from package import name` may import a module of that name, or a name out of the package itself.
        return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in names() else base for alias in node.names]


def _run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef):
            pending.extend(ast.iter_child_nodes(node))


@cache
def names() -> frozenset[str]:
    """The names of all modules of the package."""
    return frozenset(_name(path) for path in _files())


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package."""
    return tuple(parse(_name(path), path) for path in _files())


def parse(name: str, path: Path, text: str | None = None) -> Module:
    """One module; ``text`` stands in for what the file has."""
    text = path.read_text(encoding="utf-8") if text is None else text
    return Module(name, path, ast.parse(text, str(path)), text.count("\n"))


def _files() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def _name(path: Path) -> str:
    pieces = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)
