"""Every MRS, MSR, system instruction, hint and barrier at EL1 and EL0 against the Arm ARM.

    python -m tests.fuzz.encodings
    python -m tests.fuzz.encodings --model max --step 16 --seed 3 --traps all

The expected result is derived from the ID registers that a guest reads (``arch/identification/sysreg_access.py``).
Every word is executed once with the controls that let EL0 access registers clear and once with them set, and compared:
executed, undefined (EC 0), or trapped to EL1 with the syndrome that names it. A read must write Rt.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arm_vcpu_cli.arch.identification.features import announced_features
from arm_vcpu_cli.arch.identification.sysreg_access import (
    EL0,
    EL1,
    FREE,
    IMMEDIATES,
    Access,
    ImmediateAccess,
    guest_registers,
)
from arm_vcpu_cli.arch.registers.constant_registers import constant_registers
from arm_vcpu_cli.arch.registers.el1regs import Cntkctl, Sctlr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, decode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import system_trap_esr, undefined_esr
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, ExternalInterrupt, Halt, Hypercall
from arm_vcpu_cli.board.el2_loading import HCR_TRAPS
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.vm.builder import build_machine
from tests.engine.harness import CURRENT_SPX, EL1H, GUESTS, LOWER_64, MASKED, RAM
from tests.fuzz.qemu import system_rules
from tests.fuzz.qemu.cases import Case, Result
from tests.fuzz.qemu.option import add_option, say_outcomes, wanted
from tests.fuzz.qemu.second import SecondOpinion
from tests.fuzz.qemu.system_rules import EXECUTED

MODELS: Final = ("cortex-a53", "cortex-a57", "cortex-a72", "max")
STATES: Final = ((EL1, False), (EL0, False), (EL0, True))
"""Exception level, and whether the controls that let EL0 access registers are set."""
WORDS: Final = 1 << 17

_CODE: Final = RAM + 0x80_0000
_DATA: Final = RAM + 0x20_0000
_HVC: Final = 0xD400_2002
_SYSTEM: Final = 0xD500_0000
_OP0_PLACE: Final = 19
_RT: Final = 3
_ZERO_RT: Final = 31
_READ_BIT: Final = 1 << 21
_WRITTEN: Final = _DATA + 0x40
"""What MSR writes: harmless everywhere. An address for what takes one."""
_UNREAD: Final = 0x5EED_5EED_5EED_5EED
WFI: Final = 0xD503_207F
VECTORS: Final = RAM + 0x70_0000
REGION: Final = (RAM, 0x100_0000)
_EXITS: Final = 3
_INSTRUCTIONS: Final = 24
_WAITS: Final = int(Sctlr.of(nTWI=1, nTWE=1))
_OPEN: Final = int(Sctlr.of(UCI=1, UCT=1, DZE=1, UMA=1, EnRCTX=1))
_TIMERS: Final = int(Cntkctl.of(EL0PTEN=1, EL0VTEN=1, EL0VCTEN=1, EL0PCTEN=1))
_SCTLR: Final = 0x30D0_0800
_FP: Final = 3 << 20 | 3 << 16


@dataclass(frozen=True)
class Difference:
    """A word that does something other than what the manual says."""

    model: str
    word: int
    el: int
    is_open: bool
    wanted: int
    found: int
    note: str = ""

    def __str__(self) -> str:
        move = decode_system_move(self.word)
        name = "" if move is None else f" ({'read' if move.is_read else 'write'} {move.reg.name})"
        wanted, found = (
            "executed" if each == EXECUTED else f"ESR_EL1 {each:#010x}" for each in (self.wanted, self.found)
        )
        controls = "set" if self.is_open else "clear"
        return (
            f"{self.model} {self.word:#010x}{name} EL{self.el}, controls {controls}: "
            f"should be {wanted}, is {found}{self.note}"
        )


def all_words() -> Iterator[int]:
    """Each encoding once; Rt is XZR where the manual wants that."""
    for middle in range(WORDS):
        word = _SYSTEM | middle << 5
        yield word | (_RT if word >> _OP0_PLACE & 3 else _ZERO_RT)


class Manual:
    """What the manual says of a CPU that a guest sees so."""

    def __init__(self, ids: dict[SysReg, int], others: dict[SysReg, bool]) -> None:
        self.registers = guest_registers(ids, others)
        self.features = announced_features(ids)

    def access(self, word: int) -> Access | ImmediateAccess | None:
        """What there is of this word, None if it is undefined everywhere."""
        move = decode_system_move(word)
        if move is not None:
            return self.registers.get(move.reg)
        op1, crn, crm, op2 = (word >> place & mask for place, mask in ((16, 7), (12, 15), (8, 15), (5, 7)))
        found = None if word & _READ_BIT else IMMEDIATES.get((op1, crn, op2))
        if found is None or (found.feature is not None and found.feature not in self.features):
            return None
        return found if found.crm in (None, crm) else None

    def outcome(self, word: int, el: int, is_open: bool) -> int:
        """The syndrome of the exception to EL1, or :data:`EXECUTED`."""
        access = self.access(word)
        if access is None:
            return undefined_esr()
        move = decode_system_move(word)
        if isinstance(access, ImmediateAccess):
            level = access.level
        else:
            level = access.read if move is not None and move.is_read else access.write
        if level > el:
            return undefined_esr()
        if el == EL0 and access.control != FREE and not is_open:
            return _trap_of(word) if move is None else system_trap_esr(move)
        return EXECUTED


def _trap_of(word: int) -> int:
    # As QEMU has it; see SyndromeCorrection.undefined.
    reg = SysReg(0, word >> 5 & 7, word >> 12 & 15, word >> 8 & 15, word >> 16 & 7)
    return system_trap_esr(SystemMove(reg, word & 31, False))


def _exit(number: int, args: tuple[int, ...]) -> Outcome:
    return Outcome.EXIT


def _own_registers(model: str) -> dict[SysReg, bool]:
    return {reg: constant.writable for reg, constant in constant_registers(model, 1).items()}


class Lab:
    """A machine in which one word after the other is executed, each from the same state."""

    def __init__(self, model: str, traps: Sequence[str] = (), register: str = "hcr") -> None:
        named = ", ".join(f'"{name}"' for name in traps)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "encodings.toml")
            path.write_text(f'[cpu]\nmodel = "{model}"\n[el2]\n{register} = [{named}]\n', encoding="utf-8")
            description = load_machine(path)
        image = load_guest(GUESTS / "exceptions.elf", ram_base=RAM)
        self.machine = build_machine(description, image, Console(os.open(os.devnull, os.O_WRONLY), None))
        self.machine.current.platform.hypercall = _exit  # type: ignore[method-assign]
        self.machine.start()
        self.vcpu, self.core = self.machine.current.arch, self.machine.host.core(0)
        self.manual = Manual(guest_id_registers(self.core, gic=True), _own_registers(model))
        vectors, launch = (image.symbols.lookup(name) for name in ("vectors", "launch"))
        assert vectors is not None
        assert launch is not None
        self._vectors, self._launch = vectors, launch
        self._number = 0
        self._first = {(el, is_open): self._prepared(el, is_open) for el in (EL1, EL0) for is_open in (False, True)}

    def _prepared(self, el: int, is_open: bool) -> array[int]:
        vcpu, core = self.vcpu, self.core
        core.restorer(vcpu.state)()
        core.pstate_writer()(MASKED | EL1H)
        core.saver(vcpu.state)()
        for name, value in (
            ("VBAR_EL1", self._vectors),
            ("CPACR_EL1", _FP),
            ("SCTLR_EL1", _SCTLR | _WAITS | (_OPEN if is_open else 0)),
            ("CNTKCTL_EL1", _TIMERS if is_open else 0),
            ("SPSR_EL1", MASKED | (EL1H if el else 0)),
            ("ELR_EL1", _CODE),
        ):
            vcpu.write_sysreg(lookup(name), value)
        ctx = vcpu.ctx
        ctx.sp_el0, ctx.sp, ctx.elr = _DATA + 0x8000, _DATA + 0x9000, self._launch
        for number in range(31):
            ctx.set_gpr(number, _WRITTEN)
        return array("Q", vcpu.state.u64)

    def enter(self, el: int, is_open: bool) -> None:
        """Put the vCPU into its first state."""
        vcpu, core = self.vcpu, self.core
        vcpu.state.u64[:] = memoryview(self._first[el, is_open])
        core.restorer(vcpu.state)()
        core.pstate_writer()(MASKED | EL1H)
        core.saver(vcpu.state)()
        handlers = vcpu._require_handlers()
        handlers.start_again(MASKED | EL1H)
        handlers.new_pstate = None
        self.machine.current.moves.write(lookup("CNTKCTL_EL1").packed, _TIMERS if is_open else 0)

    def run(self) -> AxVCpuExitReason:
        """Run it to what ends an example."""
        self._number += 1
        self.vcpu.ctx.set_gpr(20, self._number)  # Or it would be a guest that is stuck.
        self.vcpu.max_exits = self.vcpu.exits + _EXITS
        return self._run()

    def execute(self, word: int, el: int, is_open: bool) -> tuple[int, int]:
        """(the syndrome at EL1 or :data:`EXECUTED`, Rt); ValueError with what happened if it is neither."""
        vcpu = self.vcpu
        self.enter(el, is_open)
        self.machine.ram.write(_CODE, struct.pack("<4I", word, _HVC, _HVC, _HVC))
        if word & _READ_BIT:
            vcpu.ctx.set_gpr(_RT, _UNREAD)
        reason = self.run()
        if isinstance(reason, Halt):
            return EXECUTED, 0
        slot, rest = divmod(vcpu.ctx.elr - 4 - self._vectors, 0x80)
        if isinstance(reason, Hypercall) and not rest and slot in (CURRENT_SPX, LOWER_64):
            esr, at = vcpu.read_sysreg(lookup("ESR_EL1")), vcpu.read_sysreg(lookup("ELR_EL1"))
            if at == _CODE:
                return esr, 0
            if el == EL0 and at == _CODE + 4 and esr == undefined_esr():
                # The hypercall behind it.
                return EXECUTED, vcpu.ctx.gpr(_RT)
        if el == EL1 and vcpu.ctx.elr == _CODE + 8:
            return EXECUTED, vcpu.ctx.gpr(_RT)
        raise ValueError(f"{reason} at {vcpu.ctx.elr:#x}")

    def _run(self) -> AxVCpuExitReason:
        while True:
            self.core.set_budget(_INSTRUCTIONS)
            reason = self.vcpu.run()
            if not isinstance(reason, ExternalInterrupt):
                return reason

    @contextmanager
    def edited(self, name: str, value: int) -> Iterator[None]:
        """Start with another value of a register, of those that the state has."""
        at = self.vcpu.state.layout.sysregs[lookup(name)] // 8
        for first in self._first.values():
            first[at] ^= value
        yield
        for first in self._first.values():
            first[at] ^= value

    def compare(self, model: str, words: Iterator[int]) -> Iterator[Difference]:
        """All differences of some words, in all states."""
        manual = self.manual
        for word in words:
            for el, is_open in STATES:
                wanted = manual.outcome(word, el, is_open)
                found, value = self.execute(word, el, is_open)
                if found != wanted:
                    yield Difference(model, word, el, is_open, wanted, found)
                elif found == EXECUTED and word & _READ_BIT and value == _UNREAD:
                    yield Difference(model, word, el, is_open, wanted, found, " without a value in Rt")

    def case(self, word: int, el: int, is_open: bool) -> Case:
        """The same for another side, which has a WFI at each vector, and begins at the word."""
        pstate = MASKED | (EL1H if el else 0)
        sysregs = {
            "SCTLR_EL1": _SCTLR | _WAITS | (_OPEN if is_open else 0),
            "CNTKCTL_EL1": _TIMERS if is_open else 0,
            "CPACR_EL1": _FP,
            "VBAR_EL1": VECTORS,
            "PC": _CODE,
            "PSTATE": pstate,
            "SP_EL0": _DATA + 0x8000,
            "SP_EL1": _DATA + 0x9000,
            "SPSR_EL1": pstate,
            "ELR_EL1": _CODE,
        }
        x = [_WRITTEN] * 31
        if word & _READ_BIT:
            x[_RT] = _UNREAD
        return Case(sysregs, x, writes=[(_CODE, struct.pack("<4I", word, *[WFI] * 3))])

    def selection(self, step: int, seed: int) -> Iterator[int]:
        """All words that are defined at all, and every so many of the others."""
        for number, word in enumerate(all_words()):
            if number % step == seed % step or self.manual.access(word) is not None:
                yield word

    def close(self) -> None:
        """End the machine."""
        self.machine.close()


def outcome_of(result: Result) -> tuple[int, int]:
    """What :meth:`Lab.execute` says, of another side."""
    found = result.sysregs
    is_at_vector = not 0 <= found["ELR_EL2"] - _CODE <= 4
    return (found["ESR_EL1"] if is_at_vector else EXECUTED), result.x[_RT]


class Opinion:
    """QEMU's CPU of a model, and what the manual says of it by the ID registers that it has itself."""

    def __init__(self, lab: Lab, model: str) -> None:
        self._lab, self._model = lab, model
        self._second = SecondOpinion(model, [REGION], [(VECTORS, struct.pack("<I", WFI) * (0x800 // 4))])
        registers = [SysReg(3, 0, 0, crm, op2) for crm in range(1, 8) for op2 in range(8)]
        found = self._run([(_read_of(reg), EL1, False) for reg in registers])
        ids = {reg: value if esr == EXECUTED else 0 for reg, (esr, value) in zip(registers, found, strict=True)}
        self._manual = Manual(ids, _own_registers(model))
        self.outcomes: Counter[str] = Counter()

    def _run(self, starts: Sequence[tuple[int, int, bool]]) -> list[tuple[int, int]]:
        results = self._second.run([self._lab.case(*start) for start in starts])
        return [outcome_of(result) for result in results if result is not None]

    def compare(self, words: Iterable[int]) -> Iterator[str]:
        """All differences of some words, in all states.

        Values are those of reset: reads come before writes, and nothing may have been written before on our side.
        """
        words = sorted(words, key=lambda word: not word & _READ_BIT)
        starts = [(word, el, is_open) for word in words for el, is_open in STATES]
        for (word, el, is_open), (found, value) in zip(starts, self._run(starts), strict=True):
            ours, there = (manual.outcome(word, el, is_open) for manual in (self._lab.manual, self._manual))
            move = decode_system_move(word)
            reg = None if move is None else move.reg
            if found != ours:
                rule = system_rules.of_outcome(reg, ours, there, found)
                self.outcomes[rule or "differ"] += 1
                if rule is None:
                    yield f"{Difference(self._model, word, el, is_open, ours, found)} on QEMU"
                continue
            self.outcomes["the same"] += 1
            if found == EXECUTED and word & _READ_BIT and el == EL1 and reg is not None:
                mine = self._lab.execute(word, el, is_open)[1]
                rule = None if mine == value else system_rules.of_value(reg)
                self.outcomes[rule or ("values the same" if mine == value else "values differ")] += 1
                if mine != value and rule is None:
                    yield f"{self._model} {word:#010x} ({reg.name}) reads {mine:#x}, on QEMU {value:#x}"


def _read_of(reg: SysReg) -> int:
    fields = (reg.op0, 19), (reg.op1, 16), (reg.crn, 12), (reg.crm, 8), (reg.op2, 5)
    return _SYSTEM | _READ_BIT | sum(value << place for value, place in fields) | _RT


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; status 1 if there are differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="default: all")
    parser.add_argument("--step", type=int, default=1, help="of the encodings that are undefined, every so many")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    parser.add_argument(
        "--traps", choices=("none", "all"), default="none", help="those of el2.hcr: they change nothing"
    )
    add_option(parser)
    options = parser.parse_args(arguments)
    qemu, differences = wanted(options), 0
    for model in options.model or MODELS:
        lab, started = Lab(model, HCR_TRAPS if options.traps == "all" else ()), time.monotonic()
        if qemu:
            opinion = Opinion(lab, model)
            for text in opinion.compare(lab.selection(options.step, options.seed)):
                differences += 1
                print(text, flush=True)
            say_outcomes(opinion.outcomes, system_rules.RULES)
        for difference in lab.compare(model, lab.selection(options.step, options.seed)):
            differences += 1
            print(difference, flush=True)
        lab.close()
        print(f"{model}: every {options.step}, seed {options.seed}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
