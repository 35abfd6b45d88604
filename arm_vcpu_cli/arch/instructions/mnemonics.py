"""The text of the instructions decoded here: loads and stores, system moves, branches, simple arithmetic.

Reports show it if no disassembler is installed (DDI 0487, C4.1 and C6.2). Unknown instructions have no text; if only
the kind is known, such as exclusives, that is the text, in brackets.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.instruction_needs import ENCODINGS
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.structures import structure_registers
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore, Unemulated
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move


class Instruction(NamedTuple):
    """One instruction: its text, the registers that it reads (``x0``, ``sp``), and its branch target."""

    text: str
    reads: tuple[str, ...] = ()
    target: int | None = None


_CONDITIONS: Final = "eq ne hs lo mi pl vs vc hi ls ge lt gt le al nv".split()
_SUFFIXES: Final = MappingProxyType({1: "b", 2: "h", 4: "w", 8: ""})
_VECTORS: Final = MappingProxyType({1: "b", 2: "h", 4: "s", 8: "d", 16: "q"})
_EXTENSIONS: Final = MappingProxyType({2: "uxtw", 3: "lsl", 6: "sxtw", 7: "sxtx"})
_BARRIERS: Final = MappingProxyType(
    {1: "oshld", 2: "oshst", 3: "osh", 5: "nshld", 6: "nshst", 7: "nsh", 9: "ishld", 10: "ishst", 11: "ish"}
    | {13: "ld", 14: "st", 15: "sy"}
)
_FIXED: Final = MappingProxyType(
    {
        0xD503201F: "nop",
        0xD503203F: "yield",
        0xD503205F: "wfe",
        0xD503207F: "wfi",
        0xD503209F: "sev",
        0xD50320BF: "sevl",
        0xD5033FDF: "isb",
        0xD69F03E0: "eret",
    }
)
_EXCEPTIONS: Final = MappingProxyType(
    {0xD4000001: "svc", 0xD4000002: "hvc", 0xD4000003: "smc", 0xD4200000: "brk", 0xD4400000: "hlt"}
)
_PSTATE_FIELDS: Final = MappingProxyType({0xD503401F | 6 << 5: "daifset", 0xD503401F | 7 << 5: "daifclr"})
_LINK: Final = "x30"


def spell(word: int, address: int) -> Instruction | None:
    """Return the instruction ``word`` at ``address``; None if it is unknown."""
    for spelled in _SPELLERS:
        found = spelled(word, address)
        if found is not None:
            return found
    return None


def _joined(mnemonic: str, *operands: str) -> str:
    return f"{mnemonic:<7} {', '.join(operands)}".rstrip()


def _number(value: int) -> str:
    sign, size = ("-" if value < 0 else ""), abs(value)
    return f"#{sign}{size}" if size < 10 else f"#{sign}{size:#x}"


def _register(number: int, *, wide: bool = True, sp: bool = False) -> str:
    if number == SP:
        return ("sp" if wide else "wsp") if sp else ("xzr" if wide else "wzr")
    return f"{'x' if wide else 'w'}{number}"


def _reads(*numbers: int, sp: int | None = None) -> tuple[str, ...]:
    """Return the registers with these numbers, without the zero register, in order; ``sp`` is one that is SP if it is
    31."""
    found = {number for number in numbers if number != SP}
    names = [f"x{number}" for number in sorted(found | ({sp} if sp not in (None, SP) else set()))]
    return (*names, "sp") if sp == SP else tuple(names)


def _signed(word: int, lsb: int, bits: int) -> int:
    value = word >> lsb & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


# Loads and stores --------------------------------------------------------------------------------------------------


def _load_store(word: int, address: int) -> Instruction | None:
    access = decode_load_store(word)
    if isinstance(access, Unemulated):
        return Instruction(f"({access.kind})")
    if access is None or word & 0x3F000000 in (0x19000000, 0x1D000000):
        return None
    if word & 0x3E000000 == 0x0C000000:
        return _structure(word, access)
    registers = [_transferred(access, index) for index in range(len(access.transfers))]
    if word & 0x3B000000 == 0x18000000:
        place = address + 4 * _signed(word, 5, 19) & MASK64
        return Instruction(_joined(_mnemonic(word, access), *registers, f"#{place:#x}"))
    base = _register(access.base, sp=True)
    stored = [] if access.is_load else [each.register for each in access.transfers if not each.vector]
    index = [] if access.index is None else [access.index.register]
    read = _reads(*stored, *index, sp=access.base)
    if word & 0xFF200400 == 0xF8200400:  # LDRAA, LDRAB
        return Instruction(
            _joined(f"ldra{'b' if word >> 23 & 1 else 'a'}", *registers, _authenticated(word, base)), read
        )
    if access.post_index and access.writeback is not None:
        where = [f"[{base}]", _number(access.writeback)]
    elif access.offset is None:
        where = [f"[{base}, {_index(word, access)}]"]
    else:
        inside = f"[{base}, {_number(access.offset)}]" if access.offset else f"[{base}]"
        where = [f"[{base}, {_number(access.offset)}]!" if access.writeback is not None else inside]
    return Instruction(_joined(_mnemonic(word, access), *registers, *where), read)


def _authenticated(word: int, base: str) -> str:
    offset = (_signed(word, 12, 9) & 0x1FF | -(word >> 22 & 1) << 9) * 8
    inside = f"[{base}, {_number(offset)}]" if offset or word >> 11 & 1 else f"[{base}]"
    return f"{inside}!" if word >> 11 & 1 else inside


def _structure(word: int, access: LoadStore) -> Instruction:
    """Return the text of LD1 to LD4, LD1R to LD4R, ST1 to ST4."""
    first, single = access.transfers[0], bool(word >> 24 & 1)
    each = structure_registers(word)
    spread = single and not first.lane
    lanes = "" if first.lane else str((16 if word >> 30 & 1 else 8) // first.size)
    names = [
        f"v{number}.{lanes}{_VECTORS[first.size]}" for number in dict.fromkeys(t.register for t in access.transfers)
    ]
    lane = f"[{first.at // first.size}]" if first.lane else ""
    added = access.added_register
    after = [] if not access.writes_base else [_number(access.writeback or 0) if added is None else f"x{added}"]
    mnemonic = f"{'ld' if access.is_load else 'st'}{each}{'r' if spread else ''}"
    base = _register(access.base, sp=True)
    text = _joined(mnemonic, f"{{{', '.join(names)}}}{lane}", f"[{base}]", *after)
    return Instruction(text, _reads(*([] if added is None else [added]), sp=access.base))


def _transferred(access: LoadStore, index: int) -> str:
    each = access.transfers[index]
    if each.vector:
        return f"{_VECTORS[each.size]}{each.register}"
    return _register(each.register, wide=each.size == 8 or (each.sign_extend and each.is_64bit))


def _mnemonic(word: int, access: LoadStore) -> str:
    first = access.transfers[0]
    verb = "ld" if access.is_load else "st"
    if len(access.transfers) > 1:
        kind = "np" if not word >> 23 & 3 else "p"
        return f"{verb}{kind}{'sw' if first.sign_extend else ''}"
    if word & 0x3F000000 == 0x08000000:
        kind = ("ar" if access.is_load else "lr") if word >> 15 & 1 else ("lar" if access.is_load else "llr")
    elif word & 0x3B200C00 == 0x38200000:
        kind = "apr"
    elif access.unprivileged:
        kind = "tr"
    else:
        kind = "ur" if word & 0x3B200C00 == 0x38000000 else "r"
    if first.vector:
        return verb + kind
    narrow = "" if first.size == 4 and not first.sign_extend else _SUFFIXES[first.size]
    return f"{verb}{kind}{'s' if first.sign_extend else ''}{narrow}"


def _index(word: int, access: LoadStore) -> str:
    option, scaled = word >> 13 & 7, word >> 12 & 1
    name = _register(word >> 16 & 31, wide=bool(option & 1))
    amount = access.transfers[0].size.bit_length() - 1
    if option == 3 and not scaled:
        return name
    extension = _EXTENSIONS.get(option, "?")
    return f"{name}, {extension} #{amount}" if scaled else f"{name}, {extension}"


# System instructions -----------------------------------------------------------------------------------------------


def _system(word: int, _address: int) -> Instruction | None:
    if word in _FIXED:
        return Instruction(_FIXED[word])
    immediate = word >> 5 & 0xFFFF
    name = _EXCEPTIONS.get(word & 0xFFE0001F)
    if name is not None:
        return Instruction(_joined(name, _number(immediate)))
    barrier = {0xD503309F: "dsb", 0xD50330BF: "dmb"}.get(word & 0xFFFFF0FF)
    if barrier is not None and word >> 8 & 15 in _BARRIERS:
        return Instruction(_joined(barrier, _BARRIERS[word >> 8 & 15]))
    field = _PSTATE_FIELDS.get(word & 0xFFFFF0FF)
    if field is not None:
        return Instruction(_joined("msr", field, _number(word >> 8 & 15)))
    move = decode_system_move(word)
    if move is None:
        return None
    general, register = _register(move.rt), move.reg.name.lower()
    if move.reg.op0 >= 2:
        if move.is_read:
            return Instruction(_joined("mrs", general, register))
        return Instruction(_joined("msr", register, general), _reads(move.rt))
    operation, _, operand = register.partition(" ")
    if not operand or move.is_read:
        return None
    operands = [operand] if move.rt == SP else [operand, general]
    return Instruction(_joined(operation, *operands), _reads(move.rt))


# Branches ----------------------------------------------------------------------------------------------------------


def _branch(word: int, address: int) -> Instruction | None:
    if word & 0x7C000000 == 0x14000000:
        return _to("bl" if word >> 31 else "b", address + 4 * _signed(word, 0, 26))
    if word & 0xFF000010 == 0x54000000:
        return _to(f"b.{_CONDITIONS[word & 15]}", address + 4 * _signed(word, 5, 19))
    register, wide = word & 31, bool(word >> 31)
    if word & 0x7E000000 == 0x34000000:
        name = "cbnz" if word >> 24 & 1 else "cbz"
        return _to(name, address + 4 * _signed(word, 5, 19), _register(register, wide=wide), reads=_reads(register))
    if word & 0x7E000000 == 0x36000000:
        bit = word >> 31 << 5 | word >> 19 & 31
        operands = _register(register, wide=wide), _number(bit)
        name = "tbnz" if word >> 24 & 1 else "tbz"
        return _to(name, address + 4 * _signed(word, 5, 14), *operands, reads=_reads(register))
    through = word >> 5 & 31
    name = {0xD61F0000: "br", 0xD63F0000: "blr", 0xD65F0000: "ret"}.get(word & 0xFFFFFC1F, "")
    if name == "ret" and through == 30:
        return Instruction("ret", (_LINK,))
    return Instruction(_joined(name, _register(through)), _reads(through)) if name else None


def _to(name: str, target: int, *operands: str, reads: tuple[str, ...] = ()) -> Instruction:
    target &= MASK64
    return Instruction(_joined(name, *operands, f"#{target:#x}"), reads, target)


# Arithmetic --------------------------------------------------------------------------------------------------------


def _arithmetic(word: int, address: int) -> Instruction | None:
    destination, first, wide = word & 31, word >> 5 & 31, bool(word >> 31)
    if word & 0x1F000000 == 0x10000000:
        offset = _signed(word, 5, 19) << 2 | word >> 29 & 3
        place = (address & ~0xFFF) + (offset << 12) if wide else address + offset
        return Instruction(_joined("adrp" if wide else "adr", _register(destination), f"#{place & MASK64:#x}"))
    if word & 0x1F800000 == 0x11000000:
        return _immediate(word)
    if word & 0x1F800000 == 0x12800000:
        return _wide_immediate(word)
    if word & 0x1F20FC00 == 0x0B000000 and not word >> 22 & 3:
        return _registers(word, ("add", "adds", "sub", "subs")[word >> 29 & 3])
    if word & 0x1F20FC00 == 0x0A000000 and not word >> 22 & 3:
        name = ("and", "orr", "eor", "ands")[word >> 29 & 3]
        if name == "orr" and first == SP:
            second = word >> 16 & 31
            operands = _register(destination, wide=wide), _register(second, wide=wide)
            return Instruction(_joined("mov", *operands), _reads(second))
        return _registers(word, name)
    return None


def _immediate(word: int) -> Instruction:
    """Return the text of ADD and SUB with an immediate, which are also MOV to or from SP, CMP and CMN."""
    destination, source, wide = word & 31, word >> 5 & 31, bool(word >> 31)
    name = ("add", "adds", "sub", "subs")[word >> 29 & 3]
    value, shifted = word >> 10 & 0xFFF, bool(word >> 22 & 1)
    amount = [_number(value), *(["lsl #12"] if shifted else [])]
    base = _register(source, wide=wide, sp=True)
    if name.endswith("s") and destination == SP:
        return Instruction(_joined("cmp" if name == "subs" else "cmn", base, *amount), _reads(sp=source))
    into = _register(destination, wide=wide, sp=not name.endswith("s"))
    if name == "add" and not value and not shifted and SP in (destination, source):
        return Instruction(_joined("mov", into, base), _reads(sp=source))
    return Instruction(_joined(name, into, base, *amount), _reads(sp=source))


def _wide_immediate(word: int) -> Instruction | None:
    """Return the text of MOVZ and MOVN, which are MOV, and MOVK."""
    destination, wide, kind = word & 31, bool(word >> 31), word >> 29 & 3
    value, shift = word >> 5 & 0xFFFF, 16 * (word >> 21 & 3)
    if kind == 1 or (shift > 16 and not wide):
        return None
    name = _register(destination, wide=wide)
    if kind == 3:
        operands = [_number(value), *([f"lsl #{shift}"] if shift else [])]
        return Instruction(_joined("movk", name, *operands), _reads(destination))
    if not value and shift:
        return None
    if kind == 0 and not wide and value == 0xFFFF:
        return None
    moved = value << shift if kind == 2 else ~(value << shift)
    if kind == 0 and not wide:
        # A negative number of 32 bits, if its sign bit is set.
        moved = (moved & 0xFFFFFFFF ^ 1 << 31) - (1 << 31)
    return Instruction(_joined("mov", name, _number(moved)))


def _registers(word: int, name: str) -> Instruction:
    destination, first, second, wide = word & 31, word >> 5 & 31, word >> 16 & 31, bool(word >> 31)
    one, two = _register(first, wide=wide), _register(second, wide=wide)
    reads = _reads(first, second)
    if destination == SP and name in ("subs", "adds", "ands"):
        return Instruction(_joined({"subs": "cmp", "adds": "cmn", "ands": "tst"}[name], one, two), reads)
    into = _register(destination, wide=wide)
    if name in ("sub", "subs") and first == SP:
        return Instruction(_joined("neg" if name == "sub" else "negs", into, two), reads)
    return Instruction(_joined(name, into, one, two), reads)


def _kind(word: int, _address: int) -> Instruction | None:
    """Return the kind of an instruction of which nothing else is known."""
    name = next((encoding.mnemonic for encoding in ENCODINGS if encoding.matches(word)), None)
    return None if name is None else Instruction(f"({name})")


_SPELLERS: Final[tuple[Callable[[int, int], Instruction | None], ...]] = (
    _load_store,
    _system,
    _branch,
    _arithmetic,
    _kind,
)
