"""Facts of the Arm architecture: pure functions and tables, which know neither a machine nor an engine.

The modules beside this file are what all packages here build on: bit fields of registers, fault status codes, the SMC
Calling Convention.
The rooms, each on those before it: registers, identification, instructions and syndrome, translation, explain.
``layouts`` collects the declarations of the registers that a guest runs with; only ``explain`` builds on it.
What does not belong here: anything that has state, and anything that models an interrupt controller or a device.
"""
