"""The archive of compiled code: it is used exactly where the interpreter would use its own compiled code."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from arm_vcpu_cli.code_archive import CodeArchive

NAME = "archived_package"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package with a module and a package in it."""
    folder = tmp_path / NAME
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "first.py").write_text("def value():\n    return 'first'\n")
    (folder / "inner" / "__init__.py").write_text("from . import second\n")
    (folder / "inner" / "second.py").write_text("VALUE = 'second'\n")
    (folder / "data.txt").write_text("data")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    yield folder
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]
    importlib.invalidate_caches()


def opened() -> CodeArchive:
    """The archive, in use, in what is to the package a new process."""
    forget()
    package = importlib.import_module(NAME)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, CodeArchive)]
    archive = CodeArchive(package, "run.archive")
    sys.meta_path.insert(0, archive)
    return archive


def load() -> tuple[ModuleType, ModuleType]:
    return importlib.import_module(f"{NAME}.first"), importlib.import_module(f"{NAME}.inner.second")


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "__pycache__").glob("*.archive*"))


def archive_it() -> None:
    archive = opened()
    load()
    archive.renew()


def from_archive(module: ModuleType) -> bool:
    return type(module.__loader__).__module__ == "arm_vcpu_cli.code_archive"


def test_the_second_process_loads_from_the_archive_what_the_first_has_loaded(folder: Path) -> None:
    archive_it()
    (path,) = kept(folder)
    assert path.name == f"__init__.{sys.implementation.cache_tag}.run.archive"
    opened()
    first, second = load()
    assert from_archive(first)
    assert from_archive(second)
    assert (first.value(), second.VALUE) == ("first", "second")


def test_a_module_from_the_archive_says_of_itself_what_any_module_says(folder: Path) -> None:
    opened()
    plain = [
        (each.__name__, each.__package__, each.__file__, each.__cached__, getattr(each, "__path__", None))
        for each in (*load(), sys.modules[f"{NAME}.inner"])
    ]
    archive_it()
    opened()
    first, second = load()
    inner = sys.modules[f"{NAME}.inner"]
    assert from_archive(inner)
    assert [
        (each.__name__, each.__package__, each.__file__, each.__cached__, getattr(each, "__path__", None))
        for each in (first, second, inner)
    ] == plain
    assert inspect.getsource(first) == (folder / "first.py").read_text()
    assert first.value.__code__.co_filename == str(folder / "first.py")
    assert importlib.import_module("importlib.resources").files(NAME).joinpath("data.txt").read_text() == "data"


@pytest.mark.parametrize("later", [0, 10**9], ids=["another size", "another time"])
def test_a_source_that_has_changed_is_compiled_anew_and_the_archive_renewed(folder: Path, later: int) -> None:
    archive_it()
    source = folder / "first.py"
    time = source.stat().st_mtime_ns
    source.write_text("def value():\n    return 'other'\n" + ("" if later else "#"))
    os.utime(source, ns=(time + later, time + later))
    archive = opened()
    first, second = load()
    assert first.value() == "other"
    assert not from_archive(first)
    assert from_archive(second)
    archive.renew()
    opened()
    again, _ = load()
    assert from_archive(again)
    assert again.value() == "other"


def test_an_archive_that_lacks_nothing_is_left_alone(folder: Path) -> None:
    archive_it()
    (path,) = kept(folder)
    before = path.stat()
    archive = opened()
    load()
    archive.renew()
    assert path.stat() == before


def test_a_command_that_loads_less_takes_nothing_out(folder: Path) -> None:
    archive_it()
    (folder / "third.py").write_text("")
    archive = opened()
    importlib.import_module(f"{NAME}.third")
    archive.renew()
    opened()
    assert all(from_archive(module) for module in (*load(), importlib.import_module(f"{NAME}.third")))


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xe9\x01", b"N"], ids=repr)
def test_a_file_that_is_no_archive_is_replaced(folder: Path, content: bytes) -> None:
    archive_it()
    (path,) = kept(folder)
    path.write_bytes(content)
    archive = opened()
    first, _ = load()
    assert first.value() == "first"
    assert not from_archive(first)
    archive.renew()
    opened()
    assert from_archive(load()[0])


def test_nothing_is_written_where_no_compiled_code_may_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    archive_it()
    assert kept(folder) == []


def test_a_file_that_cannot_be_written_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    archive_it()
    assert kept(folder) == []


def test_what_was_compiled_from_another_source_is_not_taken(folder: Path) -> None:
    archive = opened()
    load()
    source = folder / "first.py"
    source.write_text("def value():\n    return 'changed after it was loaded'\n")
    archive.renew()
    opened()
    first, second = load()
    assert first.value() == "changed after it was loaded"
    assert from_archive(second)
