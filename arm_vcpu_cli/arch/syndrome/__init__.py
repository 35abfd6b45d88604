"""The description of an exception: ESR_ELx, and its ISS for each class.

What does not belong here: fault status codes, which PAR_EL1 and table walks use too (`arch.fault`), and exit reasons,
which the vCPU derives from a syndrome.
"""
