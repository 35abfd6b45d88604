"""Translation tables of both stages: descriptors, walks, the combination of both stages, the place of a fault.

What does not belong here: creating tables for a guest, which the vCPU's stage 2 does.
"""
