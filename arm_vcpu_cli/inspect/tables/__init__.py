"""Translation tables of a machine that stands still: one address through both stages, or everything that is mapped.

What does not belong here: the walk itself, which is the architecture's.
"""
