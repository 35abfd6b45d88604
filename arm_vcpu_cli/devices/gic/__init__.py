"""Interrupt controllers: what a machine needs from one (`controller`), a package for each architecture version, and
what those share (`common`).

What does not belong here: the vCPU's interrupt lines, which a controller only signals, and the device tree.
"""
