"""Debugging a machine: exact control of its execution, time travel, and the GDB remote protocol.

A guest behaves the same under a debugger as without one: nothing here takes guest time, changes memory or adds an exit,
unless the user writes a register or memory.
"""
