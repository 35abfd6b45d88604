"""The command line that installs an extra, by how the package was installed."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arm_vcpu_cli.inspect.postmortem.extra_hint import how_to_install


@dataclass
class Installed:
    """What the metadata of an installation says."""

    origin: dict[str, object] = field(default_factory=dict)

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return json.dumps(self.origin) if self.origin else None


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that is not active, with a package from an index in it."""
    found = tmp_path / "arm-vcpu-cli"
    (found / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(found))
    monkeypatch.setattr(sys, "executable", str(found / "bin" / "python"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: REQUIRES)
    from_index(monkeypatch)
    return found


REQUIRES = [
    "click>=8.1",
    "capstone>=5.0; extra == 'disasm'",
    'zstandard>=0.22; python_version < "4" and extra == "zstd"',
    "arm-vcpu-cli[disasm,zstd]; extra == 'test'",
]


def from_index(monkeypatch: pytest.MonkeyPatch, **origin: object) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: Installed(origin))


def test_pip_in_a_virtual_environment(prefix: Path) -> None:
    assert how_to_install("disasm") == f"{prefix}/bin/python -m pip install 'capstone>=5.0'"
    assert how_to_install("zstd") == f"{prefix}/bin/python -m pip install 'zstandard>=0.22'"


def test_a_virtual_environment_that_is_active(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
    assert how_to_install("disasm") == "pip install 'capstone>=5.0'"


def test_a_path_below_the_working_directory_is_short(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prefix)
    assert how_to_install("disasm") == "bin/python -m pip install 'capstone>=5.0'"


def test_an_editable_installation(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_index(monkeypatch, url="file:///src/my%20tree", dir_info={"editable": True})
    assert how_to_install("disasm") == f"{prefix}/bin/python -m pip install -e '/src/my tree[disasm]'"


def test_a_folder_that_is_not_editable(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_index(monkeypatch, url="file:///src/tree", dir_info={})
    assert how_to_install("disasm") == f"{prefix}/bin/python -m pip install 'capstone>=5.0'"


def test_a_virtual_environment_of_uv_has_no_pip(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9.1\n")
    assert how_to_install("disasm") == f"uv pip install --python {prefix}/bin/python 'capstone>=5.0'"
    monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
    assert how_to_install("disasm") == "uv pip install 'capstone>=5.0'"


def test_pipx(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").write_text("{}")
    assert how_to_install("disasm") == "pipx inject arm-vcpu-cli 'capstone>=5.0'"


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ({}, "arm-vcpu-cli"),
        ({"url": "file:///src/tree", "dir_info": {}}, "/src/tree"),
        ({"url": "file:///src/tree", "dir_info": {"editable": True}}, "--editable /src/tree"),
        (
            {"url": "https://host/tool.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "git+https://host/tool.git@c0ffee",
        ),
    ],
)
def test_uv_tool(prefix: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, object], source: str) -> None:
    (prefix / "uv-receipt.toml").write_text("")
    from_index(monkeypatch, **origin)
    assert how_to_install("disasm") == f"uv tool install --with 'capstone>=5.0' {source}"


def test_a_source_tree_that_is_not_installed(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert how_to_install("disasm") == f"{prefix}/bin/python -m pip install 'arm-vcpu-cli[disasm]'"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"url": 5, "dir_info": 7}'])
def test_metadata_that_makes_no_sense(prefix: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Broken:
        def read_text(self, _name: str) -> str:
            return text

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: Broken())
    assert how_to_install("disasm") == f"{prefix}/bin/python -m pip install 'capstone>=5.0'"
