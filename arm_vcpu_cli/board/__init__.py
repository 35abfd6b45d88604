"""Describes a machine: the schema of machine files, the description, the device tree, the memory layout.

What does not belong here: anything that runs. A description is data; `vm` builds a machine from it.
"""
