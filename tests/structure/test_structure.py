"""The structure of the package: permitted imports, and what no module may contain."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import rules
from .source import PACKAGE, Module, modules, names, parse

Rule = Callable[[Module], Iterator[str]]


def broken(rule: Rule) -> list[str]:
    return [finding for module in modules() for finding in rule(module)]


def sample(name: str, text: str) -> Module:
    """A module that is not there, to show that a rule can be broken."""
    return parse(f"{PACKAGE}.{name}", Path(f"{name.replace('.', '/')}.py"), text)


def package(name: str) -> Module:
    """A package that is not there."""
    return parse(f"{PACKAGE}.{name}", Path(name.replace(".", "/"), "__init__.py"), "")


@pytest.mark.parametrize(
    "rule",
    [
        rules.layering,
        rules.libraries,
        rules.engine_choice,
        rules.neutrality,
        rules.devices_without_gic,
        rules.late_imports,
        rules.module_state,
        rules.too_long,
    ],
    ids=lambda rule: rule.__name__,
)
def test_no_module_breaks(rule: Rule) -> None:
    assert broken(rule) == []


def test_no_modules_import_each_other() -> None:
    assert rules.cycles(modules()) == []


def test_no_folders_import_each_other() -> None:
    assert rules.folder_cycles(modules()) == []


def test_a_name_stands_for_one_module() -> None:
    assert set(rules.same_names(modules())) == rules.SHARED_NAMES


@pytest.mark.parametrize("name", sorted(names() - {f"{PACKAGE}.__main__"}))
def test_every_module_imports(name: str) -> None:
    assert importlib.import_module(name) is sys.modules[name]


def test_every_public_name_is_there() -> None:
    package = importlib.import_module(PACKAGE)
    assert len(set(package.__all__)) == len(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


# Each rule finds what it is there to find ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (rules.layering, "arch.bad", "import arm_vcpu_cli.engine.port"),
        (rules.layering, "arch.bad", "from arm_vcpu_cli.axvcpu import exit"),
        (rules.layering, "axvcpu.bad", "from ..arch.syndrome.esr import Esr"),
        (rules.layering, "axvcpu.bad", "def f():\n    from arm_vcpu_cli.arch.syndrome import esr"),
        (rules.layering, "errors", "from arm_vcpu_cli.arch.syndrome import esr"),
        (rules.layering, "devices.bad", "from arm_vcpu_cli.host.console import Console"),
        (rules.layering, "devices.bad", "from arm_vcpu_cli.engine.port import CpuCore"),
        (rules.layering, "guest.bad", "from arm_vcpu_cli.board import schema"),
        (rules.layering, "trace.bad", "from arm_vcpu_cli.axvcpu.exit import Halt"),
        (rules.layering, "arm_vcpu.bad", "from arm_vcpu_cli.engine.unicorn_core import UnicornCore"),
        (rules.layering, "arm_vcpu.bad", "from arm_vcpu_cli.devices.bus import Bus"),
        (rules.layering, "vm.bad", "from arm_vcpu_cli.engine import unicorn_api"),
        (rules.layering, "vm.bad", "from arm_vcpu_cli.cli.main import main"),
        (rules.layering, "vm.bad", "from arm_vcpu_cli import Host"),
        (rules.layering, "newpart.thing", ""),
        (rules.libraries, "engine.other", "import unicorn"),
        (rules.libraries, "vm.bad", "from unicorn.arm64_const import UC_ARM64_REG_PC"),
        (rules.libraries, "vm.bad", "import click"),
        (rules.libraries, "trace.bad", "from rich.console import Console"),
        (rules.libraries, "climate", "import click"),
        (rules.engine_choice, "vm.bad", "def f(cores):\n    return cores.UnicornCore()"),
        (rules.neutrality, "axvcpu.bad", "class Aarch64Thing: pass"),
        (rules.neutrality, "axvcpu.bad", "def set_hcr_el2(value): pass"),
        (rules.devices_without_gic, "devices.bad", "from arm_vcpu_cli.devices.gic.v3 import Distributor"),
        (rules.late_imports, "vm.bad", "def f():\n    import os"),
        (rules.late_imports, "vm.bad", "class C:\n    import os"),
        (rules.module_state, "vm.bad", "CACHE = {}"),
        (rules.module_state, "vm.bad", "CACHE: dict[str, int] = {}"),
        (rules.module_state, "vm.bad", "if True:\n    SEEN = set()"),
        (rules.module_state, "vm.bad", "ALL = [n for n in range(3)]"),
        (rules.module_state, "vm.bad", "N = 0\ndef f():\n    global N\n    N = 1"),
        (rules.module_state, "vm.bad", "SEEN: Final = {}\ndef f(k):\n    SEEN[k] = 1"),
        (rules.module_state, "vm.bad", "SEEN: Final = []\ndef f(k):\n    SEEN.append(k)"),
        (rules.module_state, "vm.bad", "class C:\n    def f(self):\n        SEEN.pop()\nSEEN: Final = []"),
        (rules.too_long, "vm.bad", "\n" * 401),
    ],
)
def test_a_rule_finds(rule: Rule, name: str, text: str) -> None:
    assert list(rule(sample(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (rules.layering, "arm_vcpu.good", "from arm_vcpu_cli.engine.port import CpuCore\nimport os"),
        (rules.layering, "host.machine_host", "from arm_vcpu_cli.engine.unicorn_core import UnicornCore"),
        (rules.layering, "cli.good", "from arm_vcpu_cli.vm import runner"),
        (rules.libraries, "cli.good", "import click\nimport rich.table"),
        (rules.libraries, "engine.unicorn_api", "import unicorn"),
        (rules.neutrality, "axvcpu.good", '"""Unlike on AArch64 ..."""\ndef select(label): pass'),
        (rules.devices_without_gic, "devices.gic.v3", "from arm_vcpu_cli.devices.gic_common import x"),
        (rules.module_state, "vm.good", "NAMES: Final = {1: 2}\nTABLE: Mapping[int, int] = {}\nPAIR = (1, 2)"),
        (rules.module_state, "vm.good", "X: Final = ()\ndef f():\n    X = []\n    X.append(1)"),
        (rules.too_long, "vm.good", "\n" * 400),
    ],
)
def test_a_rule_lets_pass(rule: Rule, name: str, text: str) -> None:
    assert list(rule(sample(name, text))) == []


def test_cycles_are_found() -> None:
    first = sample("vm.first", "from arm_vcpu_cli.vm.second import x")
    second = sample("vm.second", "from .third import y")
    third = sample("vm.third", "import arm_vcpu_cli.vm.first")
    outside = sample("vm.outside", "import arm_vcpu_cli.vm.first")
    assert rules.cycles([first, second, third, outside]) == [[first.name, second.name, third.name]]
    assert rules.cycles([first, second, outside]) == []


def test_cycles_of_folders_are_found() -> None:
    # Only the folders import each other: the modules do not, for the last of them imports another one than the first.
    first = sample("vm.first.upper", "from arm_vcpu_cli.vm.second.deep import x")
    second = sample("vm.second.deep.upper", "import arm_vcpu_cli.vm.third.upper")
    third = sample("vm.third.upper", "from arm_vcpu_cli.vm.first.lower import y")
    others = [sample("vm.first.lower", ""), package("vm.second.deep")]
    found = [[f"{PACKAGE}.vm.{name}" for name in ("first", "second", "third")]]
    assert rules.folder_cycles([first, second, third, *others]) == found
    assert rules.folder_cycles([first, second, *others]) == []


def test_a_folder_and_those_in_it_may_import_each_other() -> None:
    parent = sample("vm.top", "from arm_vcpu_cli.vm.inner.upper import x")
    below = sample("vm.bottom", "")
    child = sample("vm.inner.upper", "from arm_vcpu_cli.vm.bottom import y\nfrom arm_vcpu_cli.record import Record")
    sibling = sample("vm.other.upper", "import arm_vcpu_cli.vm.bottom\nimport arm_vcpu_cli.vm.inner.upper")
    assert rules.folder_cycles([parent, below, child, sibling, sample("record", "")]) == []


def test_equal_names_are_found() -> None:
    first, second = sample("vm.places", ""), package("board.places")
    assert rules.same_names([first, second]) == {"places": [first.name, second.name]}
    exempt = [sample("cli.trace", ""), package("trace"), sample("vm.registers", ""), sample("board.registers", "")]
    assert rules.same_names([first, *exempt]) == {}
