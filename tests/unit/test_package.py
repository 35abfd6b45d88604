"""The package as a library: its public names, and that each loads no more than it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import arm_vcpu_cli

GUARD_SECONDS = 90


def loaded_after(code: str) -> set[str]:
    """The package's modules that a new interpreter has loaded after ``code``."""
    report = "\nimport sys\nprint(*sorted(name for name in sys.modules if name.startswith('arm_vcpu_cli')))"
    finished = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=True,
        cwd=Path(arm_vcpu_cli.__file__).parents[1],
    )
    return set(finished.stdout.split())


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_after("import arm_vcpu_cli") == {"arm_vcpu_cli"}


def test_a_name_brings_its_module_and_not_the_engine() -> None:
    loaded = loaded_after("from arm_vcpu_cli import Halt")
    assert "arm_vcpu_cli.axvcpu.exit" in loaded
    assert not [name for name in loaded if name.startswith("arm_vcpu_cli.engine")]


def test_every_public_name_is_what_its_module_defines() -> None:
    for name in arm_vcpu_cli.__all__:
        value = getattr(arm_vcpu_cli, name)
        home = sys.modules[arm_vcpu_cli._MODULES[name]]
        assert value is getattr(home, name)
        if isinstance(value, type):
            assert value.__module__ == home.__name__


def test_names_imports_for_type_checkers_and_the_table_of_modules_agree() -> None:
    tree = ast.parse(Path(arm_vcpu_cli.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arm_vcpu_cli.")
        for alias in node.names
    }
    assert seen == arm_vcpu_cli._MODULES
    assert sorted(seen) == sorted(arm_vcpu_cli.__all__)


def test_dir_has_the_public_names_before_they_are_used() -> None:
    assert set(arm_vcpu_cli.__all__) <= set(dir(arm_vcpu_cli))


def test_a_name_that_there_is_not_is_an_attribute_error_with_its_name() -> None:
    with pytest.raises(AttributeError, match=r"'arm_vcpu_cli' has no attribute 'Aarch32VCpu'"):
        _ = arm_vcpu_cli.Aarch32VCpu  # type: ignore[attr-defined]


def test_a_star_import_binds_all_public_names() -> None:
    bound: dict[str, object] = {}
    exec("from arm_vcpu_cli import *", bound)
    assert set(arm_vcpu_cli.__all__) <= set(bound)
