"""Interrupt controllers: their interface to a machine (`controller`), a package for each architecture version, and
their common parts (`common`).

What does not belong here: the vCPU's interrupt lines, which a controller only signals, and the device tree.
"""
