"""Builds the handlers and the decoders for the exits of one vCPU on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Isar1, Aa64Mmfr1, pa_range_bits
from arm_vcpu_cli.arch.registers.el2regs import Cptr, Hcr, Mdcr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.arm_vcpu.config import MDCR_EL2, PMUSERENR_EL0, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import SyncHandlers
from arm_vcpu_cli.arm_vcpu.execute_on_demand import ExecuteOnDemand, Watcher
from arm_vcpu_cli.arm_vcpu.exit_reason import ExitReasons, trapped_moves
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.id_registers import guest_id_registers
from arm_vcpu_cli.arm_vcpu.inject import El1Entry
from arm_vcpu_cli.arm_vcpu.lazy_fp import fp_trap_handlers
from arm_vcpu_cli.arm_vcpu.mmio import DeviceAccess
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal, Platform
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls
from arm_vcpu_cli.arm_vcpu.smc import SecureMonitor
from arm_vcpu_cli.arm_vcpu.stage2 import stage2_control
from arm_vcpu_cli.arm_vcpu.syndrome import SyndromeCorrection
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import VCpuError

_ZEROING: Final = "arm_vcpu_cli.arm_vcpu.zeroing"
_DEBUG_ROUTING: Final = "arm_vcpu_cli.arm_vcpu.debug_routing"
"""Loaded when first needed."""
_ZEROING_TRAP: Final = "TDZ"
_DEBUG_ROUTING_TRAP: Final = "TDE"


def build_handlers(
    core: CpuCore,
    hal: Aarch64Hal,
    state: CpuState,
    frame: TrapFrame,
    platform: Platform,
    mpidr: int,
    setup: Aarch64VCpuSetupConfig,
    *,
    watch: Callable[[], Watcher | None],
    observed: bool,
) -> SyncHandlers:
    """Build the handlers for the exits of a vCPU with this saved state and affinity; ``watch`` returns the function to
    call for first executions. Raises :class:`VCpuError` for a feature that the core lacks."""
    has_pan = bool(Aa64Mmfr1(core.read_sysreg(lookup("ID_AA64MMFR1_EL1"))).PAN)
    memory = GuestMemory(core, hal)
    on_demand = None
    if setup.on_demand is not None:
        on_demand = ExecuteOnDemand(state, setup.on_demand, core, memory, hal.flush_tlbs, watch)
    handlers = SyncHandlers(
        state=state,
        frame=frame,
        entry=El1Entry(state, frame, has_pan=has_pan),
        platform=platform,
        calls=_firmware(mpidr, setup),
        monitor=SecureMonitor(setup.smc_table),
        memory=memory,
        fetch=core.fetcher(),
        id_registers=_id_registers(core, setup),
        trapped_moves=trapped_moves(setup),
        fp_traps=fp_trap_handlers(state, core, setup.cptr),
        on_demand=on_demand,
        observed=observed,
    )
    if _ZEROING_TRAP in setup.hcr:
        zeroing = import_module(_ZEROING).Zeroing(core, hal, platform, frame, memory, handlers)
        handlers.sync_table[ExceptionClass.SYSTEM] = zeroing.system
    if _DEBUG_ROUTING_TRAP in setup.mdcr:
        import_module(_DEBUG_ROUTING).reflect(state, handlers)
    return handlers


def default_vtcr(hal: Aarch64Hal) -> int:
    """Return VTCR_EL2 for all of the core's addresses."""
    mmfr0 = hal.core(0).read_sysreg(lookup("ID_AA64MMFR0_EL1"))
    return int(stage2_control(pa_range_bits(mmfr0)))


def set_traps(core: CpuCore, setup: Aarch64VCpuSetupConfig, hcr: int) -> int:
    """Set the traps that the machine requests besides HCR_EL2. Also trap the performance monitors, unless the guest
    reads the core's own ID registers, which announce them. Returns HCR_EL2 with pointer authentication untrapped if the
    core has it."""
    mdcr = Mdcr(MDCR_EL2 if setup.trap_id_registers else 0)
    mdcr = mdcr.replace(**dict.fromkeys(setup.mdcr, 1))
    if mdcr.TDE:
        # TDE includes these. The core's MDCR_EL2 does not have TDE set, see ``debug_routing``.
        mdcr = mdcr.replace(TDE=0, TDRA=1, TDOSA=1, TDA=1)
    core.write_sysreg(lookup("MDCR_EL2"), int(mdcr))
    if setup.trap_id_registers:
        core.write_sysreg(lookup("PMUSERENR_EL0"), PMUSERENR_EL0)
    if setup.cptr:
        cptr = Cptr(core.read_sysreg(lookup("CPTR_EL2")))
        core.write_sysreg(lookup("CPTR_EL2"), int(cptr.replace(**dict.fromkeys(setup.cptr, 1))))
    isar1 = Aa64Isar1(core.read_sysreg(lookup("ID_AA64ISAR1_EL1")))
    return int(Hcr(hcr).replace(APK=1, API=1)) if isar1.APA or isar1.API else hcr


def exit_reasons(
    core: CpuCore,
    hal: Aarch64Hal,
    platform: Platform,
    mpidr: int,
    setup: Aarch64VCpuSetupConfig | None,
) -> tuple[CpuState, TrapFrame, ExitReasons]:
    """Return the decoder of the exit in a state of its own, that state, and a view of it."""
    fetch, scratch, memory = core.fetcher(), core.new_state(), GuestMemory(core, hal)
    frame = TrapFrame(scratch)
    reasons = ExitReasons(
        state=scratch,
        frame=frame,
        entry=El1Entry(scratch, frame, has_pan=False),
        access=DeviceAccess(scratch, frame, platform),
        syndromes=SyndromeCorrection(scratch, memory, fetch),
        calls=FirmwareCalls(mpidr) if setup is None else _firmware(mpidr, setup),
        fetch=fetch,
        trapped_moves=frozenset() if setup is None else trapped_moves(setup),
        memory=memory,
    )
    return scratch, frame, reasons


def _firmware(mpidr: int, setup: Aarch64VCpuSetupConfig) -> FirmwareCalls:
    # Only a VMM with all the CPUs can suspend the system.
    return FirmwareCalls(mpidr, setup.power, system_suspend=setup.power is not None, entropy=setup.entropy)


def _id_registers(core: CpuCore, setup: Aarch64VCpuSetupConfig) -> Mapping[SysReg, int]:
    if not setup.trap_id_registers:
        return {}
    try:
        return guest_id_registers(core, gic=setup.gic_cpu_interface, features=dict(setup.features))
    except ValueError as error:
        raise VCpuError(str(error)) from error
