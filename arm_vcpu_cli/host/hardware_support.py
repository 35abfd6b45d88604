"""Reports the modelled CPU's virtualisation support (the crate's ``has_hardware_support``, which always returns
true)."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.support import supports_virtualisation
from arm_vcpu_cli.host.machine_host import Host


def has_hardware_support(model: str = "cortex-a72") -> bool:
    """Return whether the modelled CPU's ID registers announce a virtualisation extension.

    This opens an engine, which takes some milliseconds. Raises :class:`EngineError` for an unknown model, and for an
    engine that fails its self-check.
    """
    with Host(model) as host:
        read = host.core(0).read_sysreg
        return supports_virtualisation(read(lookup("ID_AA64PFR0_EL1")), read(lookup("ID_AA64MMFR1_EL1")))
