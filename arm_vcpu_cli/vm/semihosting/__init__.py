"""Arm semihosting for AArch64 ("Semihosting for AArch32 and AArch64", version 2.0): HLT #0xF000.

Nothing of the host is reachable but the console; files are, below one folder, if the user opens one. Commands of the
host never are. :mod:`~arm_vcpu_cli.vm.semihosting.lazy_service` is what a machine has of it from the start.
"""
