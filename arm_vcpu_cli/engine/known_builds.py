"""Records the engine's internals by the GNU build ID of its library: equal IDs mean equal libraries.

Examining a library by experiment (``discovery``, ``exit_check``, ``levers``) takes 20 ms in each process, as long as
the rest of a small guest's run. The results for the most common builds are recorded here; every other build is
examined. A test compares the records with the experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.inline_counting import Operations
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.unicorn_api import loaded_library
from arm_vcpu_cli.record import Record


class Build(Record):
    """``layout``: of the saved state. ``exit_check``: see :class:`~arm_vcpu_cli.engine.levers.Levers`. ``operations``:
    of its translator. ``state``: see :func:`~arm_vcpu_cli.engine.refusals.state_place`. The other levers have been
    verified."""

    layout: StateLayout
    exit_check: int
    operations: Operations
    state: tuple[int, int]


_UNICORN_2_1_4_X86_64: Final = Build(
    layout=StateLayout(
        size=12640,
        x0=104,
        sp=352,
        pc=360,
        pstate=368,
        aarch64=372,
        v0=3128,
        vector_stride=256,
        n=568,
        z=572,
        c=560,
        v=564,
        daif=600,
        btype=592,
        syndrome=3064,
        fault_address=3072,
        target_el=3080,
        exclusive=12072,
        sysregs={
            lookup(name): offset
            for name, offset in (
                ("CONTEXTIDR_EL1", 1312),
                ("CPACR_EL1", 744),
                ("CPTR_EL2", 768),
                ("ELR_EL1", 616),
                ("ESR_EL1", 1032),
                ("ESR_EL2", 1040),
                ("FAR_EL1", 1096),
                ("FAR_EL2", 1104),
                ("HCR_EL2", 992),
                ("HPFAR_EL2", 1120),
                ("HSTR_EL2", 1128),
                ("MAIR_EL1", 1232),
                ("MDCR_EL2", 2080),
                ("MDSCR_EL1", 2064),
                ("PAR_EL1", 1144),
                ("SCTLR_EL1", 720),
                ("SPSR_EL1", 400),
                ("SP_EL0", 640),
                ("SP_EL1", 648),
                ("TCR_EL1", 896),
                ("TPIDRRO_EL0", 1392),
                ("TPIDR_EL0", 1336),
                ("TPIDR_EL1", 1344),
                ("TTBR0_EL1", 816),
                ("TTBR1_EL1", 848),
                ("VBAR_EL1", 1264),
                ("VTCR_EL2", 944),
                ("VTTBR_EL2", 872),
            )
        },
        addresses=128,
        os_lock=2072,
        p0=11320,
    ),
    exit_check=2034,
    operations=Operations(load=73, store=77, subtract=79, set_label=1),
    state=(440, 41808),
)

KNOWN_BUILDS: Final[Mapping[str, Build]] = MappingProxyType(
    {"44285d3e80527122e9e361928189385906ec813e": _UNICORN_2_1_4_X86_64}
)
"""By build ID. Unicorn 2.1.4's wheel for x86-64 with glibc."""


def known_build() -> Build | None:
    """Return the record of this process's library; None if it must be examined."""
    library = loaded_library()
    return None if library is None else KNOWN_BUILDS.get(library.build_id.hex())
