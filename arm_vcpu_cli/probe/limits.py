"""The limits: where a guest's behaviour differs from what the Arm ARM specifies, and what the guest sees instead.

This is the only such list: ``armvcpu probe`` prints it, and the manual's topic ``limits`` repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

ENGINE: Final = "engine"
MACHINE: Final = "machine"


class Limit(NamedTuple):
    """A limit, described in one or two sentences.

    ``hidden_in`` names the ID register fields that announce it to the guest. ``notice`` says how armvcpu reports a
    guest that runs into the limit, or ``unnoticed`` why it cannot.
    """

    part: str
    topic: str
    text: str
    hidden_in: tuple[str, ...] = ()
    notice: str = ""
    unnoticed: str = ""

    @property
    def sentence(self) -> str:
        """A sentence on how armvcpu reports a guest that runs into the limit, or why it cannot."""
        return f"Noticed: {self.notice}." if self.notice else f"Not noticed: {self.unnoticed}."


LIMITS: Final = (
    Limit(
        ENGINE,
        "AArch32",
        "Guests run in AArch64 only, at EL1 and at EL0.",
        (
            "ID_AA64PFR0_EL1.EL1",
            "ID_AA64PFR0_EL1.EL0",
        ),
        notice="a guest that enters AArch32 stops with status 122 and a report",
    ),
    Limit(
        ENGINE,
        "Watchpoints",
        "On hosts other than x86-64 Linux they never fire, and the CPU announces one, because the field cannot "
        "encode none. Trapped devices, trapped DC ZVA and cache maintenance never hit one. One on the upper half "
        "of what STXP or CASP stores is hit after the lower half is stored.",
        notice="where they never fire, a report names those that the guest has enabled",
    ),
    Limit(
        ENGINE,
        "OS Lock",
        "On hosts other than x86-64 Linux, it does not block breakpoints and software step (OSLAR_EL1).",
        notice="a report says so if breakpoints or software step are enabled while the lock is set",
    ),
    Limit(
        ENGINE,
        "Breakpoints of the guest",
        "While a debugger steps, a breakpoint that the guest has set (DBGBCR<n>_EL1) may be missed; on hosts other "
        "than x86-64 Linux, always.",
        unnoticed="the engine finds these breakpoints without an exit",
    ),
    Limit(
        ENGINE,
        "Performance monitors",
        "None; their registers are undefined.",
        ("ID_AA64DFR0_EL1.PMUVer",),
        notice="the guest takes an undefined instruction exception",
    ),
    Limit(
        ENGINE,
        "Interrupt controller",
        "The core has no GIC CPU interface: armvcpu turns undefined ICC_* accesses into traps.",
        unnoticed="guests see no difference",
    ),
    Limit(
        ENGINE,
        "FP and SIMD traps",
        "On hosts other than x86-64 Linux, CPACR_EL1.FPEN and CPTR_EL2.TFP have no effect: FP and SIMD are always on.",
        unnoticed="an instruction that is not trapped does not exit",
    ),
    Limit(
        ENGINE,
        "Alignment",
        "On memory, only exclusives, LSE atomics and, on x86-64 Linux, loads and stores with acquire or release fault, "
        "regardless of SCTLR_EL1.A and SCTLR_EL1.SA. On a trapped device, every access that must be aligned faults if "
        "it is not.",
        notice="a report mentions SCTLR_EL1.A if it is set, and a stack pointer that is not aligned",
    ),
    Limit(
        ENGINE,
        "Illegal state, PC alignment",
        "On hosts other than x86-64 Linux, neither exception is taken (EC 0x0E and EC 0x22), and MSR DAIFClr does "
        "not start software step.",
        unnoticed="the engine executes such an instruction like any other",
    ),
    Limit(
        ENGINE,
        "Pointer authentication",
        "On hosts other than x86-64 Linux, authentication of a pointer that was not a valid address when it was "
        "signed succeeds where it should fail, and LDRAA and LDRAB authenticate with SP as the modifier instead of "
        "zero.",
        unnoticed="the engine authenticates without an exit",
    ),
    Limit(
        ENGINE,
        "Cache maintenance",
        "DC and IC by address never fault and never exit, except for DC ZVA, which takes an external abort on a "
        "device. Trapped by el2.hcr (TPC and the like), they do nothing, again except for DC ZVA (TDZ).",
        unnoticed="these instructions do not exit, and the guest's memory is coherent without them",
    ),
    Limit(
        ENGINE,
        "Code that EL1 rewrites for EL0",
        "Code in the upper half of the address space that EL0 executes and EL1 rewrites at the same address, in a "
        "2 MiB block from which EL1 executed first, may execute in its old form until a TLBI. ARMVCPU_LEVERS=off "
        "has no such limit.",
        unnoticed="neither the stores nor the execution exit",
    ),
    Limit(
        ENGINE,
        "Virtual timer",
        "CNTV_* cannot be trapped: the machine executes MRS and MSR of these registers without an exit.",
        unnoticed="guests see no difference",
    ),
    Limit(
        ENGINE,
        "SVE",
        "CPTR_EL2.TFP traps accesses to ZCR_EL1 too.",
        notice="the accesses are exits, which armvcpu trace and armvcpu stat show",
    ),
    Limit(
        ENGINE,
        "WFE",
        "On hosts other than x86-64 Linux, HCR_EL2.TWE and SCTLR_EL1.nTWE have no effect. A WFE without an event gives "
        "up the vCPU's turn, and resumes once the others have had theirs, as the architecture permits.",
        unnoticed="a hint has no effect that a guest can rely on",
    ),
    Limit(
        ENGINE,
        "Table walks",
        "On hosts other than x86-64 Linux, an output address beyond TCR_EL1.IPS takes an address size fault only "
        "where there is neither memory nor a device, AT reports none, block descriptors are accepted at levels "
        "that have none, and TCR_EL1.HPDn and TBIDn and the 16 KiB granule take effect on every CPU.",
        unnoticed="the engine walks tables without an exit",
    ),
    Limit(
        ENGINE,
        "SError",
        "It is raised only by a fault that a machine file injects; HCR_EL2.VSE has no effect.",
        notice="el2.hcr refuses VSE",
    ),
    Limit(
        ENGINE,
        "Implementation defined",
        "Of the CPUs' own registers, those that kernels read always keep their reset value (CPUACTLR_EL1, "
        "CPUECTLR_EL1, CPUMERRSR_EL1, L2CTLR_EL1, L2ECTLR_EL1, L2ACTLR_EL1, L2MERRSR_EL1, CBAR_EL1), and each "
        "access is an exit. All others are undefined; with TIDCP in el2.hcr they exit first.",
        notice="each access is an exit, which armvcpu trace and armvcpu stat show",
    ),
    Limit(
        ENGINE,
        "Debug channel and double lock",
        "No external debugger is connected: the channel is always empty, and OSDLR_EL1 and the claim tags read 0. "
        "On hosts other than x86-64 Linux, reads of OSDLR_EL1 and MDCCINT_EL1 leave the register as it is, and "
        "CNTPS_*_EL1 are trapped to EL1 instead of being undefined.",
        notice="the guest reads that the channel is empty",
    ),
    Limit(
        ENGINE,
        "Half-precision SIMD",
        "Some unallocated encodings fail assertions of the engine's translator on max. On x86-64 Linux they are "
        "undefined instructions, as the architecture says; on other hosts they end the process.",
        notice="on x86-64 Linux, the guest takes an undefined instruction exception",
    ),
    Limit(
        ENGINE,
        "Signed atomics and complex numbers",
        "On hosts other than x86-64 Linux, LDSMAX and LDSMIN of less than 64 bits compare unsigned numbers, and FCMLA "
        "by element may set flags in FPSR that its elements do not cause, on 64-bit vectors of half-precision "
        "numbers (max).",
        unnoticed="an instruction that is not trapped does not exit",
    ),
    Limit(
        MACHINE,
        "Parallelism",
        "vCPUs take turns: several are no faster than one, and effects of true parallelism, such as reordered "
        "memory accesses, never occur.",
        unnoticed="nothing shows that an effect has not occurred",
    ),
    Limit(
        MACHINE,
        "Barriers and caches",
        "Barriers and cache maintenance make no difference: memory is coherent, and a system register takes "
        "effect at once. A guest that lacks a DSB, an ISB, or cache maintenance works here, and may fail on "
        "hardware.",
        unnoticed="nothing shows that an instruction is missing",
    ),
    Limit(
        MACHINE,
        "LPIs and ITS",
        "The GICv3 has neither.",
        notice="a report says so if the guest has set GICR_CTLR.EnableLPIs, or has accessed an ITS where QEMU's virt "
        "board has one",
    ),
    Limit(
        MACHINE,
        "virtio",
        "There is none: no disk and no network.",
        notice="the report of a kernel that finds no root file system says so",
    ),
    Limit(
        MACHINE,
        "Redistributors",
        "They are awake after reset, as firmware leaves them. One that the guest puts to sleep (GICR_WAKER) holds "
        "its interrupts back; they only wake a CPU that is powered down by CPU_SUSPEND or SYSTEM_SUSPEND.",
        notice="a report of a guest that lacks an interrupt names GICR_WAKER if that holds it back",
    ),
    Limit(
        MACHINE,
        "GICv2",
        "It has no Security Extensions and no virtualisation registers, and at most 8 CPUs.",
        notice="more than 8 CPUs are refused, and accesses to the registers that are missing take an external abort",
    ),
    Limit(
        MACHINE,
        "Atomics on devices",
        "Exclusives and atomics on a device take an external abort (DFSC 0x35).",
        notice="the guest takes the abort",
    ),
    Limit(
        MACHINE,
        "SVE on devices",
        "SVE loads and stores of a device take an external abort.",
        notice="the guest takes the abort",
    ),
    Limit(
        MACHINE,
        "Accesses of several pages",
        "An access that reaches from memory into a device or back, and a misaligned one that reaches from one "
        "page of a device into the next, take an external abort. What a store has written before the abort "
        "remains, and so do SIMD registers that a load has filled from memory; general-purpose registers are "
        "unchanged.",
        notice="the guest takes the abort",
    ),
    Limit(
        MACHINE,
        "Big-endian guests",
        "ELF files and Linux kernels that are big-endian cannot be loaded. A debugger is shown registers and "
        "memory as little-endian.",
        notice="the files are refused",
    ),
    Limit(
        MACHINE,
        "Host clock",
        "With --clock host, timer interrupts are late by the time that host and engine take to stop the guest.",
        notice="the guest sees by how much: CNTVCT_EL0 is beyond CNTV_CVAL_EL0 in its handler",
    ),
    Limit(
        MACHINE,
        "Hangs",
        "armvcpu reports a hang only when it can prove one, and never while an interrupt may still come; "
        "--timeout ends the others.",
        notice="the last line says for how long the guest had no exit, and where it was",
    ),
    Limit(
        MACHINE,
        "Guests that are stopped",
        "Polls, and interrupts and exceptions that come back at once, are recognised in the last 20 exits of each "
        "vCPU. Loops that read only CNTVCT_EL0 or CNTPCT_EL0 count as delays.",
        unnoticed="a longer pattern than those looks like work",
    ),
    Limit(
        MACHINE,
        "Overwritten code",
        "A report says that code has changed since it was loaded, and where, but not who wrote to it.",
        unnoticed="stores to memory do not exit; a debugger's watchpoint shows the one who writes",
    ),
    Limit(
        MACHINE,
        "Semihosting files",
        "What a guest reads from them cannot be recorded: --record is refused with --semihosting-dir. While files "
        "are open, the state of the machine cannot be saved.",
        notice="both are refused",
    ),
)
"""In the order in which a guest is likely to notice, those of the engine first."""

_NO_EL2: Final = "a virtual machine has neither EL2 nor EL3"
_NO_AARCH32: Final = "AArch32 is not modelled for guests"
_NOT_WORKING: Final = "the core announces it, but it does not work"
WHY_HIDDEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ID_AA64PFR0_EL1.EL3": _NO_EL2,
        "ID_AA64PFR0_EL1.EL2": _NO_EL2,
        "ID_AA64PFR0_EL1.EL1": _NO_AARCH32,
        "ID_AA64PFR0_EL1.EL0": _NO_AARCH32,
        "ID_AA64PFR0_EL1.GIC": "the machine announces its own GIC",
        "ID_AA64PFR0_EL1.RAS": _NOT_WORKING,
        "ID_AA64PFR0_EL1.AMU": _NOT_WORKING,
        "ID_AA64PFR0_EL1.DIT": _NOT_WORKING,
        "ID_AA64PFR1_EL1.SSBS": _NOT_WORKING,
        "ID_AA64PFR1_EL1.MTE": _NOT_WORKING,
        "ID_AA64DFR0_EL1.WRPs": "watchpoints never fire on this host, and the field cannot encode none",
        "ID_AA64DFR0_EL1.PMUVer": "there is no usable PMU",
        "ID_AA64DFR0_EL1.DoubleLock": "the OS Double Lock has no effect",
        "ID_AA64MMFR0_EL1.TGran16": "the core supports 16 KiB pages without announcing them",
        "ID_AA64MMFR1_EL1.VH": "without EL2 there is no VHE",
        "ID_AA64MMFR1_EL1.VMIDBits": "without EL2 there are no VMIDs",
        "ID_AA64MMFR1_EL1.LO": "limited ordering regions would have to be trapped",
    }
)
"""Why a guest reads a field differently than the core has it, by REGISTER.FIELD."""
