"""What an exception says of itself: ESR_ELx, its ISS for each class, fault status codes, fault addresses.

What does not belong here: exit reasons, which the vCPU makes of a syndrome.
"""
