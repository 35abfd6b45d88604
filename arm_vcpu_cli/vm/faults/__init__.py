"""Fault injection: the triggers that a machine file names, and what each kind of fault does to the machine.

Nothing here is loaded unless a machine has faults, and nothing else looks for one while the guest runs: a fault at a
time is an alarm, one at an instruction a stop of the core, one at an access or an interrupt a wrapper in its way.
"""
