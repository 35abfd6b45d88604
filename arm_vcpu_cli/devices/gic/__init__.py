"""Interrupt controllers: what a machine asks of one (`controller`), and a package for each architecture version.

What does not belong here: the vCPU's interrupt lines, which a controller only signals, and the device tree.
"""
