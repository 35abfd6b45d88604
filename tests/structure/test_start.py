"""A run loads no more than a plain guest needs, because loading takes most of the time of a small guest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from . import rules
from .source import PACKAGE, ROOT, modules, parse

GUARD_SECONDS: Final = 90
ENTRY: Final = (f"{PACKAGE}.__main__", f"{PACKAGE}.cli.main", f"{PACKAGE}.cli.guest_options", f"{PACKAGE}.cli.session")
"""The modules that a plain run asks for by name."""

UNUSED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "the parser of the command line": ("click", f"{PACKAGE}.cli.commands", f"{PACKAGE}.cli.options"),
        "options of other tools": (f"{PACKAGE}.cli.spellings", f"{PACKAGE}.cli.retyping"),
        "TOML and dates": (
            "tomli",
            "tomllib",
            "datetime",
            f"{PACKAGE}.board.document",
            f"{PACKAGE}.board.problems",
            f"{PACKAGE}.board.toml_places",
        ),
        "ELF structures, symbols from files and source lines": (
            "elftools",
            f"{PACKAGE}.guest.elf_relocations",
            f"{PACKAGE}.guest.elf_symbol_entries",
            f"{PACKAGE}.guest.line_programs",
            f"{PACKAGE}.guest.line_tables",
            f"{PACKAGE}.guest.symbol_files",
        ),
        "Linux kernels": ("unicodedata", f"{PACKAGE}.guest.decompression", f"{PACKAGE}.guest.linux"),
        "features": (f"{PACKAGE}.arch.identification.features", f"{PACKAGE}.arch.identification.feature_table"),
        "every register there is": (f"{PACKAGE}.arch.explain",),
        "snapshots": (f"{PACKAGE}.vm.snapshot",),
        "recorded input": ("hashlib", "_hashlib", "json", f"{PACKAGE}.vm.inputlog"),
        "hints": ("difflib",),
        "paths": ("pathlib", "urllib.parse", "ipaddress"),
        "the engine's own binding": ("unicorn", "inspect", "importlib.resources"),
        "traces, tables and reports": (
            "rich",
            f"{PACKAGE}.trace",
            f"{PACKAGE}.probe",
            f"{PACKAGE}.arm_vcpu.observed_exits",
            f"{PACKAGE}.observe",
            f"{PACKAGE}.inspect.postmortem.report",
            f"{PACKAGE}.inspect.postmortem.evidence",
            f"{PACKAGE}.inspect.tables",
        ),
        "debuggers": (f"{PACKAGE}.debug", f"{PACKAGE}.cli.debugging"),
        "sockets": ("socket", "selectors"),
        "classes made of compiled source": ("dataclasses",),
    }
)


def among(names: tuple[str, ...], loaded: Collection[str]) -> list[str]:
    """Those of ``loaded`` that are one of the modules ``names``, or below it."""
    return [found for found in sorted(loaded) if any(found == name or found.startswith(f"{name}.") for name in names)]


def loaded_by(code: str) -> frozenset[str]:
    """The modules of a process that has executed ``code``."""
    ending = "import sys\nprint(*sys.modules, file=sys.stderr)"
    argv = [sys.executable, "-c", f"{code}\n{ending}"]
    finished = subprocess.run(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GUARD_SECONDS, check=True
    )
    return frozenset(finished.stderr.split())


@cache
def loaded_by_a_run() -> frozenset[str]:
    """What a run loads beside what calls of a library in C need, which is another one with each version of Python."""
    run = f"""
from {PACKAGE}.__main__ import main
try:
    main(["run", "samples/hello/hello.elf"])
except SystemExit as ended:
    assert ended.code == 0
"""
    found = loaded_by(run)
    assert {f"{PACKAGE}.vm.runner", f"{PACKAGE}.engine.unicorn_core"} <= found
    return found - loaded_by("import ctypes")


@pytest.mark.parametrize("what", UNUSED)
def test_a_run_does_not_load(what: str) -> None:
    assert among(UNUSED[what], loaded_by_a_run()) == []


def test_a_run_with_options_does_not_load_those_of_other_tools() -> None:
    run = f"""
from {PACKAGE}.__main__ import main
try:
    main(["run", "--timeout", "60", "--memory", "64M", "samples/hello/hello.elf"])
except SystemExit as ended:
    assert ended.code == 0
"""
    found = loaded_by(run)
    assert f"{PACKAGE}.cli.commands" in found
    assert among(UNUSED["options of other tools"], found) == []


def test_a_run_that_no_debugger_attaches_to_loads_little_for_them() -> None:
    run = f"""
from {PACKAGE}.__main__ import main
try:
    main(["run", "--gdb", "0", "samples/hello/hello.elf"])
except SystemExit as ended:
    assert ended.code == 0
"""
    found = loaded_by(run)
    assert f"{PACKAGE}.debug.server" in found
    heavy = (*UNUSED["every register there is"], f"{PACKAGE}.debug.monitor", f"{PACKAGE}.inspect.tables", "rich")
    assert among(heavy, found) == []


@pytest.mark.parametrize("what", UNUSED)
def test_no_module_of_a_run_imports(what: str) -> None:
    assert among(UNUSED[what], rules.loaded_with(modules(), ENTRY)) == []


def test_what_is_imported_with_a_module_is_found() -> None:
    first = parse(f"{PACKAGE}.cli.first", Path("first.py"), f"from {PACKAGE}.cli.second import x\nimport rich.table")
    second = parse(
        f"{PACKAGE}.cli.second",
        Path("second.py"),
        "import json\nif TYPE_CHECKING:\n    import click\nelse:\n    import struct\ndef f():\n    import re",
    )
    found = rules.loaded_with([first, second], [first.name])
    assert found == {first.name, second.name, "rich.table", "json", "struct"}
    assert among(("rich", "js"), found) == ["rich.table"]
