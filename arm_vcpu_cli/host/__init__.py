"""The host's resources for a machine: memory and physical CPUs, the console, typed input, the watchdog over a run.

What does not belong here: anything that knows what the guest is or how its machine is built.
"""
