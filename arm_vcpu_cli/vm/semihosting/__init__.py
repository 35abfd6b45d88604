"""Arm semihosting for AArch64 ("Semihosting for AArch32 and AArch64", version 2.0): HLT #0xF000.

Of the host, the guest can reach only the console, and files below one folder if the user opens one. It can never run
host commands. :mod:`~arm_vcpu_cli.vm.semihosting.lazy_service` is the part loaded with every machine.
"""
