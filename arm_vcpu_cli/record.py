"""Immutable records, like those of ``dataclass(frozen=True, slots=True)`` in a thirtieth of the time.

``dataclass`` generates the source of each method and compiles it, which takes half a millisecond for each class in
every process that imports it. The methods of all records are written once, here, and use the list of fields::

    class Window(Record):
        base: int
        size: int = 4096

``dataclasses.fields``, ``replace`` and ``asdict``, and type checkers, treat a record as a dataclass.
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
        """Stand in for the type checker's decorator, which is not in the standard library of every version."""
        return lambda decorated: decorated

    def replace(record: Any, /, **changes: Any) -> Any:
        """Return ``record`` with some fields changed; to a type checker this is ``dataclasses.replace``."""
        values = {name: getattr(record, name) for name in record.__match_args__}
        return type(record)(**(values | changes))


def _same(value: Any) -> Any:
    return value


class _DataclassFields:
    """``__dataclass_fields__``, computed on access: the fields of a dataclass with the same declaration."""

    def __get__(self, _record: object, owner: type[Record]) -> dict[str, Field[Any]]:
        dataclasses = import_module("dataclasses")
        # A dataclass rejects an unhashable default as mutable.
        defaults = {
            name: dataclasses.field(default_factory=partial(_same, value)) if type(value).__hash__ is None else value
            for name, value in owner._DEFAULTS.items()
        }
        alike = type(owner.__name__, (), {"__annotations__": owner.__annotations__, **defaults})
        fields: dict[str, Field[Any]] = dataclasses.dataclass(frozen=True)(alike).__dataclass_fields__
        return fields


@dataclass_transform(frozen_default=True)
class _RecordType(type):
    """Makes a slot for each annotated name, and keeps the defaults."""

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
    """The base of all records, whose annotated names are their fields. Records cannot be subclassed further."""

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
        """Return the values of all fields in order, from the arguments and the defaults. Raises TypeError as a call
        would."""
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
