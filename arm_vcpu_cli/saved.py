"""Reads state saved as plain data, which may have been edited since."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Protocol, TypeVar, runtime_checkable

E = TypeVar("E", bound=Enum)


@runtime_checkable
class Part(Protocol):
    """A part of the machine with state of its own."""

    def save(self) -> dict[str, Any]:
        """Return the state as plain data, with a version."""

    def load(self, state: Any) -> None:
        """Restore what :meth:`save` of an equivalent part returned. Raises ValueError for anything else."""


class Remembers(Protocol):
    """A part with knowledge of a run that does not belong to the machine's state, such as an observer. When a debugger
    goes back in time, the part must return to what it knew then."""

    def remembered(self) -> Any:
        """Return what it knows now, immutable, for :meth:`recall` in the same process."""

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned, and forget everything else."""


class Saved:
    """A dictionary of plain data: integers, truth values, strings, bytes, None, lists and dictionaries.

    Methods raise ValueError, naming the item, if it is missing or invalid.
    """

    def __init__(self, state: object, name: str = "state", *, version: int | None = None) -> None:
        """Wrap ``state``, which must have ``version`` if one is given."""
        if not isinstance(state, dict):
            raise ValueError(f"{name} is {type(state).__name__}, expected dict")
        self._state = state
        self._name = name
        if version is not None and self._get("version") != version:
            raise ValueError(f"{name}.version is {state['version']!r}, expected {version}")

    def number(self, key: str, limit: int) -> int:
        """Return a number from 0 to ``limit``."""
        return _checked(self._get(key), limit, f"{self._name}.{key}")

    def integer(self, key: str) -> int:
        """Return a number of any size and sign."""
        value = self._get(key)
        if type(value) is not int:
            raise ValueError(f"{self._name}.{key} is {value!r}, expected a number")
        return value

    def flag(self, key: str) -> bool:
        """Return a truth value."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise ValueError(f"{self._name}.{key} is {value!r}, expected a truth value")
        return value

    def text(self, key: str) -> str:
        """Return a string."""
        value = self._get(key)
        if not isinstance(value, str):
            raise ValueError(f"{self._name}.{key} is {value!r}, expected a string")
        return value

    def data(self, key: str, size: int | None = None) -> bytes:
        """Return ``size`` bytes; any number if ``size`` is None."""
        value = self._get(key)
        if not isinstance(value, bytes) or size not in (None, len(value)):
            raise ValueError(f"{self._name}.{key} is no {'' if size is None else f'{size} '}bytes")
        return value

    def member(self, key: str, kind: type[E]) -> E:
        """Return a member of an enumeration, which is saved as its value."""
        value = self._get(key)
        found = next((member for member in kind if member.value == value), None)
        if found is None:
            raise ValueError(f"{self._name}.{key} is {value!r}, expected one of {[each.value for each in kind]}")
        return found

    def is_none(self, key: str) -> bool:
        """Return whether the value is None."""
        return self._get(key) is None

    def numbers(self, key: str, count: int | None, limit: int) -> list[int]:
        """Return ``count`` numbers from 0 to ``limit``; any number of them if ``count`` is None."""
        return [_checked(value, limit, name) for name, value in self._list(key, count)]

    def rows(self, key: str, width: int, limit: int) -> list[list[int]]:
        """Return any number of lists, each of ``width`` numbers from 0 to ``limit``."""
        rows = [Saved({"row": value}, name) for name, value in self._list(key, None)]
        return [row.numbers("row", width, limit) for row in rows]

    def lists(self, key: str, count: int) -> list[Saved]:
        """Return ``count`` lists, each as the value ``row``."""
        return [Saved({"row": value}, name) for name, value in self._list(key, count)]

    def pieces(self, key: str, count: int, size: int) -> list[bytes]:
        """Return ``count`` pieces of ``size`` bytes."""
        return [Saved({"piece": value}, name).data("piece", size) for name, value in self._list(key, count)]

    def rows_of_bytes(self, key: str) -> list[tuple[int, bytes]]:
        """Return any number of pairs of a number, 0 or more, and bytes."""
        found = []
        for name, row in self._list(key, None):
            if not (isinstance(row, list) and len(row) == 2 and type(row[0]) is int and isinstance(row[1], bytes)):
                raise ValueError(f"{name} is not a number with bytes")
            if row[0] < 0:
                raise ValueError(f"{name}[0] is {row[0]}, expected 0 or more")
            found.append((row[0], row[1]))
        return found

    def value(self, key: str) -> object:
        """Return any value, for another module to check."""
        return self._get(key)

    def names(self) -> list[str]:
        """Return all keys."""
        return [str(key) for key in self._state]

    def part(self, key: str, *, version: int | None = None) -> Saved:
        """Return a nested dictionary."""
        return Saved(self._get(key), f"{self._name}.{key}", version=version)

    def parts(self, key: str, count: int | None) -> list[Saved]:
        """Return ``count`` nested dictionaries; any number of them if ``count`` is None."""
        return [Saved(value, name) for name, value in self._list(key, count)]

    def _get(self, key: str) -> object:
        if key not in self._state:
            raise ValueError(f"{self._name} has no {key}")
        value: object = self._state[key]
        return value

    def _list(self, key: str, count: int | None) -> Iterator[tuple[str, object]]:
        values = self._get(key)
        if not isinstance(values, list) or count not in (None, len(values)):
            raise ValueError(f"{self._name}.{key} is no list" + ("" if count is None else f" of {count}"))
        return ((f"{self._name}.{key}[{index}]", value) for index, value in enumerate(values))


def _checked(value: object, limit: int, name: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= limit:
        raise ValueError(f"{name} is {value!r}, expected 0 to {limit:#x}")
    return int(value)
