"""Rules about text: one module makes it printable, and everything for people to read passes through that module."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from .source import PACKAGE, Module

OWNER: Final = f"{PACKAGE}.printable"

WRITERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cli.output": OWNER,
        "cli.progress": OWNER,
        "cli.help": OWNER,
        "cli.stat": f"{PACKAGE}.cli.stat_view",
        "cli.stat_view": OWNER,
        "cli.stat_terminal": f"{PACKAGE}.cli.cells",
        "cli.probe": f"{PACKAGE}.cli.cells",
        "cli.cells": OWNER,
        "cli.suite_terminal": OWNER,
        "cli.report": f"{PACKAGE}.trace.htmlpage",
        "cli.trace": f"{PACKAGE}.trace.sinks",
        "trace.htmlpage": OWNER,
        "trace.htmltable": OWNER,
        "trace.text": OWNER,
        "trace.ftrace": OWNER,
        "trace.jsonlines": "json",
        "trace.chrome": "json",
    }
)
"""Who writes text for people to a stream, and what that module has to use: the owner or another writer, or JSON, which
has an escape for everything."""
BYTES: Final = frozenset(
    {
        "host.console_output",
        "host.watchdog",
        "probe.el0_registers",
        "suite.kept_console",
        "suite.worker",
        "trace.patience",
        "vm.semihosting.handles",
        "__main__",
    }
)
"""Who writes bytes to a descriptor: the guest's console, a copy of it, a pipe of our own, code into memory, and one
constant line."""
HANDED_ON: Final = frozenset({"trace.output_stream", "cli.overwriting"})
"""Who opens or looks at standard streams for others and writes nothing to them."""
STREAMS: Final = frozenset({"stdout", "stderr", "__stdout__", "__stderr__"})
HARMLESS_METHODS: Final = frozenset({"isatty", "fileno", "flush", "reconfigure", "buffer"})
"""What a standard stream may be asked by anybody; its ``buffer`` takes bytes only."""
HARMLESS_CALLS: Final = frozenset({"colours", "has_blocks", "null_stream"})
"""Functions that look at a stream, or open one."""
HANDLERS: Final = frozenset({"replace", "ignore", "backslashreplace", "namereplace", "surrogateescape"})
REPLACEMENT: Final = "\ufffd"


def own_replacement(module: Module) -> Iterator[str]:
    """Modules that make text printable in a way of their own."""
    if module.name == OWNER:
        return
    for node in ast.walk(module.tree):
        where = f"{module.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and node.attr == "isprintable":
            yield f"{where}: {node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _replaces(node.value):
            yield f"{where}: {node.value!r}"
        elif isinstance(node, ast.Attribute) and node.attr == "category" and "unicodedata" in ast.dump(node.value):
            yield f"{where}: unicodedata.category"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode":
            said = [*node.args[1:], *(keyword.value for keyword in node.keywords if keyword.arg == "errors")]
            if any(isinstance(each, ast.Constant) and each.value in HANDLERS for each in said):
                yield f"{where}: decodes what is no text"


def _replaces(text: str) -> bool:
    return REPLACEMENT in text or text in ("unicode_escape", "unicode-escape")


def own_output(module: Module) -> Iterator[str]:
    """Ways to standard output and error that pass by what makes text printable."""
    short = module.name.removeprefix(f"{PACKAGE}.")
    uses = WRITERS.get(short)
    if uses is not None:
        if uses not in module.imports():
            yield f"{module.name} writes text and does not use {uses}"
        return
    harmless = _harmless(module.tree)
    for node in ast.walk(module.tree):
        where = f"{module.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) in {("click", "echo"), ("click", "secho"), ("os", "write")} or (
                    node.module == "sys" and alias.name in STREAMS
                ):
                    yield f"{where}: imports {alias.name}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            if any(target == "rich.text" for target in module.imports()):
                yield f"{where}: makes text for tables"
        elif _is_stream(node) and node not in harmless and short not in HANDED_ON:
            yield f"{where}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and _writes(node.func, short):
            yield f"{where}: {ast.unparse(node.func)}"


def _harmless(tree: ast.Module) -> set[ast.AST]:
    """The mentions of standard streams by which nothing is written."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in HARMLESS_METHODS:
            found.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HARMLESS_CALLS:
            found.update(node.args)
        elif isinstance(node, ast.Assign) and _is_stream(node.targets[0]):
            # A stream that was closed gets the null device.
            found.update(each for each in ast.walk(node) if _is_stream(each))
    return found


def _is_stream(node: ast.AST) -> bool:
    is_of_sys = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    return is_of_sys and isinstance(node, ast.Attribute) and node.attr in STREAMS


def _writes(function: ast.expr, module: str) -> bool:
    if isinstance(function, ast.Name):
        return function.id == "print"
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value)
    if owner == "click":
        return function.attr in ("echo", "secho", "echo_via_pager")
    if owner == "os":
        return function.attr == "write" and module not in BYTES
    return function.attr in ("write", "writelines") and owner.rstrip("_").lower().endswith("stream")


def raw_errors(module: Module) -> Iterator[str]:
    """Errors that say what they have to say without making it printable."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef) or not any(_is_error(base) for base in node.bases):
            continue
        for method in node.body:
            is_text = isinstance(method, ast.FunctionDef) and method.name == "__str__"
            if is_text and not any(_calls(each, "printable_message") for each in ast.walk(method)):
                yield f"{module.name}:{method.lineno}: {node.name}.__str__"


def _is_error(base: ast.expr) -> bool:
    return ast.unparse(base).endswith(("Error", "Exception"))


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
