"""The state of a bound vCPU between two exits, as plain data.

Besides the registers, it has the work left for the exit that was returned last, and the hypervisor's observations. The
flight recorder and the observers' pending reports belong to a run, and are omitted; cached translations and translated
code belong to the core.
"""

from __future__ import annotations

from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arm_vcpu.abort_decoder import Element, PendingAccess
from arm_vcpu_cli.arm_vcpu.access import PlainAccess
from arm_vcpu_cli.arm_vcpu.exception import Pending, SyncHandlers
from arm_vcpu_cli.arm_vcpu.exit_state import ExitState
from arm_vcpu_cli.arm_vcpu.interrupt_lines import UNKNOWN, VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.residency import Residency
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, Halt, Nothing, SystemDown
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.saved import Saved

VERSION: Final = 2
_REGISTERS: Final = 31
_MOST_EXITS: Final = 1 << 63
_MOST_WORDS: Final = 1 << 20
_PLAIN, _ACCESSES = "access", "accesses"
"""Kinds of pending work besides the values of :class:`Pending`."""


def save_vcpu(
    state: CpuState,
    residency: Residency | None,
    handlers: SyncHandlers,
    lines: VirtualInterruptLines,
    exits: ExitState,
    interrupted: bool,
) -> dict[str, Any]:
    """Return the state as plain data; ``interrupted``: in the middle of a run, so that the core's interrupt lines are
    part of it."""
    return {
        "version": VERSION,
        "registers": state.save(),
        "here": residency is not None and residency.here,
        "exits": exits.count,
        "returned": "" if exits.reason is None else type(exits.reason).__name__,
        "irq": lines.irq,
        "fiq": lines.fiq,
        "driven": lines.driven if interrupted else UNKNOWN,
        "pending": save_pending(handlers.pending),
        "given": handlers.given,
        "new_pstate": handlers.new_pstate,
        "note": handlers.note,
        "entry": handlers.entry.save(),
        "user_code_everywhere": handlers.on_demand is not None and handlers.on_demand.user_code_everywhere,
    }


def load_vcpu(
    saved_state: object,
    state: CpuState,
    residency: Residency | None,
    handlers: SyncHandlers,
    lines: VirtualInterruptLines,
    exits: ExitState,
) -> None:
    """Restore what :func:`save_vcpu` returned. Raises ValueError for anything else."""
    saved = Saved(saved_state, "vcpu", version=VERSION)
    count, irq, fiq = saved.number("exits", _MOST_EXITS), saved.flag("irq"), saved.flag("fiq")
    given, new_pstate = (None if saved.is_none(key) else saved.number(key, MASK64) for key in ("given", "new_pstate"))
    driven = saved.integer("driven")
    pending, note = load_pending(saved.part("pending")), saved.text("note")
    registers, here, user_code = saved.data("registers"), saved.flag("here"), saved.flag("user_code_everywhere")
    handlers.entry.load(saved.part("entry"))
    if residency is not None:
        residency.go_on(here=here)
    # After the vCPU is on the core, which has cleared the exclusive monitor.
    state.load(registers)
    lines.load(irq=irq, fiq=fiq, driven=driven)
    exits.count, exits.reason, exits.record = count, _returned(saved.text("returned")), None
    handlers.pending, handlers.given = pending, given
    handlers.new_pstate, handlers.note = new_pstate, note
    if handlers.on_demand is not None:
        handlers.on_demand.go_on(user_code_everywhere=user_code)


def _returned(name: str) -> AxVCpuExitReason | None:
    """Return a minimal exit with that name, sufficient for one that is over."""
    if not name:
        return None
    return Halt() if name in (Halt.__name__, SystemDown.__name__) else Nothing()


def save_pending(pending: Pending | PlainAccess | PendingAccess) -> dict[str, Any]:
    """Return the work left for an exit as plain data."""
    if isinstance(pending, Pending):
        return {"kind": pending.value}
    if isinstance(pending, PlainAccess):
        return {"kind": _PLAIN, **pending._asdict()}
    elements = [{name: getattr(element, name) for name in Element.__match_args__} for element in pending.elements]
    return {
        "kind": _ACCESSES,
        "elements": elements,
        "is_load": pending.is_load,
        "base": pending.base,
        "writeback": pending.writeback,
        "index": pending.index,
        "values": list(pending.values),
    }


def load_pending(saved: Saved) -> Pending | PlainAccess | PendingAccess:
    """Restore the argument of :func:`save_pending`. Raises ValueError for anything else."""
    kind = saved.text("kind")
    if kind == _PLAIN:
        return PlainAccess(
            size=saved.number("size", 8),
            is_write=saved.flag("is_write"),
            register=saved.number("register", _REGISTERS),
            word=-1 if saved.integer("word") < 0 else saved.number("word", _MOST_WORDS),
            mask=saved.number("mask", MASK64),
            sign_extend=saved.flag("sign_extend"),
            is_64bit=saved.flag("is_64bit"),
        )
    if kind != _ACCESSES:
        return saved.member("kind", Pending)
    elements = tuple(
        Element(
            ipa=part.number("ipa", MASK64),
            address=part.number("address", MASK64),
            size=part.number("size", 8),
            register=part.number("register", _REGISTERS),
            at=part.number("at", _MOST_WORDS),
            vector=part.flag("vector"),
            sign_extend=part.flag("sign_extend"),
            is_64bit=part.flag("is_64bit"),
            lane=part.flag("lane"),
            copies=part.number("copies", 16),
            swapped=part.flag("swapped"),
        )
        for part in saved.parts("elements", None)
    )
    access = PendingAccess(
        elements, saved.flag("is_load"), saved.number("base", _REGISTERS), saved.integer("writeback")
    )
    access.index = saved.number("index", len(elements) - 1)
    access.values = saved.numbers("values", access.index if access.is_load else 0, MASK64)
    return access
