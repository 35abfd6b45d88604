"""Translation tables of both stages: descriptors, walks, what two stages combine to.

What does not belong here: making tables for a guest, which is the vCPU's stage 2.
"""
