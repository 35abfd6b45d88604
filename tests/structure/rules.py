"""The rules of the package's structure, as functions from modules to violations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import Final

from .source import PACKAGE, ImportNode, Module

MAX_LINES: Final = 400

ANY: Final = "*"
GROUND: Final = frozenset({"errors", "record", "saved", "printable", "file_paths", "sizes", "arch"})
"""What every part may stand on that models or tells something."""

LAYERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "file_paths": frozenset(),
        "printable": frozenset({"file_paths"}),
        "errors": frozenset({"file_paths", "printable"}),
        "record": frozenset(),
        "saved": frozenset(),
        "sizes": frozenset(),
        "code_archive": frozenset(),
        "version": frozenset(),
        "arch": frozenset({"errors", "record"}),
        "axvcpu": frozenset({"errors", "record"}),
        "engine": frozenset({"errors", "record", "arch"}),
        "devices": frozenset({"errors", "record", "saved", "arch"}),
        "guest": GROUND,
        "trace": GROUND,
        "arm_vcpu": frozenset({"errors", "record", "saved", "arch", "axvcpu", "engine"}),
        "board": GROUND | {"axvcpu", "devices", "guest", "arm_vcpu"},
        "host": GROUND | {"axvcpu", "engine", "arm_vcpu"},
        "vm": GROUND | {"axvcpu", "engine", "devices", "guest", "trace", "arm_vcpu", "board", "host"} | {"version"},
        "probe": GROUND | {"axvcpu", "engine", "arm_vcpu", "board", "host"},
        "observe": GROUND | {"axvcpu", "engine", "devices", "guest", "trace", "arm_vcpu", "board", "host", "vm"},
        "inspect": GROUND
        | {"axvcpu", "engine", "devices", "guest", "trace", "arm_vcpu", "board", "host", "vm", "observe"},
        "api": GROUND
        | {"axvcpu", "engine", "devices", "guest", "arm_vcpu", "board", "host", "vm", "observe", "inspect"},
        "debug": GROUND
        | {"axvcpu", "engine", "devices", "guest", "trace", "arm_vcpu", "board", "host", "vm", "observe", "inspect"}
        | {"api"},
        "suite": GROUND | {"axvcpu", "guest", "trace", "board", "host", "vm", "observe", "inspect", "api", "debug"},
        "pytest_plugin": GROUND | {"trace", "board", "host", "vm", "observe", "inspect", "api", "version"},
        "cli": frozenset({ANY}),
        "": frozenset({ANY}),
        "__main__": frozenset({"cli", "code_archive"}),
    }
)
"""What each part may import beside itself."""

ENGINE_PORT: Final = frozenset({f"{PACKAGE}.engine.port", f"{PACKAGE}.engine.layout"})
"""The modules of the engine that anybody but the engine itself may know."""
ENGINE_USERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        f"{PACKAGE}.host.machine_host": frozenset(
            {f"{PACKAGE}.engine.{name}" for name in ("levers", "unicorn_api", "unicorn_core")}
        ),
        f"{PACKAGE}.vm.builder": frozenset({f"{PACKAGE}.engine.unicorn_core"}),
    }
)
"""Who may choose an engine: the host of a machine, and the composition root."""

COMMANDS: Final = frozenset(
    {"debug", "diff", "dtb", "explain", "probe", "report", "run", "snapshot", "stat", "trace", "walk"}
)
"""Modules of the command line are called like their command, and the part that does its work may be too."""
ROLES: Final = frozenset({"registers"})
"""Names that say what a module is in its folder, and the same in each."""
SHARED_NAMES: Final = frozenset({"arch", "identification", "platform", "syndrome", "vcpu", "watch"})
"""All other names that more than one module has."""

THIRD_PARTY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "unicorn": (f"{PACKAGE}.engine.unicorn_api",),
        "click": (f"{PACKAGE}.cli",),
        "rich": (f"{PACKAGE}.cli",),
        "elftools": (f"{PACKAGE}.guest",),
        "tomli": (f"{PACKAGE}.board",),
        "zstandard": (f"{PACKAGE}.trace", f"{PACKAGE}.guest.zstd"),
        "pytest": (f"{PACKAGE}.pytest_plugin",),
        "capstone": (f"{PACKAGE}.inspect.postmortem.disassembly",),
    }
)
"""Where each library may be imported: those modules, and below those packages."""

ARCHITECTURE_WORDS: Final = ("aarch64", "arm64", "armv8", "el1", "el2", "hcr", "esr", "gic", "psci", "smccc")
GIC_WORDS: Final = ("gic", "gicv2", "gicv3", "redistributor", "distributor")
NEUTRAL: Final = "axvcpu"

MUTABLE: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS: Final = frozenset(
    {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict", "count", "iter"}
)
CONSTANT_TYPES: Final = frozenset({"Final", "Mapping", "Sequence", "Set", "AbstractSet", "ClassVar"})
MUTATING_METHODS: Final = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    }
)


def layering(module: Module) -> Iterator[str]:
    """Imports that go up, or sideways, in the layers."""
    allowed = LAYERS.get(module.part)
    if allowed is None:
        yield f"{module.name}: the part {module.part!r} has no place in the layers"
        return
    for target in sorted(module.imports()):
        if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
            continue
        part = target.removeprefix(PACKAGE).lstrip(".").split(".")[0]
        if part != module.part and part not in allowed and ANY not in allowed:
            yield f"{module.name} imports {target}"
        if part == "engine" and module.part not in ("engine", ""):
            known = ENGINE_PORT | ENGINE_USERS.get(module.name, frozenset())
            if target not in known:
                yield f"{module.name} imports {target}: only the port is open to it"


def libraries(module: Module) -> Iterator[str]:
    """Third-party imports where they do not belong."""
    for target in sorted(module.imports()):
        homes = THIRD_PARTY.get(target.split(".")[0])
        if homes is not None and not any(f"{module.name}.".startswith(f"{home}.") for home in homes):
            yield f"{module.name} imports {target}, which belongs in {' or '.join(homes)}"


def engine_choice(module: Module) -> Iterator[str]:
    """Names of the real engine outside of the engine and of those who choose it."""
    if module.part == "engine" or module.name in ENGINE_USERS:
        return
    for node in ast.walk(module.tree):
        name = _identifier(node)
        if name is not None and "unicorn" in name.lower():
            yield f"{module.name}: {name}"


def neutrality(module: Module) -> Iterator[str]:
    """Words of one architecture in the code of the neutral layer (its prose may compare)."""
    if module.part != NEUTRAL:
        return
    for node in ast.walk(module.tree):
        words = re.findall(r"[a-z0-9]+", (_identifier(node) or "").lower())
        if any(word in ARCHITECTURE_WORDS or word.startswith("aarch64") for word in words):
            yield f"{module.name}: {_identifier(node)}"


def devices_without_gic(module: Module) -> Iterator[str]:
    """A device that knows the interrupt controller instead of holding a line of it."""
    if module.part != "devices" or any(word in module.name for word in GIC_WORDS):
        return
    for target in sorted(module.imports()):
        if target.startswith(f"{PACKAGE}.") and any(part in GIC_WORDS for part in target.split(".")):
            yield f"{module.name} imports {target}"


def late_imports(module: Module) -> Iterator[str]:
    """Imports anywhere but at the top of the module."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            for inner in ast.walk(node):
                if isinstance(inner, ImportNode):
                    yield f"{module.name}:{inner.lineno}"


