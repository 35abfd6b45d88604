"""Translation tables of both stages: descriptors, walks, what two stages combine to, where a fault was.

What does not belong here: making tables for a guest, which is the vCPU's stage 2.
"""
