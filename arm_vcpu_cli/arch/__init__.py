"""Facts of the Arm architecture: pure functions and tables, which know neither a machine nor an engine.

Six rooms, and what all of them stand on beside this file: bit fields of registers, the SMC Calling Convention.
What does not belong here: anything that has state, and anything that models an interrupt controller or a device.
"""
