"""Translation tables of a stopped machine: one address through both stages, or the whole map.

What does not belong here: the table walk itself, which is in `arch`.
"""