def too_long(module: Module) -> Iterator[str]:
    """Modules that ought to be two."""
    if module.lines > MAX_LINES:
        yield f"{module.name}: {module.lines} lines"


def module_state(module: Module) -> Iterator[str]:
    """State of a module: containers that are not declared constant, constants that are changed, globals.

    A container at module level has to be annotated Final or with a read-only type, and nothing in the module may
    write into it: neither by item, nor by a method that changes it, nor with ``global``.
    """
    constants: set[str] = set()
    for statement in _module_level(module.tree):
        targets, value, constant = _assignment(statement)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if value is None or not names or names == ["__all__"]:
            continue
        constants.update(names)
        if _is_mutable(value) and not constant:
            yield f"{module.name}:{statement.lineno}: {', '.join(names)} is a container that is not declared constant"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield f"{module.name}:{node.lineno}: global {', '.join(node.names)}"
    yield from _mutations(module, constants)


def _mutations(module: Module, constants: set[str]) -> Iterator[str]:
    for function in ast.walk(module.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        own = _locals(function)
        for node in ast.walk(function):
            name = _mutated(node)
            if name in constants and name not in own:
                yield f"{module.name}:{getattr(node, 'lineno', 0)}: {name} is changed"


def _mutated(node: ast.AST) -> str | None:
    """The name whose object a node changes in place."""
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING_METHODS:
        target = node.func.value
    return target.id if isinstance(target, ast.Name) else None


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    arguments = function.args
    found = {each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    found.update(each.arg for each in (arguments.vararg, arguments.kwarg) if each is not None)
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return found | {node.id for node in stored}


def _module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run at import, those inside `if` and `try` included."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            pending.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def _assignment(node: ast.stmt) -> tuple[list[ast.expr], ast.expr | None, bool]:
    """(targets, value, whether the annotation says that it does not change)."""
    if isinstance(node, ast.Assign):
        return node.targets, node.value, False
    if isinstance(node, ast.AnnAssign):
        annotation = node.annotation
        if isinstance(annotation, ast.Subscript):
            annotation = annotation.value
        name = annotation.attr if isinstance(annotation, ast.Attribute) else getattr(annotation, "id", "")
        return [node.target], node.value, name in CONSTANT_TYPES
    return [], None, False


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, MUTABLE):
        return True
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return called in MUTABLE_CALLS
    return False


def _identifier(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.alias):
        return node.name
    return None


def cycles(modules: Iterable[Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not. The package's own ``__init__`` is left out."""
    return _cycles({module.name: module.imports() for module in modules if module.name != PACKAGE})


def folder_cycles(modules: Sequence[Module]) -> list[list[str]]:
    """Groups of folders side by side that import each other, directly or not; each stands for all that is below it.

    A folder and those in it are exempt. A module beside a folder may be what the folder stands on, or what stands on
    it, and the folder's own modules may be both: that is no knot as long as no modules import each other.
    """
    folders: dict[str, tuple[str, ...]] = {}
    for module in modules:
        pieces = tuple(module.name.split("."))
        folders[module.name] = pieces if module.is_package else pieces[:-1]
    graph: dict[str, set[str]] = {}
    for module in modules:
        here = folders[module.name]
        for target in module.imports():
            there = folders.get(target, ())
            shared = _shared(here, there)
            if shared < min(len(here), len(there)):
                own, other = (".".join(folder[: shared + 1]) for folder in (here, there))
                graph.setdefault(own, set()).add(other)
                graph.setdefault(other, set())
    return _cycles(graph)


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """How many pieces two names have in common, from their start."""
    return len([*takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))])


def same_names(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Names that more than one module or package has, without what is before the last dot; roles are left out."""
    found: dict[str, list[str]] = {}
    for module in modules:
        _, _, name = module.name.rpartition(".")
        is_command = module.part == "cli" and name in COMMANDS
        if not is_command and name not in ROLES:
            found.setdefault(name, []).append(module.name)
    return {name: group for name, group in found.items() if len(group) > 1}


def _cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    reachable = {name: _reach(graph, name) for name in graph}
    found: list[list[str]] = []
    for name in sorted(graph):
        group = sorted(other for other in reachable[name] if name in reachable.get(other, set()))
        if name in reachable[name] and group not in found:
            found.append(group)
    return found


def loaded_with(modules: Iterable[Module], starts: Iterable[str]) -> set[str]:
    """All that is imported with the modules ``starts``, directly or not; libraries too."""
    graph = {module.name: module.loads() for module in modules}
    found = set(starts)
    for start in starts:
        reached = _reach(graph, start)
        found |= reached | {name for module in (start, *reached) for name in graph[module]}
    return found


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    pending = list(graph[start])
    while pending:
        name = pending.pop()
        if name in graph and name not in seen:
            seen.add(name)
            pending.extend(graph[name])
    return seen
