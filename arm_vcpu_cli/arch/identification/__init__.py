"""What a CPU says it is: identification registers, features by name and version of the architecture.

What does not belong here: the values that a model of a CPU has, which are the engine's and the vCPU's.
"""
