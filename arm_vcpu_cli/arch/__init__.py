"""Facts of the Arm architecture: pure functions and tables, independent of any machine or engine.

The modules beside this file are the basis of all packages here: bit fields of registers, fault status codes, the SMC
Calling Convention. The packages, each built on those before it: registers, identification, instructions and syndrome,
translation, explain. ``layouts`` collects the declarations of the registers that a guest runs with; only ``explain``
builds on it. What does not belong here: anything with state, and anything that models an interrupt controller or a
device.
"""
