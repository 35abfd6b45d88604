"""Immutable records: what ``dataclass(frozen=True, slots=True)`` makes, for a thirtieth of the time.

``dataclass`` writes the source of each method and compiles it, half a millisecond a class, in every process that
imports it. A record's methods are written once, here, and go by the list of its fields::

    class Window(Record):
        base: int
        size: int = 4096

To whom asks (``dataclasses.fields``, ``replace`` and ``asdict``, type checkers) a record is a dataclass.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field
    from dataclasses import replace as replace
    from typing import Any, ClassVar

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_facts: Any) -> Callable[[type], type]:
        """For type checkers only, and not in the standard library of every version."""
        return lambda decorated: decorated

    def replace(record: Any, /, **changes: Any) -> Any:
        """``record`` with some fields changed; ``dataclasses.replace`` to a type checker."""
        values = {name: getattr(record, name) for name in record.__match_args__}
        return type(record)(**(values | changes))


def _same(value: Any) -> Any:
    return value


class _DataclassFields:
    """``__dataclass_fields__``, for the few that ask: those of a dataclass that is declared alike."""

    def __get__(self, _record: object, owner: type[Record]) -> dict[str, Field[Any]]:
        dataclasses = import_module("dataclasses")
        # A dataclass takes what has no hash for something that somebody may change.
        defaults = {
            name: dataclasses.field(default_factory=partial(_same, value)) if type(value).__hash__ is None else value
            for name, value in owner._DEFAULTS.items()
        }
        alike = type(owner.__name__, (), {"__annotations__": owner.__annotations__, **defaults})
        fields: dict[str, Field[Any]] = dataclasses.dataclass(frozen=True)(alike).__dataclass_fields__
        return fields


@dataclass_transform(frozen_default=True)
class _RecordType(type):
    """Makes a slot of each annotated name, and keeps the defaults."""

    if TYPE_CHECKING:
        __match_args__: tuple[str, ...]
        _DEFAULTS: dict[str, object]
        _SETTERS: tuple[Callable[[object, object], None], ...]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        names = tuple(namespace.get("__annotations__", ())) if bases else ()
        defaults = {each: namespace.pop(each) for each in names if each in namespace}
        made = super().__new__(cls, name, bases, namespace | {"__slots__": names, "__match_args__": names})
        made._DEFAULTS = defaults
        made._SETTERS = tuple(getattr(made, each).__set__ for each in names)
        return made


class Record(metaclass=_RecordType):
    """The base of all records, which have none below them. Its annotated names are the fields of a record."""

    if TYPE_CHECKING:
        __match_args__: ClassVar[tuple[str, ...]]
        _DEFAULTS: ClassVar[dict[str, object]]
    else:
        __dataclass_fields__ = _DataclassFields()

        def __init__(self, *values: Any, **named: Any) -> None:
            setters = self._SETTERS
            if named or len(values) != len(setters):
                values = self._arranged(values, named)
            for setter, value in zip(setters, values):  # noqa: B905
                setter(self, value)

        def __setattr__(self, name: str, _value: object) -> None:
            raise import_module("dataclasses").FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name: str) -> None:
            raise import_module("dataclasses").FrozenInstanceError(f"cannot delete field {name!r}")

    def _arranged(self, values: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """The values of all fields in order, from what was given and the defaults."""
        names, defaults = self.__match_args__, self._DEFAULTS
        kind = type(self).__qualname__
        if len(values) > len(names):
            raise TypeError(f"{kind}() takes {len(names)} values but {len(values)} were given")
        arranged = list(values)
        for name in names[len(values) :]:
            if name in named:
                arranged.append(named.pop(name))
            elif name in defaults:
                arranged.append(defaults[name])
            else:
                raise TypeError(f"{kind}() lacks a value for {name!r}")
        if named:
            raise TypeError(f"{kind}() got unexpected or repeated values: {', '.join(named)}")
        return arranged

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()
