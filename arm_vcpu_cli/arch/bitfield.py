"""Declares registers as named bit fields, and derives decoding, encoding and printing from them.

A register is an ``int`` that knows its fields::

    class Vttbr(Register):
        VMID = Field(63, 48)
        BADDR = Field(47, 1)
        CnP = Field(0)

    Vttbr.of(VMID=3, BADDR=0x2000).replace(CnP=1).describe()    # 'VMID=3 BADDR=0x2000 CnP=1'

Values are immutable, compare as integers, and keep the bits that no field covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import ClassVar, Final, NoReturn, TypeVar, overload

R = TypeVar("R", bound="Register")

MASK64: Final = (1 << 64) - 1
"""All bits of a 64-bit register."""

EMPTY: Mapping[int, str] = MappingProxyType({})


class Field:
    """Bits ``msb`` to ``lsb`` (both included) of a register; read from a value, it is the unsigned number there.

    ``values`` names the numbers that have a meaning; ``words`` is the purpose of the field. Raises ValueError for bits
    in the wrong order, or a named number that does not fit.
    """

    __slots__ = ("lsb", "mask", "msb", "name", "values", "width", "words")

    def __init__(
        self, msb: int, lsb: int | None = None, *, values: Mapping[int, str] | None = None, words: str = ""
    ) -> None:
        self.name = ""
        self.words = words
        self.msb = msb
        self.lsb = msb if lsb is None else lsb
        if not 0 <= self.lsb <= self.msb:
            raise ValueError(f"field [{self.msb}:{self.lsb}] has its bits in the wrong order")
        self.width = self.msb - self.lsb + 1
        self.mask = (1 << self.width) - 1
        self.values: Mapping[int, str] = EMPTY
        if values:
            for number in (min(values), max(values)):
                if not 0 <= number <= self.mask:
                    raise ValueError(f"value {number:#x} does not fit in field [{self.msb}:{self.lsb}]")
            # Many fields share the names of their numbers; store them once.
            self.values = values if isinstance(values, MappingProxyType) else MappingProxyType(dict(values))

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Field: ...
    @overload
    def __get__(self, instance: int, owner: type) -> int: ...
    def __get__(self, instance: int | None, owner: type) -> Field | int:
        if instance is None:
            return self
        return (int(instance) >> self.lsb) & self.mask

    def __set__(self, instance: object, value: NoReturn) -> None:
        raise AttributeError(f"field {self.name} is read-only: use replace()")

    def insert(self, word: int, value: int) -> int:
        """Return ``word`` with ``value`` in this field. Raises ValueError if it does not fit."""
        if not 0 <= value <= self.mask:
            raise ValueError(f"{value:#x} does not fit in {self.name}[{self.msb}:{self.lsb}]")
        return (word & ~(self.mask << self.lsb)) | (value << self.lsb)

    def text(self, value: int) -> str:
        """Return ``value`` for printing: ``3``, ``0x07 (translation fault, level 3)``, ``0x3f(?)``."""
        if not self.values:
            return str(value) if value < 10 else f"{value:#x}"
        digits = (self.width + 3) // 4
        number = str(value) if self.width <= 4 and value < 10 else f"0x{value:0{digits}x}"
        name = self.values.get(value)
        return f"{number}(?)" if name is None else f"{number} ({name})"


_NO_FIELDS: Final[Mapping[str, Field]] = MappingProxyType({})
_MSB: Final = attrgetter("msb")


class Register(int):
    """A register value of ``WIDTH`` bits; subclasses declare its fields as class attributes.

    The declaration is checked when the class is created. Raises ValueError for fields that overlap or exceed ``WIDTH``,
    and for a reserved name; later for an unknown field name or a value that does not fit.
    """

    WIDTH: ClassVar[int] = 64
    _FIELDS: ClassVar[tuple[Field, ...]] = ()
    _BY_NAME: ClassVar[Mapping[str, Field]] = _NO_FIELDS

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        found: dict[str, Field] = {}
        for base in reversed(cls.__bases__):
            found |= vars_of(base) if issubclass(base, Register) else {}
        for name, value in vars(cls).items():
            if isinstance(value, Field):
                if hasattr(Register, name):
                    raise ValueError(f"{cls.__name__}.{name}: the name is taken")
                found[name] = value
            elif name in found:
                del found[name]
        used = 0
        for name, field in found.items():
            bits = field.mask << field.lsb
            if field.msb >= cls.WIDTH:
                raise ValueError(f"{cls.__name__}.{name}: bit {field.msb} is beyond {cls.WIDTH} bits")
            if used & bits:
                raise ValueError(f"{cls.__name__}.{name} overlaps another field")
            used |= bits
        cls._FIELDS = tuple(sorted(found.values(), key=_MSB, reverse=True))
        cls._BY_NAME = MappingProxyType({field.name: field for field in cls._FIELDS})

    def __new__(cls: type[R], value: int = 0) -> R:
        if not 0 <= value < 1 << cls.WIDTH:
            raise ValueError(f"{value:#x} does not fit in the {cls.WIDTH} bits of {cls.__name__}")
        return int.__new__(cls, value)

    def __setattr__(self, name: str, value: NoReturn) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: use replace()")

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Return the declared fields, from the highest bit to the lowest."""
        return cls._FIELDS

    @classmethod
    def of(cls: type[R], **fields: int) -> R:
        """Return the value with the named fields set and all other bits zero."""
        return cls(cls._inserted(0, fields))

    def replace(self: R, **fields: int) -> R:
        """Return this value with the named fields changed."""
        return type(self)(self._inserted(int(self), fields))

    @classmethod
    def _inserted(cls, word: int, values: Mapping[str, int]) -> int:
        known = cls._BY_NAME
        for name, value in values.items():
            field = known.get(name)
            if field is None:
                raise ValueError(f"{cls.__name__} has no field {name}")
            word = field.insert(word, value)
        return word

    def as_dict(self) -> dict[str, int]:
        """Return all fields by name, from the highest bit to the lowest."""
        return {field.name: (int(self) >> field.lsb) & field.mask for field in self._FIELDS}

    def describe(self) -> str:
        """Return the non-zero fields as ``NAME=value``, highest bit first; ``0`` if there is none."""
        parts = [
            f"{field.name}={field.text(value)}"
            for field in self._FIELDS
            if (value := (int(self) >> field.lsb) & field.mask)
        ]
        return " ".join(parts) or "0"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self):#x})"


def vars_of(register: type[Register]) -> Mapping[str, Field]:
    """Return the fields of a register class by name."""
    return register._BY_NAME
