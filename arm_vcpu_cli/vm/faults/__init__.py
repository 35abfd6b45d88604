"""Fault injection: the triggers that a machine file names, and the effects of each kind of fault.

It is loaded only for machines with faults, and adds no checks to the run loop: a fault at a time is an alarm, one at an
instruction a stop of the core, one at an access or an interrupt a wrapper around it.
"""
