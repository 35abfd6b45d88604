"""The description of an exception: ESR_ELx, and its ISS for each class.

What does not belong here: fault status codes, which PAR_EL1 and walks of tables have too (`arch.fault`), and exit
reasons, which the vCPU makes of a syndrome.
"""
