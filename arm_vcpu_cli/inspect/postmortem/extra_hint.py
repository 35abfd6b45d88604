"""The command that installs an extra of this package, given how the package itself was installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

_PACKAGE: Final = "arm-vcpu-cli"
_CONDITION: Final = re.compile(r"""\bextra *== *["']([\w.-]+)["']""")
_UV_RECEIPT: Final = "uv-receipt.toml"
_PIPX_METADATA: Final = "pipx_metadata.json"
"""The marker files that the two application installers leave in each environment (uv tool, pipx)."""


def how_to_install(extra: str) -> str:
    """The command line that installs an extra into the current environment."""
    prefix = Path(sys.prefix)
    origin = _origin()
    wanted = _requirements(extra) or [f"{_PACKAGE}[{extra}]"]
    if (prefix / _PIPX_METADATA).is_file():
        return _line("pipx", "inject", prefix.name, *wanted)
    if (prefix / _UV_RECEIPT).is_file():
        each = [word for requirement in wanted for word in ("--with", requirement)]
        return _line("uv", "tool", "install", *each, *_source(origin))
    folder = _editable_folder(origin)
    what = wanted if folder is None else ["-e", f"{_short(folder)}[{extra}]"]
    if _is_active(prefix):
        return _line(*(("uv", "pip") if _is_of_uv(prefix) else ("pip",)), "install", *what)
    if _is_of_uv(prefix):
        return _line("uv", "pip", "install", "--python", _short(sys.executable), *what)
    return _line(_short(sys.executable), "-m", "pip", "install", *what)


def _line(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _short(path: str) -> str:
    """A path relative to the working directory, if it lies below it."""
    try:
        below = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if below.startswith("..") else below


def _is_active(prefix: Path) -> bool:
    """Whether the shell finds this virtual environment's commands first."""
    return sys.prefix != sys.base_prefix and os.environ.get("VIRTUAL_ENV") == str(prefix)


def _is_of_uv(prefix: Path) -> bool:
    """Whether uv created the virtual environment, which then has no pip."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


# The package's metadata --------------------------------------------------------------------------------------------


def _requirements(extra: str) -> list[str]:
    """The requirements behind the extra: given the extra's name, pip would look for this package again."""
    try:
        required: Iterable[str] = importlib.metadata.requires(_PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    found = []
    for requirement in required:
        what, _, condition = requirement.partition(";")
        if extra in _CONDITION.findall(condition) and not what.startswith(_PACKAGE):
            found.append(what.strip())
    return found


def _origin() -> Mapping[str, Any]:
    """The source that the package was installed from, if it was not an index (PEP 610)."""
    try:
        text = importlib.metadata.distribution(_PACKAGE).read_text("direct_url.json")
        found = json.loads(text) if text else {}
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _editable_folder(origin: Mapping[str, Any]) -> str | None:
    folder = origin.get("dir_info")
    return _path(origin) if isinstance(folder, dict) and folder.get("editable") else None


def _path(origin: Mapping[str, Any]) -> str:
    return url2pathname(urlsplit(str(origin.get("url", ""))).path)


def _source(origin: Mapping[str, Any]) -> list[str]:
    """The arguments that name the package to an installer."""
    if not origin:
        return [_PACKAGE]
    folder = _editable_folder(origin)
    if folder is not None:
        return ["--editable", folder]
    vcs = origin.get("vcs_info")
    if isinstance(vcs, dict):
        return [f"{vcs.get('vcs', 'git')}+{origin.get('url')}@{vcs.get('commit_id', 'HEAD')}"]
    return [_path(origin) if str(origin.get("url")).startswith("file:") else str(origin.get("url"))]
