"""Loads and stores to a device: every form, completed in place and by the caller of ``run()`` (C6.2, C7.2).

The device repeats the bytes 0x80 to 0xFF: each access reads a different, negative number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Mdscr, Spsr
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss, SoftwareStepIss
from arm_vcpu_cli.axvcpu.exit import AccessWidth, MmioRead, MmioWrite

from .harness import (
    CURRENT_SPX,
    DEVICE,
    EL0T,
    EL1H,
    LOWER_64,
    MASKED,
    STACK,
    Guest,
    Script,
)
from .stage1 import KERNEL, SIZES, Stage1

ADDRESS = DEVICE + 0x80
CONTENT = bytes(0x80 | n & 0x7F for n in range(0x1000))
M32, M64, M128 = (1 << 32) - 1, (1 << 64) - 1, (1 << 128) - 1
BEFORE = {n: 0x1111_1111_1111_1111 * (n % 15 + 1) ^ n for n in range(31)} | {1: ADDRESS, 2: 0x10}
VECTORS = {n: 0x0101_0101_0101_0101_0202_0202_0202_0202 * (n + 1) & M128 for n in (3, 4, 31)}
FAR_BEFORE = 0x5555_6666


def at(offset: int, size: int) -> int:
    """What the device holds at ``offset`` from the address."""
    start = ADDRESS - DEVICE + offset
    return int.from_bytes(CONTENT[start : start + size], "little")


def signed(offset: int, size: int, mask: int) -> int:
    """The same, extended by its sign."""
    return at(offset, size) - (1 << 8 * size) & mask


class Load(NamedTuple):
    """A form of load. ``accesses`` are (offset, bytes); ``x`` and ``v`` what it leaves in registers."""

    accesses: tuple[tuple[int, int], ...]
    x: Mapping[int, int] = {}
    v: Mapping[int, int] = {}
    base: int = 0
    """What is added to the base."""
    x2: int = 0x10
    """What is in x2 before."""
    sp: bool = False
    """The base is SP."""


class Store(NamedTuple):
    """A form of store. ``accesses`` are (offset, bytes, value)."""

    accesses: tuple[tuple[int, int, int], ...]
    base: int = 0
    x2: int = 0x10
    sp: bool = False


V3_UPPER = VECTORS[3] & ~0xFF
LOADS: dict[str, Load] = {
    "ldrb_w": Load(((0, 1),), {0: at(0, 1)}),
    "ldrh_w": Load(((0, 2),), {0: at(0, 2)}),
    "ldr_w": Load(((0, 4),), {0: at(0, 4)}),
    "ldr_x": Load(((0, 8),), {0: at(0, 8)}),
    "ldrsb_w": Load(((0, 1),), {0: signed(0, 1, M32)}),
    "ldrsb_x": Load(((0, 1),), {0: signed(0, 1, M64)}),
    "ldrsh_w": Load(((0, 2),), {0: signed(0, 2, M32)}),
    "ldrsh_x": Load(((0, 2),), {0: signed(0, 2, M64)}),
    "ldrsw_x": Load(((0, 4),), {0: signed(0, 4, M64)}),
    "ldr_wzr": Load(((0, 4),)),
    "ldr_xzr": Load(((0, 8),)),
    "ldr_x30": Load(((0, 8),), {30: at(0, 8)}),
    "ldr_base": Load(((0, 8),), {1: at(0, 8)}),
    "ldr_offset": Load(((0x10, 4),), {0: at(0x10, 4)}),
    "ldur_w": Load(((-4, 4),), {0: at(-4, 4)}),
    "ldurb_w": Load(((-1, 1),), {0: at(-1, 1)}),
    "ldursb_x": Load(((-1, 1),), {0: signed(-1, 1, M64)}),
    "ldursw_x": Load(((-4, 4),), {0: signed(-4, 4, M64)}),
    "ldr_register": Load(((0x10, 4),), {0: at(0x10, 4)}),
    "ldr_register_lsl": Load(((0x10, 8),), {0: at(0x10, 8)}, x2=2),
    "ldr_register_sxtw": Load(((-4, 4),), {0: at(-4, 4)}, x2=0x7777_FFFF_FFFC),
    "ldr_register_uxtw": Load(((8, 2),), {0: at(8, 2)}, x2=0x7777_0000_0004),
    "ldr_sp": Load(((0, 4),), {0: at(0, 4)}, sp=True),
    "ldr_sp_offset": Load(((8, 8),), {0: at(8, 8)}, sp=True),
    "ldr_pre": Load(((8, 4),), {0: at(8, 4)}, base=8),
    "ldr_post": Load(((0, 4),), {0: at(0, 4)}, base=8),
    "ldr_x_pre_negative": Load(((-16, 8),), {0: at(-16, 8)}, base=-16),
    "ldr_x_post_negative": Load(((0, 8),), {0: at(0, 8)}, base=-16),
    "ldrsb_x_post": Load(((0, 1),), {0: signed(0, 1, M64)}, base=1),
    "ldrsh_w_pre": Load(((2, 2),), {0: signed(2, 2, M32)}, base=2),
    "ldrsw_x_post": Load(((0, 4),), {0: signed(0, 4, M64)}, base=4),
    "ldr_sp_post": Load(((0, 8),), {0: at(0, 8)}, base=16, sp=True),
    "ldr_sp_pre": Load(((-16, 8),), {0: at(-16, 8)}, base=-16, sp=True),
    "ldr_wzr_post": Load(((0, 4),), base=4),
    "ldp_w": Load(((0, 4), (4, 4)), {0: at(0, 4), 2: at(4, 4)}),
    "ldp_x": Load(((0, 8), (8, 8)), {0: at(0, 8), 2: at(8, 8)}),
    "ldp_x_offset": Load(((16, 8), (24, 8)), {0: at(16, 8), 2: at(24, 8)}),
    "ldp_x_pre": Load(((16, 8), (24, 8)), {0: at(16, 8), 2: at(24, 8)}, base=16),
    "ldp_x_post": Load(((0, 8), (8, 8)), {0: at(0, 8), 2: at(8, 8)}, base=16),
    "ldp_w_post_negative": Load(((0, 4), (4, 4)), {0: at(0, 4), 2: at(4, 4)}, base=-8),
    "ldp_xzr": Load(((0, 8), (8, 8)), {2: at(8, 8)}),
    "ldp_sp_post": Load(((0, 8), (8, 8)), {29: at(0, 8), 30: at(8, 8)}, base=16, sp=True),
    "ldp_base": Load(((0, 8), (8, 8)), {1: at(0, 8), 2: at(8, 8)}),
    "ldpsw_x": Load(((0, 4), (4, 4)), {0: signed(0, 4, M64), 2: signed(4, 4, M64)}),
    "ldpsw_x_post": Load(((0, 4), (4, 4)), {0: signed(0, 4, M64), 2: signed(4, 4, M64)}, base=8),
    "ldnp_x": Load(((0, 8), (8, 8)), {0: at(0, 8), 2: at(8, 8)}),
    "ldr_b": Load(((0, 1),), v={3: at(0, 1)}),
    "ldr_h": Load(((0, 2),), v={3: at(0, 2)}),
    "ldr_s": Load(((0, 4),), v={3: at(0, 4)}),
    "ldr_d": Load(((0, 8),), v={3: at(0, 8)}),
    "ldr_q": Load(((0, 8), (8, 8)), v={3: at(0, 16)}),
    "ldr_q31": Load(((0, 8), (8, 8)), v={31: at(0, 16)}),
    "ldur_q": Load(((-16, 8), (-8, 8)), v={3: at(-16, 16)}),
    "ldr_q_register": Load(((32, 8), (40, 8)), v={3: at(32, 16)}, x2=2),
    "ldr_d_post": Load(((0, 8),), v={3: at(0, 8)}, base=8),
    "ldr_q_pre": Load(((16, 8), (24, 8)), v={3: at(16, 16)}, base=16),
    "ldp_s": Load(((0, 4), (4, 4)), v={3: at(0, 4), 4: at(4, 4)}),
    "ldp_d": Load(((0, 8), (8, 8)), v={3: at(0, 8), 4: at(8, 8)}),
    "ldp_q": Load(((0, 8), (8, 8), (16, 8), (24, 8)), v={3: at(0, 16), 4: at(16, 16)}),
    "ldp_q_post": Load(((0, 8), (8, 8), (16, 8), (24, 8)), v={3: at(0, 16), 4: at(16, 16)}, base=32),
    "ldar_w": Load(((0, 4),), {0: at(0, 4)}),
    "ldar_x": Load(((0, 8),), {0: at(0, 8)}),
    "ldarb_w": Load(((0, 1),), {0: at(0, 1)}),
    "ldtr_w": Load(((0, 4),), {0: at(0, 4)}),
    "ldtr_x": Load(((8, 8),), {0: at(8, 8)}),
    "ldtrsb_x": Load(((0, 1),), {0: signed(0, 1, M64)}),
    "ldtrsh_w": Load(((0, 2),), {0: signed(0, 2, M32)}),
}

VECTOR_BYTES = VECTORS[3].to_bytes(16, "little")


def lanes(size: int, *values: int) -> int:
    """A vector register with these elements from the first on."""
    return int.from_bytes(b"".join(value.to_bytes(size, "little") for value in values), "little")


def elements(count: int, size: int) -> tuple[tuple[int, int], ...]:
    """The accesses to so many elements."""
    return tuple((number * size, size) for number in range(count))


STRUCTURE_LOADS: Mapping[str, Load] = {
    "ld1": Load(elements(16, 1), v={3: at(0, 16)}),
    "ld1_8b": Load(elements(8, 1), v={3: at(0, 8)}),
    "ld1_two": Load(elements(4, 8), v={3: at(0, 16), 4: at(16, 16)}, base=32),
    "ld1_post_register": Load(elements(4, 4), v={3: at(0, 16)}, base=0x123, x2=0x123),
    "ld2": Load(
        elements(8, 4),
        v={3: lanes(4, *(at(8 * n, 4) for n in range(4))), 4: lanes(4, *(at(8 * n + 4, 4) for n in range(4)))},
    ),
    "ld2_wrapping": Load(elements(4, 4), v={31: lanes(4, at(0, 4), at(8, 4))}, base=16),
    "ld1_single": Load(((0, 4),), v={3: lanes(1, *VECTOR_BYTES[:4], *CONTENT[:4], *VECTOR_BYTES[8:])}),
    "ld1_first_byte": Load(((0, 1),), v={3: V3_UPPER | at(0, 1)}, base=1),
    "ld1_last_byte": Load(((0, 1),), v={3: VECTORS[3] & ~(0xFF << 120) | at(0, 1) << 120}),
    "ld2_lane": Load(
        ((0, 8), (8, 8)), v={3: at(0, 8) << 64 | VECTORS[3] & M64, 4: at(8, 8) << 64 | VECTORS[4] & M64}, base=16
    ),
    "ld1r": Load(((0, 2),), v={3: lanes(2, *(at(0, 2),) * 8)}, base=2),
    "ld1r_8b": Load(((0, 1),), v={3: lanes(1, *(at(0, 1),) * 8)}),
    "ld2r": Load(((0, 4), (4, 4)), v={3: lanes(4, *(at(0, 4),) * 4), 4: lanes(4, *(at(4, 4),) * 4)}),
    "ld1_sp": Load(elements(2, 8), v={3: at(0, 16)}, base=16, sp=True),
}
LOADS |= STRUCTURE_LOADS
GENERAL_LOADS: Mapping[str, Load] = {place: form for place, form in LOADS.items() if not form.v}

X0, W0, X2 = BEFORE[0], BEFORE[0] & M32, BEFORE[2]
V3, V4 = VECTORS[3], VECTORS[4]
STORES: Mapping[str, Store] = {
    "strb_w": Store(((0, 1, X0 & 0xFF),)),
    "strh_w": Store(((0, 2, X0 & 0xFFFF),)),
    "str_w": Store(((0, 4, W0),)),
    "str_x": Store(((0, 8, X0),)),
    "str_wzr": Store(((0, 4, 0),)),
    "str_xzr": Store(((0, 8, 0),)),
    "str_x30": Store(((0, 8, BEFORE[30]),)),
    "stur_x": Store(((-8, 8, X0),)),
    "str_register": Store(((0x10, 4, W0),)),
    "str_sp": Store(((0, 4, W0),), sp=True),
    "str_pre": Store(((8, 4, W0),), base=8),
    "str_post": Store(((0, 4, W0),), base=8),
    "strb_post": Store(((0, 1, X0 & 0xFF),), base=1),
    "str_sp_pre": Store(((-16, 8, X0),), base=-16, sp=True),
    "str_xzr_post": Store(((0, 8, 0),), base=8),
    "stp_w": Store(((0, 4, W0), (4, 4, X2))),
    "stp_x": Store(((0, 8, X0), (8, 8, X2))),
    "stp_x_pre": Store(((-16, 8, X0), (-8, 8, X2)), base=-16),
    "stp_x_post": Store(((0, 8, X0), (8, 8, X2)), base=16),
    "stp_xzr": Store(((0, 8, 0), (8, 8, 0))),
    "stp_sp_pre": Store(((-16, 8, BEFORE[29]), (-8, 8, BEFORE[30])), base=-16, sp=True),
    "stnp_w": Store(((0, 4, W0), (4, 4, X2))),
    "str_b": Store(((0, 1, V3 & 0xFF),)),
    "str_h": Store(((0, 2, V3 & 0xFFFF),)),
    "str_s": Store(((0, 4, V3 & M32),)),
    "str_d": Store(((0, 8, V3 & M64),)),
    "str_q": Store(((0, 8, V3 & M64), (8, 8, V3 >> 64))),
    "str_q_post": Store(((0, 8, V3 & M64), (8, 8, V3 >> 64)), base=16),
    "stp_d": Store(((0, 8, V3 & M64), (8, 8, V4 & M64))),
    "stp_q_pre": Store(((-32, 8, V3 & M64), (-24, 8, V3 >> 64), (-16, 8, V4 & M64), (-8, 8, V4 >> 64)), base=-32),
    "stlr_w": Store(((0, 4, W0),)),
    "stlr_x": Store(((0, 8, X0),)),
    "stlrh_w": Store(((0, 2, X0 & 0xFFFF),)),
    "sttr_w": Store(((0, 4, W0),)),
    "sttrb_w": Store(((0, 1, X0 & 0xFF),)),
    "st1": Store(tuple((n, 1, VECTOR_BYTES[n]) for n in range(16))),
    "st1_lane": Store(((0, 2, V3 >> 80 & 0xFFFF),), base=2),
    "st1_post_register": Store(((0, 8, V3 & M64),), base=-8, x2=-8 & M64),
    "st2": Store(tuple((4 * n, 4, (V4 if n % 2 else V3) >> 32 * (n // 2) & M32) for n in range(4)), base=16),
    "st3_lane": Store(tuple((n, 1, v >> 16 & 0xFF) for n, v in enumerate((V3, V4, 0)))),
}
NEWER_LOADS: Mapping[str, Load] = {
    "ldapr_w": Load(((0, 4),), {0: at(0, 4)}),
    "ldapur_x": Load(((-8, 8),), {0: at(-8, 8)}),
    "ldapursb_x": Load(((-1, 1),), {0: signed(-1, 1, M64)}),
}
NEWER_STORES: Mapping[str, Store] = {"stlur_x": Store(((-8, 8, X0),))}
MODES = {"EL1h": EL1H, "EL0t": EL0T}


class Machine:
    """A guest over a scripted device, with all registers in a known state."""

    def __init__(self, *, in_place: bool, model: str = "cortex-a72") -> None:
        self.script = Script(CONTENT)
        self.guest = Guest("accesses", model=model, platform=self.script if in_place else None)

    def reset(self) -> None:
        self.script.content[:] = CONTENT
        self.script.log.clear()
        self.script.refuse.clear()
        self.guest["FAR_EL1"] = FAR_BEFORE
        self.guest["MDSCR_EL1"] = 0

    def prepare(self, place: str, mode: int, form: Load | Store, pstate: int = MASKED) -> None:
        registers = BEFORE | {2: form.x2}
        if form.sp:
            registers[1] = BEFORE[3]
        stack = ADDRESS if form.sp else STACK
        self.guest.prepare(place, mode=mode, pstate=pstate, x=registers, sp_el0=stack, sp_el1=stack)
        for number, value in VECTORS.items():
            self.guest.set_v(number, value)
        self.registers = registers

    def check(self, place: str, form: Load | Store, mode: int) -> None:
        """The instruction was completed once: these registers and nothing else were changed."""
        guest = self.guest
        assert guest.finished(place)
        x = self.registers | ({} if isinstance(form, Store) else dict(form.x))
        if form.sp:
            stack = guest.vcpu.ctx.sp if mode == EL1H else guest.vcpu.ctx.sp_el0
            assert stack == ADDRESS + form.base
        elif form.base:
            x[1] = ADDRESS + form.base
        assert {n: guest.x(n) for n in range(31)} == x
        v = VECTORS | ({} if isinstance(form, Store) else dict(form.v))
        assert {n: guest.v(n) for n in VECTORS} == v

    def check_untouched(self, form: Load | Store, mode: int) -> None:
        guest = self.guest
        assert {n: guest.x(n) for n in range(31)} == self.registers
        assert {n: guest.v(n) for n in VECTORS} == VECTORS
        if form.sp:
            assert guest.vcpu.ctx.sp_el0 == ADDRESS


@pytest.fixture(scope="module")
def machines() -> Iterator[Mapping[str, Machine]]:
    found = {
        "in place": Machine(in_place=True),
        "by the caller": Machine(in_place=False),
        "newer": Machine(in_place=True, model="max"),
    }
    yield found
    for machine in found.values():
        machine.guest.host.close()


@pytest.fixture
def device(machines: Mapping[str, Machine]) -> Machine:
    """A machine whose platform completes accesses."""
    machines["in place"].reset()
    return machines["in place"]


@pytest.fixture
def caller(machines: Mapping[str, Machine]) -> Machine:
    """A machine whose accesses are returned from ``run()``."""
    machines["by the caller"].reset()
    return machines["by the caller"]


@pytest.fixture
def newer(machines: Mapping[str, Machine]) -> Machine:
    """As ``device``, on the newest core."""
    machines["newer"].reset()
    return machines["newer"]


def log_of(form: Load | Store) -> list[tuple[str, int, int, int]]:
    """The accesses that the device has to see, in order of their addresses."""
    base = ADDRESS - DEVICE
    if isinstance(form, Load):
        return [("read", base + offset, size, at(offset, size)) for offset, size in form.accesses]
    return [("write", base + offset, size, value) for offset, size, value in form.accesses]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "form"), [*LOADS.items(), *STORES.items()], ids=[*LOADS, *STORES])
def test_completed_in_place(device: Machine, place: str, form: Load | Store, mode: int) -> None:
    device.prepare(place, mode, form)
    device.guest.run()
    assert device.script.log == log_of(form)
    device.check(place, form, mode)


VECTOR_STORES = ("str_b", "str_h", "str_s", "str_d", "str_q", "stur_q")


@pytest.mark.parametrize(("place", "form"), [*LOADS.items(), *STORES.items()], ids=[*LOADS, *STORES])
def test_syndrome_describes_single_accesses_without_write_back_only(
    caller: Machine, place: str, form: Load | Store
) -> None:
    """ISV and ISS[23:14] (D24.2, ESR_EL2, ISS encoding for an exception from a Data Abort)."""
    caller.prepare(place, EL1H, form)
    caller.guest.run()
    esr = caller.guest.vcpu.last_syndrome or 0
    caller.guest.vcpu.inject_external_abort()
    is_write, size = isinstance(form, Store), form.accesses[0][1]
    assert (esr >> 26, esr >> 6 & 1) == (0x24, is_write)
    vector = place in VECTOR_STORES if isinstance(form, Store) else bool(form.v)
    if form.base or vector or len(form.accesses) > 1:
        assert esr & 0x1FF_C000 == 0
    else:
        assert (esr >> 24 & 1, 1 << (esr >> 22 & 3)) == (1, size)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    ("place", "form"), [*NEWER_LOADS.items(), *NEWER_STORES.items()], ids=[*NEWER_LOADS, *NEWER_STORES]
)
def test_newer_forms_completed_in_place(newer: Machine, place: str, form: Load | Store, mode: int) -> None:
    newer.prepare(place, mode, form)
    newer.guest.run()
    assert newer.script.log == log_of(form)
    newer.check(place, form, mode)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "form"), LOADS.items(), ids=LOADS)
def test_loads_completed_by_the_caller(caller: Machine, place: str, form: Load, mode: int) -> None:
    guest = caller.guest
    caller.prepare(place, mode, form)
    start = guest.label(place)
    for offset, size in form.accesses:
        reason = guest.run()
        assert isinstance(reason, MmioRead)
        assert (reason.addr, reason.width) == (ADDRESS + offset, size)
        assert guest.pc == start, "the instruction is not over"
        caller.check_untouched(form, mode)
        # More than the width: it has to be cut.
        guest.vcpu.complete(at(offset, size) | 0xAB << 8 * size)
    guest.run()
    caller.check(place, form, mode)


@pytest.mark.parametrize(("place", "form"), GENERAL_LOADS.items(), ids=GENERAL_LOADS)
def test_loads_completed_by_setting_the_register(caller: Machine, place: str, form: Load) -> None:
    guest = caller.guest
    caller.prepare(place, EL1H, form)
    for offset, size in form.accesses:
        reason = guest.run()
        assert isinstance(reason, MmioRead)
        if reason.reg == 31:
            guest.vcpu.set_gpr(31, at(offset, size))
        elif len(form.accesses) > 1 and offset == form.accesses[0][0]:
            # The first of a pair must not be visible before the second is known.
            guest.vcpu.complete(at(offset, size))
        else:
            guest.vcpu.set_gpr(reason.reg, at(offset, size))
    guest.run()
    caller.check(place, form, EL1H)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "form"), STORES.items(), ids=STORES)
def test_stores_completed_by_the_caller(caller: Machine, place: str, form: Store, mode: int) -> None:
    guest = caller.guest
    caller.prepare(place, mode, form)
    for offset, size, value in form.accesses:
        assert guest.run() == MmioWrite(ADDRESS + offset, AccessWidth(size), value)
        assert guest.pc == guest.label(place)
        caller.check_untouched(form, mode)
    guest.run()
    caller.check(place, form, mode)


# Aborts ------------------------------------------------------------------------------------------------------------


def check_abort(guest: Guest, place: str, mode: int, far: int, *, write: bool, fsc: int = 0x10) -> None:
    """A synchronous external abort, seen by the guest at the instruction."""
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    assert guest["ELR_EL1"] == guest.label(place)
    assert guest.ec == (0x24 if mode == EL0T else 0x25)
    assert guest.iss == DataAbortIss.of(WnR=int(write), DFSC=fsc)
    assert guest["FAR_EL1"] == far


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("place", "form"), [*LOADS.items(), *STORES.items()], ids=[*LOADS, *STORES])
def test_abort_of_the_last_access_changes_no_register(
    device: Machine, place: str, form: Load | Store, mode: int
) -> None:
    last = form.accesses[-1][0]
    device.script.refuse = {ADDRESS + last}
    device.prepare(place, mode, form)
    device.guest.run()
    assert device.script.log == log_of(form)[:-1]
    device.check_untouched(form, mode)
    check_abort(device.guest, place, mode, ADDRESS + last, write=isinstance(form, Store))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["ldr_w", "ldr_pre", "ldp_x", "ldp_q_post", "str_w", "stp_x_pre"])
def test_abort_asked_for_by_the_caller(caller: Machine, place: str, mode: int) -> None:
    form: Load | Store = LOADS[place] if place in LOADS else STORES[place]
    guest = caller.guest
    caller.prepare(place, mode, form)
    for _access in form.accesses[:-1]:
        assert isinstance(guest.run(), (MmioRead, MmioWrite))
        if isinstance(form, Load):
            guest.vcpu.complete(0x1234)
    guest.run()
    guest.vcpu.inject_external_abort()
    guest.run()
    caller.check_untouched(form, mode)
    check_abort(guest, place, mode, ADDRESS + form.accesses[-1][0], write=isinstance(form, Store))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["ldxr_x", "ldaxr_w", "ldxp_x"])
def test_exclusive_on_a_device_is_unsupported(device: Machine, place: str, mode: int) -> None:
    device.prepare(place, mode, Load(()))
    device.guest.run()
    assert device.script.log == []
    device.check_untouched(Load(()), mode)
    check_abort(device.guest, place, mode, ADDRESS, write=False, fsc=0x35)


@pytest.mark.parametrize("place", ["stxr_x", "stlxrb_w"])
def test_store_exclusive_without_a_reservation_fails(device: Machine, place: str) -> None:
    device.prepare(place, EL1H, Load(()))
    device.guest.run()
    assert device.script.log == []
    device.check(place, Load((), {3: 1}), EL1H)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("place", ["ldadd_x", "ldset_w", "swp_x", "swpab_w", "cas_x", "casal_w", "casp_x", "stadd_w"])
def test_atomic_on_a_device_is_unsupported(newer: Machine, place: str, mode: int) -> None:
    newer.prepare(place, mode, Load(()))
    newer.guest.run()
    assert newer.script.log == []
    newer.check_untouched(Load(()), mode)
    guest = newer.guest
    assert guest.slot == (LOWER_64 if mode == EL0T else CURRENT_SPX)
    assert guest["ELR_EL1"] == guest.label(place)
    # WnR is UNKNOWN with this status.
    assert guest.iss & ~int(DataAbortIss.of(WnR=1)) == 0x35
    assert guest["FAR_EL1"] == ADDRESS


@pytest.mark.parametrize("place", ["prfm_load", "prfm_store", "dc_civac", "dc_cvac", "dc_cvau", "dc_ivac", "ic_ivau"])
def test_hints_and_maintenance_do_nothing(device: Machine, place: str) -> None:
    device.prepare(place, EL1H, Load(()))
    device.guest.run()
    assert device.script.log == []
    device.check(place, Load(()), EL1H)
    assert device.guest["FAR_EL1"] == FAR_BEFORE


@pytest.mark.parametrize("place", ["ldr_x", "ldrb_w", "ldr_register", "ldr_post", "ldp_x", "ldr_q", "str_x", "stp_x"])
def test_access_to_the_first_byte_of_a_page(device: Machine, place: str) -> None:
    device.guest.prepare(place, x=BEFORE | {1: DEVICE, 2: 0})
    device.guest.run()
    assert device.guest.finished(place)
    assert device.script.log[0][1] == 0


@pytest.mark.parametrize("place", ["ldr_w", "ldr_pre", "ldp_x_post", "ldr_q_pre", "str_post", "stp_x_pre"])
def test_tag_in_an_address_is_ignored_and_kept(place: str) -> None:
    script = Script(CONTENT)
    form: Load | Store = LOADS[place] if place in LOADS else STORES[place]
    with Guest("accesses", platform=script) as guest:
        tables = Stage1(guest)
        tables.map(DEVICE & -SIZES[2], DEVICE & -SIZES[2], 2, KERNEL)
        tables.enable(tcr=tables.tcr | 1 << 37)
        tagged = ADDRESS | 0xA5 << 56
        guest.start(place, x=BEFORE | {1: tagged})
        assert guest.finished(place)
        assert [entry[:3] for entry in script.log] == [entry[:3] for entry in log_of(form)]
        assert guest.x(1) == tagged + form.base


@pytest.mark.parametrize(("place", "base", "after"), [("stp_x_pre", 0, M64 - 15), ("ldr_x_pre_negative", 8, M64 - 7)])
def test_address_that_wraps_around(place: str, base: int, after: int) -> None:
    script = Script(CONTENT)
    with Guest("accesses", platform=script) as guest:
        tables = Stage1(guest)
        tables.map(M64 & -SIZES[3], DEVICE, 3, KERNEL)
        tables.enable()
        guest.start(place, x=BEFORE | {1: base})
        assert guest.finished(place)
        assert script.log[0][1] == after & 0xFFF
        assert guest.x(1) == after


# Software step -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["ldr_w", "ldr_post", "ldp_x_pre", "ldp_q", "str_x", "stp_x_post"])
def test_software_step_over_an_emulated_access(device: Machine, place: str) -> None:
    form: Load | Store = LOADS[place] if place in LOADS else STORES[place]
    device.guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    device.prepare(place, EL0T, form, pstate=MASKED & ~int(Spsr.of(D=1)) | Spsr.of(SS=1))
    device.guest.run()
    assert device.script.log == log_of(form)
    assert device.guest.slot == LOWER_64
    assert device.guest.ec == 0x32
    # ISV = 0: the guest was entered behind the instruction with PSTATE.SS = 0 (SoftwareStep_DidNotStep, J1.1.2).
    assert device.guest.iss == SoftwareStepIss.of(ISV=0, IFSC=0x22)
    assert device.guest["ELR_EL1"] == device.guest.label(place) + 4


def test_software_step_over_an_access_completed_by_the_caller(caller: Machine) -> None:
    guest = caller.guest
    guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    caller.prepare("ldp_x", EL0T, LOADS["ldp_x"], pstate=MASKED & ~int(Spsr.of(D=1)) | Spsr.of(SS=1))
    for value in (1, 2):
        assert isinstance(guest.run(), MmioRead)
        guest.vcpu.complete(value)
    guest.run()
    assert (guest.x(0), guest.x(2)) == (1, 2)
    assert guest.ec == 0x32
    assert guest["ELR_EL1"] == guest.label("ldp_x") + 4


def test_aborted_access_is_not_a_completed_step(device: Machine) -> None:
    device.script.refuse = {ADDRESS}
    device.guest["MDSCR_EL1"] = int(Mdscr.of(SS=1))
    device.prepare("ldr_w", EL0T, LOADS["ldr_w"], pstate=MASKED & ~int(Spsr.of(D=1)) | Spsr.of(SS=1))
    device.guest.run()
    assert device.guest.ec == 0x24
    assert Spsr(device.guest["SPSR_EL1"]).SS
