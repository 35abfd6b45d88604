"""How a CPU identifies itself: identification registers, features by name and version of the architecture.

What does not belong here: the values of a CPU model, which are in the engine and the vCPU.
"""
