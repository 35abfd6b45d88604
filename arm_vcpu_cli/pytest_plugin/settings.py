"""A test's settings for a guest: from its call, its markers, and the ini file, in this order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from arm_vcpu_cli.board.layers import Overrides
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.sizes import parse_size
from arm_vcpu_cli.trace.event import EVENT_TYPES, EXIT

MARKER: Final = "armvcpu"
DEFAULT_TIMEOUT: Final = 60.0
_LONGEST: Final = 1e9
_OVERRIDES: Final = frozenset(Overrides.__annotations__)
_OWN: Final = frozenset({"guest", "machine", "input", "timeout", "host_timeout", "events", "until"})
_NAMES: Final = _OWN | _OVERRIDES
_FILES: Final = frozenset({"guest", "dtb", "semihosting_dir"})
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class Settings(Record):
    """A guest and its machine; ``timeout`` is in seconds of guest time, ``events`` are the types of events to keep,
    ``until`` is the output that ends its boot."""

    guest: Path | None
    machine: Path | Mapping[str, Any] | None
    overrides: Mapping[str, Any]
    input: bytes
    timeout: float
    host_timeout: float
    events: frozenset[str]
    until: str | None

    @property
    def file(self) -> Path:
        """The guest's file. Raises :class:`UsageError` if there is none."""
        if self.guest is None:
            raise UsageError("expected a guest: in the call, or @pytest.mark.armvcpu(guest=...)")
        return self.guest


def check_markers(item: pytest.Item) -> None:
    """Fail a test with an invalid marker, in one line."""
    said = ""
    try:
        settings_of(item)
    except UsageError as error:
        said = str(error)
    if said:
        # Outside the handler, because pytest would show the original error as well.
        pytest.fail(f"{item.nodeid}: {said}", pytrace=False)


def settings_of(item: pytest.Item, given: Mapping[str, Any] = _NONE) -> Settings:
    """Return the settings of a test; ``given`` is from its call. Raises :class:`UsageError`."""
    folder = item.path.parent
    wanted = _from_ini(item.config)
    for marker in reversed([*item.iter_markers(MARKER)]):
        said = f"@pytest.mark.{MARKER}"
        if marker.args:
            raise UsageError(f"{said}: expected keywords such as machine=FILE, found {printable(repr(marker.args[0]))}")
        wanted |= _checked(said, marker.kwargs, folder)
    wanted |= _checked("the call", {name: value for name, value in given.items() if value is not None}, folder)
    overrides = {name: value for name, value in wanted.items() if name in _OVERRIDES}
    return Settings(
        guest=wanted.get("guest"),
        machine=wanted.get("machine"),
        overrides=overrides,
        input=wanted.get("input", b""),
        timeout=wanted.get("timeout", DEFAULT_TIMEOUT),
        host_timeout=wanted.get("host_timeout", DEFAULT_TIMEOUT),
        events=wanted.get("events", frozenset({EXIT})),
        until=wanted.get("until"),
    )


def seconds(said: str, value: object) -> float:
    """Check a limit in seconds. Raises :class:`UsageError`."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0 <= found <= _LONGEST:
        raise UsageError(f"{said}: expected seconds, found {printable(repr(value))}")
    return found


def _from_ini(config: pytest.Config) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    machine = config.getini("armvcpu_machine")
    if machine:
        folder = config.rootpath if config.inipath is None else config.inipath.parent
        wanted["machine"] = folder / machine
    for name in ("timeout", "host_timeout"):
        option = f"armvcpu_{name}"
        for said, value in (
            (f"{option} (ini)", config.getini(option)),
            (f"--{option.replace('_', '-')}", config.getoption(option)),
        ):
            if value:
                wanted[name] = seconds(said, value)
    return wanted


def _checked(said: str, given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Check options and convert them: relative paths start at ``folder``, text becomes bytes."""
    unknown = [name for name in given if name not in _NAMES]
    if unknown:
        near = get_close_matches(unknown[0], sorted(_NAMES), 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(_NAMES))}"
        raise UsageError(f"{said}: unknown option {printable(unknown[0])}: {hint}")
    return {name: _value(f"{said}: {name}", name, value, folder) for name, value in given.items()}


def _value(said: str, name: str, value: Any, folder: Path) -> Any:
    if name in _FILES or (name == "machine" and not isinstance(value, Mapping)):
        return folder / _path(said, value)
    if name == "loads":
        return [(folder / _path(said, path), address) for path, address in value]
    if name == "memory_size" and isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise UsageError(f"{said}: {error}") from error
    if name == "input":
        return value.encode() if isinstance(value, str) else _of_type(said, value, bytes)
    if name in ("timeout", "host_timeout"):
        return seconds(said, value)
    if name == "events":
        return _events(said, value)
    return value


def _path(said: str, value: object) -> Path:
    if not isinstance(value, str | Path):
        raise UsageError(f"{said}: expected the path of a file, found {printable(repr(value))}")
    return Path(value)


def _of_type(said: str, value: object, kind: type) -> object:
    if not isinstance(value, kind):
        raise UsageError(f"{said}: expected {kind.__name__}, found {printable(repr(value))}")
    return value


def _events(said: str, value: object) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or not all(name in EVENT_TYPES for name in names):
        raise UsageError(f"{said}: expected some of {', '.join(EVENT_TYPES)}, found {printable(repr(value))}")
    return frozenset(names)
